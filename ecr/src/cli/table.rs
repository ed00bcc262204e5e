//! Tables of text that fit the width of a terminal.
//!
//! The width of a text is that on the screen: some characters take two columns, and some none.

use anstyle::{AnsiColor, Style};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::shell::Printable;

/// The width of prose in columns.
pub const PROSE: usize = 80;

/// The meaning of a text, shown as its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    #[default]
    Plain,
    /// The desired state.
    Good,
    /// Needs attention.
    Warning,
    /// An error.
    Bad,
    /// Secondary information.
    Dim,
    /// A name or heading.
    Title,
}

/// A cell of a table, whose text is printable, so that its width is that on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

/// The alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
    /// Left-aligned; cut with an ellipsis where the table would be wider than the terminal.
    Flexible,
}

/// Rows below a line of column titles.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Dim => Style::new().dimmed(),
            Self::Title => Style::new().bold(),
        }
    }

    pub fn paint(self, text: &str) -> Printable {
        Printable::line(text).styled(self.style())
    }
}

impl Cell {
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: Printable::line(&text.into()).to_string(), tone }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl Table {
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, which has one cell per column.
    pub fn add(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// The lines of the table, indented by `indent` spaces. Flexible columns are shortened to keep lines within `width` columns;
    /// without a width, nothing is.
    pub fn lines(&self, indent: usize, width: Option<usize>) -> impl Iterator<Item = Printable> + '_ {
        let widths = self.widths(indent, width.unwrap_or(usize::MAX));
        let titles: Vec<_> = self.columns.iter().map(|(title, _)| Cell::new(*title, Tone::Dim)).collect();
        let title = self.line(&titles, &widths, indent);
        let rows = self.rows.iter().map(move |row| self.line(row, &widths, indent));
        std::iter::once(title).chain(rows)
    }

    /// The width of each column: that of its widest cell. If the table is too wide, its widest flexible
    /// columns shrink.
    fn widths(&self, indent: usize, limit: usize) -> Vec<usize> {
        let width = |n: usize, title: &str| {
            let cells = self.rows.iter().map(|row| row[n].text.width());
            cells.max().unwrap_or_default().max(title.width())
        };
        let mut widths: Vec<_> =
            self.columns.iter().enumerate().map(|(n, (title, _))| width(n, title)).collect();
        let gaps = indent + GAP * self.columns.len().saturating_sub(1);
        let flexible = |n: &usize| self.columns[*n].1 == Align::Flexible;
        while gaps + widths.iter().sum::<usize>() > limit {
            let Some(n) = (0..widths.len()).filter(flexible).max_by_key(|n| widths[*n]) else { break };
            if widths[n] <= MIN_FLEXIBLE_WIDTH {
                break;
            }
            widths[n] -= 1;
        }
        widths
    }

    fn line(&self, row: &[Cell], widths: &[usize], indent: usize) -> Printable {
        let mut line = Printable::from(" ".repeat(indent));
        let last = row.len().saturating_sub(1);
        for (n, (cell, width)) in row.iter().zip(widths).enumerate() {
            let text = cut(&cell.text, *width);
            let padding = " ".repeat(width.saturating_sub(text.width()));
            let (before, after) = match self.columns[n].1 {
                Align::Right => (padding.as_str(), ""),
                Align::Left | Align::Flexible if n == last => ("", ""),
                Align::Left | Align::Flexible => ("", padding.as_str()),
            };
            line += before;
            line += cell.tone.paint(&text);
            line += after;
            line += if n == last { "" } else { &"  "[..GAP] };
        }
        line.trim_end()
    }
}

/// The number of spaces between columns.
const GAP: usize = 2;
/// The minimum width of a flexible column in characters.
const MIN_FLEXIBLE_WIDTH: usize = 6;

/// `text`, cut to `width` columns if it is wider. An ellipsis takes the place of its middle: the ends of names tell them apart.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let begin = fitting(text.chars(), room - room / 2);
    let end: Vec<char> = fitting(text.chars().rev(), room / 2).chars().collect();
    begin.chars().chain(['…']).chain(end.into_iter().rev()).collect()
}

/// The first characters that fit into `width` columns.
fn fitting(characters: impl Iterator<Item = char>, width: usize) -> String {
    let mut taken = 0;
    let fits = |c: &char| {
        taken += c.width().unwrap_or_default();
        taken <= width
    };
    characters.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_fits_its_width() {
        let mut table =
            Table::new(&[("NAME", Align::Flexible), ("SIZE", Align::Right), ("SCAN", Align::Left)]);
        table.add(vec!["short".into(), "1.0 MB".into(), "no findings".into()]);
        table.add(vec!["x".repeat(90).into(), "10.0 MB".into(), Cell::new("failed", Tone::Plain)]);
        let shown = |width| table.lines(2, width).map(|it| without_colours(it.as_str())).collect::<Vec<_>>();
        assert!(shown(None)[2].contains(&"x".repeat(90)), "nothing is cut in a pipe");
        assert!(shown(Some(120)).iter().all(|it| it.width() <= 120));
        let lines = shown(Some(80));
        assert!(lines.iter().all(|it| it.width() <= 80), "{lines:#?}");
        assert_eq!(lines[1].trim_end(), format!("  short{}   1.0 MB  no findings", " ".repeat(51)));
        assert!(lines[2].contains("x…x") && lines[2].ends_with("x  10.0 MB  failed"));
    }

    #[test]
    fn cut_keeps_both_ends_within_the_columns() {
        for (text, width, wanted) in [
            ("payment-gateway-1", 17, "payment-gateway-1"),
            ("payment-gateway-1", 11, "payme…way-1"),
            ("payment-gateway-1", 1, "…"),
            ("日本語の名前", 7, "日…前"),
            ("日本語", 6, "日本語"),
        ] {
            assert_eq!(cut(text, width), wanted);
        }
    }

    fn without_colours(line: &str) -> String {
        let mut parts = line.split('\x1b');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
    }
}
