//! Finds placeholders in a text.

use std::ops::Range;

use ecr_types::document::did_you_mean;
use ecr_types::human::listed;

use super::marker::{Marker, marked_word};
use super::{Part, SCHEME};

/// A part of a text that stands for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// The bytes to replace.
    pub span: Range<usize>,
    /// The line of `ecr://`, from 1.
    pub line: usize,
    /// The column of `ecr://` in characters, from 1.
    pub column: usize,
    /// The name of a package or repository.
    pub name: String,
    pub part: Part,
}

/// A placeholder, or a marker, that says not what to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPlaceholder {
    /// The line and the column, as those of [`Placeholder`].
    pub line: usize,
    pub column: usize,
    pub message: String,
    pub help: String,
}

/// The placeholders of a text, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub placeholders: Vec<Placeholder>,
    pub invalid: Vec<InvalidPlaceholder>,
}

/// A placeholder as it is written: `ecr://NAME`, with or without a fragment.
pub(super) struct Token {
    /// Its bytes in the line.
    pub span: Range<usize>,
    pub name: String,
    pub part: Part,
}

/// Why a token is none.
struct InvalidToken {
    message: String,
    help: String,
}

/// Finds the placeholders of a text: `ecr://NAME` anywhere, and in lines that end in the comment `# ecr://NAME` the reference
/// before the comment. A line that is a comment, which begins with `#` or `//`, has none.
pub fn find(text: &str) -> Found {
    let mut found = Found::default();
    // Most files have none, and most lines of the others.
    if !text.contains(SCHEME) {
        return found;
    }
    for (n, (start, line)) in lines(text).enumerate().filter(|(_, (_, line))| line.contains(SCHEME)) {
        if !is_comment(line) {
            Line { text: line, start, number: n + 1 }.find(&mut found);
        }
    }
    found
}

/// Whether bytes contain the beginning of a placeholder in UTF-16, in either order of the bytes.
pub fn is_in_utf16(bytes: &[u8]) -> bool {
    let wide: Vec<u8> = SCHEME.bytes().flat_map(|it| [it, 0]).collect();
    // Without its last zero, it is within the other order, too.
    let wide = &wide[..wide.len() - 1];
    bytes.windows(wide.len()).any(|it| it == wide)
}

/// Whether a line is nothing but a comment, as [`ecr_lifecycle::in_use`] takes it.
fn is_comment(line: &str) -> bool {
    let text = line.trim_start_matches('\u{feff}').trim_start();
    text.starts_with('#') || text.starts_with("//")
}

/// The lines of a text without their ends (LF, CRLF or CR), with the positions where they begin.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|it| !it.is_empty())?;
        let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let ending = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        let line = (start, &rest[..end]);
        start += end + ending;
        Some(line)
    })
}

/// A line that contains the beginning of a placeholder.
struct Line<'a> {
    text: &'a str,
    /// The position of its first byte in the text.
    start: usize,
    number: usize,
}

impl Line<'_> {
    fn find(&self, found: &mut Found) {
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(next) = self.text[at..].find(SCHEME).map(|it| at + it) {
            at = next + SCHEME.len();
            match Token::read(self.text, next) {
                Ok(token) => {
                    at = token.span.end;
                    tokens.push(token);
                }
                Err(InvalidToken { message, help }) => found.invalid.push(self.invalid(next, message, help)),
            }
        }
        let Some(last) = tokens.pop() else { return };
        match Marker::of(self.text, last) {
            Ok(marker) => self.marked(&marker, &tokens, found),
            Err(last) => {
                found.placeholders.extend(tokens.into_iter().chain([last]).map(|it| self.placeholder(it)));
            }
        }
    }

    /// Adds the word that a marker names.
    fn marked(&self, marker: &Marker, before: &[Token], found: &mut Found) {
        match marked_word(self.text, marker, before) {
            Ok(word) => {
                let span = self.start + word.start..self.start + word.end;
                let at = marker.token.span.clone();
                let token = Token { span: at, name: marker.token.name.clone(), part: marker.token.part };
                found.placeholders.push(Placeholder { span, ..self.placeholder(token) });
            }
            Err(message) => {
                let help = match marker.token.part {
                    Part::Reference | Part::Tagged | Part::Repository => {
                        "write the value before the marker as HOST/NAME:TAG, HOST/NAME@DIGEST or ecr://NAME, once"
                    }
                    Part::Digest => "write the value before the marker as sha256:..., with 64 digits, once",
                    Part::Tag => {
                        "write the tag as the last value before the marker: `tag: 1.0.0 # ecr://my-app#tag`"
                    }
                };
                found.invalid.push(self.invalid(marker.token.span.start, message, help.to_owned()));
            }
        }
    }

    fn placeholder(&self, token: Token) -> Placeholder {
        Placeholder {
            column: self.column(token.span.start),
            span: self.start + token.span.start..self.start + token.span.end,
            line: self.number,
            name: token.name,
            part: token.part,
        }
    }

    fn invalid(&self, at: usize, message: String, help: String) -> InvalidPlaceholder {
        InvalidPlaceholder { line: self.number, column: self.column(at), message, help }
    }

    /// The column of a byte, in characters. A byte order mark is none.
    fn column(&self, at: usize) -> usize {
        self.text[..at].trim_start_matches('\u{feff}').chars().count() + 1
    }
}

impl Token {
    /// Reads the token that begins at `start`. Its name is the longest possible one.
    fn read(line: &str, start: usize) -> Result<Self, InvalidToken> {
        let rest = &line[start + SCHEME.len()..];
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(length);
        if name.is_empty() {
            return Err(InvalidToken {
                message: format!("`{SCHEME}` is not followed by a name"),
                help: "write the name of a package or repository, such as ecr://my-app".to_owned(),
            });
        }
        let mut end = start + SCHEME.len() + length;
        let mut part = Part::Reference;
        if let Some(fragment) = after.strip_prefix('#') {
            let is_fragment = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            let length = fragment.find(|c| !is_fragment(c)).unwrap_or(fragment.len());
            part = Part::of_fragment(&fragment[..length])
                .ok_or_else(|| unknown_part(name, &fragment[..length]))?;
            end += 1 + length;
        }
        Ok(Self { span: start..end, name: name.to_owned(), part })
    }
}

fn unknown_part(name: &str, fragment: &str) -> InvalidToken {
    let parts = Part::NAMED.map(|it| format!("`#{it}`"));
    let known = Part::NAMED.iter().map(|it| it.fragment());
    let help = match did_you_mean(fragment, known).filter(|_| !fragment.is_empty()) {
        Some(similar) => format!("did you mean `#{similar}`?"),
        None => format!("the parts are {}; without one it is HOST/NAME@DIGEST", listed(&parts)),
    };
    InvalidToken {
        message: format!("`{SCHEME}{name}#{fragment}` names an unknown part of the reference"),
        help,
    }
}
