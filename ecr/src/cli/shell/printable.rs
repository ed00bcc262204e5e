//! The one place that escapes what others wrote: names, tags, messages of AWS and of registries, paths, the quoted output
//! of programs. A terminal would take control characters in it for commands, and bidirectional formatting characters
//! would make it look like another text (CVE-2021-42574).
//!
//! The shell prints [`Printable`] only, and text becomes one only by being escaped. Styles are added after that, so that
//! every escape sequence in the output is one of this program.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Add, AddAssign};

use anstyle::Style;

/// Text without control characters and invisible formatting characters, except line breaks, tabs and the sequences of
/// this program's own styles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Printable(String);

impl Printable {
    /// A text of one line: line breaks and tabs are escaped, too. For names and cells of tables.
    pub fn line(text: &str) -> Self {
        Self(escape(text, |_| false).into_owned())
    }

    /// A message below whose first line further lines are indented, so that none of them looks like a line of its own.
    pub fn message(text: &str) -> Self {
        Self(escape(text, is_layout).replace('\n', "\n  "))
    }

    /// The text in a style.
    pub fn styled(&self, style: Style) -> Self {
        Self(format!("{style}{}{style:#}", self.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text without white space at its end.
    pub fn trim_end(&self) -> Self {
        Self(self.0.trim_end().to_owned())
    }
}

impl From<&str> for Printable {
    fn from(text: &str) -> Self {
        Self(escape(text, is_layout).into_owned())
    }
}

impl From<&String> for Printable {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Printable {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&Printable> for Printable {
    fn from(text: &Printable) -> Self {
        text.clone()
    }
}

impl<T: Into<Printable>> AddAssign<T> for Printable {
    fn add_assign(&mut self, text: T) {
        self.0 += &text.into().0;
    }
}

impl<T: Into<Printable>> Add<T> for Printable {
    type Output = Self;

    fn add(mut self, text: T) -> Self {
        self += text;
        self
    }
}

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a terminal could take the character for a command, or would show it as nothing or change the direction of
/// what follows: the controls C0, DEL and C1, and the formatting characters of Unicode that are invisible.
pub fn is_escaped(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{AD}' | '\u{61C}' | '\u{180E}' // soft hyphen, Arabic letter mark, Mongolian vowel separator
            | '\u{200B}'..='\u{200F}' // zero width, and marks of direction
            | '\u{2028}'..='\u{202E}' // separators of lines, embeddings and overrides
            | '\u{2060}'..='\u{206F}' // word joiner, isolates, deprecated formatting
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' // byte order mark, annotations
            | '\u{E0000}'..='\u{E007F}') // tags
}

fn is_layout(c: char) -> bool {
    matches!(c, '\n' | '\t')
}

/// Escapes as Rust does, `\u{1b}`.
fn escape(text: &str, is_kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_bad = |c: char| is_escaped(c) && !is_kept(c);
    if !text.contains(is_bad) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_bad(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anstyle::AnsiColor;

    #[test]
    fn printable_has_no_characters_that_a_terminal_obeys() {
        let rows = [
            ("title of the window", "a\x1b]0;owned\x07b", r"a\u{1b}]0;owned\u{7}b"),
            ("clear the screen", "\x1b[2J", r"\u{1b}[2J"),
            ("colour", "\x1b[31mred\x1b[0m", r"\u{1b}[31mred\u{1b}[0m"),
            ("C1 CSI", "\u{9b}31m", r"\u{9b}31m"),
            ("C1 NEL", "a\u{85}b", r"a\u{85}b"),
            ("NUL, backspace, DEL", "\0\u{8}\u{7f}", r"\u{0}\u{8}\u{7f}"),
            ("carriage return", "good\rbad", r"good\rbad"),
            ("line break and tab are layout", "a\n\tb", "a\n\tb"),
            ("direction marks", "\u{200e}\u{200f}\u{61c}", r"\u{200e}\u{200f}\u{61c}"),
            ("override", "\u{202a}\u{202e}", r"\u{202a}\u{202e}"),
            ("isolates", "\u{2066}\u{2069}", r"\u{2066}\u{2069}"),
            ("zero width", "a\u{200b}\u{200d}\u{2060}\u{feff}b", r"a\u{200b}\u{200d}\u{2060}\u{feff}b"),
            ("invisible tags", "\u{e0041}", r"\u{e0041}"),
            ("other scripts and symbols", "é ü 漢字 עברית 🦀 … ─", "é ü 漢字 עברית 🦀 … ─"),
            ("backslashes stay", r"\u{1b}", r"\u{1b}"),
        ];
        for (name, text, wanted) in rows {
            assert_eq!(Printable::from(text).as_str(), wanted, "{name}");
        }
        assert_eq!(Printable::line("a\n\tb\x1b").as_str(), r"a\n\tb\u{1b}");
        assert_eq!(Printable::message("a\nerror: b").as_str(), "a\n  error: b");
    }

    #[test]
    fn printable_escapes_every_control_character() {
        for c in (0..=0x9f_u32).filter_map(char::from_u32).filter(|it| it.is_control()) {
            let text = Printable::line(&c.to_string());
            assert!(text.as_str().chars().all(|it| it.is_ascii_graphic()), "{c:?}: {text}");
        }
    }

    #[test]
    fn printable_keeps_its_own_styles_only() {
        let style = AnsiColor::Green.on_default();
        let text = Printable::line("a\x1b[0m").styled(style) + " \x1b[0m";
        assert_eq!(text.to_string(), format!("{style}a\\u{{1b}}[0m{style:#} \\u{{1b}}[0m"));
        assert_eq!(Printable::from(&text), text);
    }
}
