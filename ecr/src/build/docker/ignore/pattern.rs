//! One pattern of a `.dockerignore`, as moby's `patternmatcher` reads it (github.com/moby/patternmatcher).
//!
//! It checks the syntax with Go's `filepath.Match` and matches with a regular expression, so that a pattern may mean what
//! `filepath.Match` does not know: `**`, `[[:alpha:]]`, or `\d` for a digit.

use std::iter::Peekable;
use std::str::Chars;

use regex_lite::Regex;

/// A pattern without its `!`.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// The cleaned text.
    text: Vec<u8>,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    /// The path is the text.
    Exact,
    /// `folder/**`: the path begins with these bytes.
    Prefix(Vec<u8>),
    /// `**/name`: the path ends with these bytes, or is what follows their `/`.
    Suffix(Vec<u8>),
    Regex {
        regex: Regex,
        /// What a path that matches begins and ends with. Most paths are decided by that.
        prefix: Vec<u8>,
        suffix: Vec<u8>,
    },
}

impl Pattern {
    /// Compiles a cleaned pattern. `None` if its syntax is wrong (`filepath.ErrBadPattern` in Go).
    pub(super) fn new(cleaned: Vec<u8>) -> Option<Self> {
        let text = runes(&cleaned);
        if !is_valid(&text) {
            return None;
        }
        let (kind, expression) = translate(&text)?;
        let matcher = match kind {
            Kind::Exact => Matcher::Exact,
            Kind::Prefix => Matcher::Prefix(cleaned[..cleaned.len() - 2].to_vec()),
            Kind::Suffix => Matcher::Suffix(cleaned[2..].to_vec()),
            Kind::Regex => {
                let regex = Regex::new(&without_nested_classes(&expression)).ok()?;
                let (prefix, suffix) = ends(&cleaned);
                Matcher::Regex { regex, prefix, suffix }
            }
        };
        Some(Self { text: cleaned, matcher })
    }

    /// A pattern that matches this path only.
    pub(super) fn literal(path: &str) -> Self {
        Self { text: path.into(), matcher: Matcher::Exact }
    }

    /// Whether the pattern matches exactly this path, and not only a folder above it.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Exact => path == self.text,
            Matcher::Prefix(prefix) => path.starts_with(prefix),
            Matcher::Suffix(suffix) => {
                path.ends_with(suffix) || suffix.strip_prefix(b"/").is_some_and(|it| it == path)
            }
            Matcher::Regex { regex, prefix, suffix } => {
                path.starts_with(prefix) && path.ends_with(suffix) && regex.is_match(&runes(path))
            }
        }
    }

    /// Whether the text names a path below the folder, or the folder itself.
    pub(super) fn is_below(&self, folder: &[u8]) -> bool {
        let rest = self.text.strip_prefix(folder);
        rest.is_some_and(|it| it.is_empty() || it.starts_with(b"/"))
    }
}

/// The plain text at the beginning and at the end of a pattern.
fn ends(pattern: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let Ok(text) = str::from_utf8(pattern) else { return Default::default() };
    let is_special = |it: char| matches!(it, '*' | '?' | '[' | ']' | '\\' | '\u{feff}');
    let prefix = text.split(is_special).next().unwrap_or_default();
    let (before, mut suffix) = text.rsplit_once(is_special).unwrap_or_default();
    if text[before.len()..].starts_with('\\') {
        // What is escaped may be a class such as `\d`.
        suffix = suffix.get(1..).unwrap_or_default();
    } else if text[..text.len() - suffix.len()].ends_with("**") {
        // The `/` of `**/` need not be there.
        suffix = suffix.strip_prefix('/').unwrap_or(suffix);
    }
    (prefix.into(), suffix.into())
}

/// The text as Go's `range` over a string sees it: each byte that is not UTF-8 is U+FFFD.
fn runes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// Whether Go's `filepath.Match` accepts the syntax (<https://pkg.go.dev/path/filepath#Match>).
fn is_valid(pattern: &str) -> bool {
    let mut rest = pattern.chars().peekable();
    while let Some(char) = rest.next() {
        let is_good = match char {
            '\\' => rest.next().is_some(),
            '[' => is_class(&mut rest),
            _ => true,
        };
        if !is_good {
            return false;
        }
    }
    true
}

