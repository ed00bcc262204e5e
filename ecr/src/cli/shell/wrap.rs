//! Breaking long lines between words, for terminals.

use terminal_size::{Height, Width};
use unicode_width::UnicodeWidthStr;

/// The least width that texts and tables are made for.
const MIN_WIDTH: usize = 40;

/// The columns of a terminal; `None` if the stream is none.
pub(super) fn columns(terminal: Option<(Width, Height)>) -> Option<usize> {
    let (width, _) = terminal?;
    // A terminal that does not know its width says 0.
    (width.0 > 0).then(|| usize::from(width.0).max(MIN_WIDTH))
}

/// The columns that [`Printable::message`](super::Printable::message) puts before further lines.
const INDENTED: usize = 2;

/// Where lines of a text are broken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wrap {
    /// The width of the terminal, in columns.
    pub width: usize,
    /// The columns before the text in its first line.
    pub first: usize,
    /// The columns before the text in the lines that a break begins.
    pub indent: usize,
}

impl Wrap {
    /// The text with line breaks between words. A word that is wider than the terminal stays whole: a digest or a URL is there to
    /// be copied.
    pub(super) fn apply(&self, text: &str) -> String {
        let lines = text.split('\n').enumerate();
        let lines = lines.map(|(n, line)| self.line(line, if n == 0 { self.first } else { INDENTED }));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn line(&self, line: &str, before: usize) -> String {
        let (mut broken, mut column) = (String::new(), before);
        for (n, word) in line.split(' ').enumerate() {
            let width = word.width();
            let fits_below = width + self.indent <= self.width;
            if n > 0 && column + 1 + width > self.width && fits_below && !word.is_empty() {
                broken.truncate(broken.trim_end_matches(' ').len());
                broken.push('\n');
                broken.extend(std::iter::repeat_n(' ', self.indent.saturating_sub(INDENTED)));
                column = self.indent;
            } else if n > 0 {
                broken.push(' ');
                column += 1;
            }
            broken += word;
            column += width;
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_words_stay_whole() {
        let wrap = |text: &str| Wrap { width: 20, first: 6, indent: 4 }.apply(text);
        assert_eq!(wrap("fits in here"), "fits in here");
        assert_eq!(wrap("does not fit in one line"), "does not fit\n  in one line");
        assert_eq!(wrap("two  columns   stay"), "two  columns\n  stay");
        let digest = "d".repeat(30);
        assert_eq!(wrap(&format!("image {digest} is there")), format!("image {digest}\n  is there"));
        assert_eq!(wrap("first\nsecond line that is long"), "first\nsecond line that\n  is long");
        assert_eq!(wrap("漢字漢字漢字 漢字漢字漢字"), "漢字漢字漢字\n  漢字漢字漢字");
        assert_eq!(wrap(""), "");
    }
}