/// Reads a class up to its `]`: `^`, and then at least one character or range.
fn is_class(rest: &mut Peekable<Chars<'_>>) -> bool {
    rest.next_if_eq(&'^');
    for count in 0.. {
        if count > 0 && rest.next_if_eq(&']').is_some() {
            return true;
        }
        if !is_class_character(rest) || (rest.next_if_eq(&'-').is_some() && !is_class_character(rest)) {
            return false;
        }
    }
    false
}

fn is_class_character(rest: &mut Peekable<Chars<'_>>) -> bool {
    match rest.next() {
        None | Some('-' | ']') => false,
        Some('\\') => rest.next().is_some(),
        Some(_) => true,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

/// The regular expression of a pattern, in Go's syntax, step by step as `Pattern.compile` of patternmatcher makes it.
/// `None` if Go's `regexp` would refuse an escape.
fn translate(pattern: &str) -> Option<(Kind, String)> {
    let (mut kind, mut expression) = (Kind::Exact, "^".to_owned());
    // Go's text/scanner reads past a byte order mark.
    let mut rest = pattern.strip_prefix('\u{feff}').unwrap_or(pattern).chars().peekable();
    let mut is_first = true;
    while let Some(char) = rest.next() {
        match char {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                kind = double_star(kind, is_first, rest.peek().is_none(), &mut expression);
            }
            '*' => (kind, expression) = (Kind::Regex, expression + "[^/]*"),
            '?' => (kind, expression) = (Kind::Regex, expression + "[^/]"),
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => expression.extend(['\\', char]),
            '\\' => {
                kind = Kind::Regex;
                escape(rest.next()?, &mut expression)?;
            }
            '[' | ']' => {
                kind = Kind::Regex;
                expression.push(char);
            }
            char => expression.push(char),
        }
        is_first = false;
    }
    Some((kind, expression + "$"))
}

/// `**`, with the `/` after it: any number of folders, or everything if it is last.
fn double_star(kind: Kind, is_first: bool, is_last: bool, expression: &mut String) -> Kind {
    let next = match (is_last, kind) {
        (true, Kind::Exact) => Kind::Prefix,
        (true, _) => {
            expression.push_str(".*");
            Kind::Regex
        }
        (false, _) => {
            expression.push_str("(.*/)?");
            Kind::Regex
        }
    };
    if is_first { Kind::Suffix } else { next }
}

/// A character after `\`. Go's `regexp` takes letters for classes and control characters, such as `\d` and `\t`, and
/// every other ASCII character for itself. `\p`, `\Q` and `\C` are refused here.
fn escape(char: char, expression: &mut String) -> Option<()> {
    match char {
        'd' | 'D' | 's' | 'S' | 'w' | 'W' | 'b' | 'B' | 'A' | 'z' | 'a' | 'f' | 'n' | 'r' | 't' | 'v'
        | 'x' => {
            expression.extend(['\\', char]);
        }
        char if char.is_ascii_alphanumeric() || !char.is_ascii() => return None,
        char if is_special(char) => expression.extend(['\\', char]),
        char => expression.push(char),
    }
    Some(())
}

fn is_special(char: char) -> bool {
    r"\.+*?()|[]{}^$#&-~".contains(char)
}

/// The same expression for regex-lite, in which a class within a class is an operation and not a character.
fn without_nested_classes(expression: &str) -> String {
    let mut result = String::with_capacity(expression.len());
    let mut is_inside = false;
    let mut chars = expression.chars();
    while let Some(char) = chars.next() {
        let rest = chars.as_str();
        match char {
            '\\' => result.extend(['\\'].into_iter().chain(chars.next())),
            '[' if is_inside => match rest.strip_prefix(':').and_then(|it| it.find(":]")) {
                // `[:alpha:]`, where `at` is the length of the name.
                Some(at) => {
                    result.push('[');
                    result.extend(chars.by_ref().take(rest[1..1 + at].chars().count() + 3));
                }
                None => result.push_str("\\["),
            },
            '&' | '~' if is_inside => result.extend(['\\', char]),
            char => {
                is_inside = (is_inside || char == '[') && char != ']';
                result.push(char);
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a pattern does with a path: `None` if it is not valid.
    fn matches(pattern: &str, path: &str) -> Option<bool> {
        Pattern::new(pattern.into()).map(|it| it.matches(path.as_bytes()))
    }

    #[test]
    fn pattern_matches_as_gos_filepath_match() {
        // matchTests in patternmatcher_test.go, which are those of Go's path/filepath.
        let rows: &[(&str, &str, bool)] = &[
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "z", false),
            ("[\\-x]", "-", true),
        ];
        for (pattern, path, is_match) in rows {
            assert_eq!(matches(pattern, path), Some(*is_match), "{pattern} {path}");
        }
    }

    #[test]
    fn pattern_with_two_stars_matches_as_in_docker() {
        // TestMatches in patternmatcher_test.go, for paths without their folders.
        let rows: &[(&str, &str, bool)] = &[
            ("**", "dir/file", true),
            ("**/**", "dir/file", true),
            ("dir/**", "dir/dir2/file", true),
            ("dir/**", "dir", false),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/**", "dir/dir2/dir3/file", true),
            ("**file", "dir/dir/file", true),
            ("**/file", "file", true),
            ("**/file", "profile", false),
            ("**/file*.txt*", "dir/dir/file.txt", true),
            ("**/**/*.txt2", "dir/dir/file.txt", false),
            ("**/*.txt", "file.txt", true),
            ("a**/*.txt", "a/dir/dir/file.txt", true),
            ("a/*.txt**", "a/file.txt", true),
            ("abc.def", "abcZdef", false),
            ("a\\\\", "a\\", true),
            ("a(b)c/def", "a(b)c/def", true),
            ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
            ("dist/*.whl", "dist/p-2.4.0rc3.dev36+g08-any.whl", true),
            // Go's regular expressions, tried on docker 28.2.
            ("x[[:digit:]]", "x7", true),
            ("x\\d", "x7", true),
            ("x[[]", "x[", true),
            ("x[&&~]", "x~", true),
            ("x[*]", "x*", false),
            ("x[!a]", "x!", true),
            ("a\\ b", "a b", true),
        ];
        for (pattern, path, is_match) in rows {
            assert_eq!(matches(pattern, path), Some(*is_match), "{pattern} {path}");
        }
    }

    #[test]
    fn pattern_ends_are_plain_text() {
        let rows = [
            ("*.md", ("", ".md")),
            ("a/b*", ("a/b", "")),
            ("a**/b", ("a", "b")),
            ("a*/b", ("a", "/b")),
            ("a\\d", ("a", "")),
            ("a\\*b", ("a", "b")),
            ("a[b]c", ("a", "c")),
            ("a\\éx", ("a", "")),
        ];
        for (pattern, (prefix, suffix)) in rows {
            assert_eq!(ends(pattern.as_bytes()), (prefix.into(), suffix.into()), "{pattern}");
        }
    }

    #[test]
    fn pattern_of_wrong_syntax_is_none() {
        // The rows of matchTests with ErrBadPattern, and what Go's `regexp` refuses.
        let wrong = [
            "[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "[z-a]", "a\\p", "a\\é",
            "[^]",
        ];
        for pattern in wrong {
            assert_eq!(matches(pattern, "a"), None, "{pattern}");
        }
    }

    #[test]
    fn pattern_takes_bytes_that_are_no_text() {
        let exact = Pattern::new(b"caf\xe9".to_vec()).unwrap();
        assert!(exact.matches(b"caf\xe9") && !exact.matches(b"caf\xe8"));
        assert!(Pattern::new(b"caf?".to_vec()).unwrap().matches(b"caf\xe9"));
    }
}
