//! Markers: a comment at the end of a line that says which image the line is about, so that the line can be rewritten
//! again and again.

use std::ops::Range;

use ecr_oci::reference::Reference;
use ecr_types::Digest;

use super::Part;
use super::placeholders::Token;

/// The comment `# ecr://NAME` at the end of a line, or `// ecr://NAME`.
pub(super) struct Marker {
    /// The position of the comment in the line.
    start: usize,
    pub token: Token,
}

impl Marker {
    /// Takes the last token of a line for a marker, or gives it back.
    pub(super) fn of(line: &str, token: Token) -> Result<Self, Token> {
        let before = line[..token.span.start].trim_end();
        let comment = before.strip_suffix("//").or_else(|| before.strip_suffix('#'));
        // A comment begins after white space (YAML 1.2.2, section 6.6).
        let is_comment = comment.is_some_and(|it| it.ends_with(char::is_whitespace));
        let is_last = line[token.span.end..].trim().is_empty();
        match comment {
            Some(comment) if is_comment && is_last => Ok(Self { start: comment.len(), token }),
            _ => Err(token),
        }
    }
}

/// The word in front of a marker that it is about. `tokens` are the placeholders in front of it.
///
/// # Errors
/// There is no such word, or more than one; the reason.
pub(super) fn marked_word(line: &str, marker: &Marker, tokens: &[Token]) -> Result<Range<usize>, String> {
    let (name, part) = (&marker.token.name, marker.token.part);
    let before = &line[..marker.start];
    if let Some(other) = tokens.iter().find(|it| it.name != *name || it.part != part) {
        let other = &line[other.span.clone()];
        return Err(format!(
            "the marker `{}` stands behind another placeholder, `{other}`",
            token_text(line, marker)
        ));
    }
    if tokens.iter().any(|it| !is_word(before, &it.span, part)) {
        return Err(format!(
            "the placeholder before the marker `{}` is not a value of its own",
            token_text(line, marker)
        ));
    }
    let found: Vec<_> = match part {
        Part::Reference | Part::Tagged | Part::Repository => {
            let references = words(before).filter_map(|it| reference_in(before, it));
            let references = references.filter(|it| tokens.iter().all(|token| !overlaps(&token.span, it)));
            references.collect()
        }
        Part::Digest => words(before).filter(|it| before[it.clone()].parse::<Digest>().is_ok()).collect(),
        Part::Tag => last_value(before).into_iter().filter(|_| tokens.is_empty()).collect(),
    };
    let found: Vec<_> = found.into_iter().chain(tokens.iter().map(|it| it.span.clone())).collect();
    match found.as_slice() {
        [word] => Ok(word.clone()),
        [] => Err(format!("there is no {} before the marker `{}`", what(part), token_text(line, marker))),
        several => {
            let (n, text) = (several.len(), token_text(line, marker));
            Err(format!("there are {n} {}s before the marker `{text}`", what(part)))
        }
    }
}

fn token_text<'a>(line: &'a str, marker: &Marker) -> &'a str {
    &line[marker.token.span.clone()]
}

fn what(part: Part) -> &'static str {
    match part {
        Part::Reference | Part::Tagged | Part::Repository => "image reference",
        Part::Digest => "digest",
        Part::Tag => "value",
    }
}

fn overlaps(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Whether the text that takes the place of a placeholder will be found again.
fn is_word(line: &str, token: &Range<usize>, part: Part) -> bool {
    if part == Part::Tag {
        let text = format!("{}1{}", &line[..token.start], &line[token.end..]);
        return last_value(&text) == Some(token.start..token.start + 1);
    }
    let (before, after) = (&line[..token.start], &line[token.end..]);
    let start = before
        .rfind(|c| !is_part(c))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let scheme = &before[start..];
    let is_whole = scheme.is_empty() || (part != Part::Digest && scheme.ends_with("://") && !is_page(scheme));
    is_whole && !after.starts_with(is_part)
}

/// Whether a scheme is that of pages.
fn is_page(scheme: &str) -> bool {
    matches!(scheme.to_ascii_lowercase().as_str(), "http://" | "https://")
}

/// Whether references have a character.
fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | ':' | '@' | '-')
}

/// The longest runs of characters that references consist of.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text.get(at..)?.find(is_part)?;
        at = start + text[start..].find(|c| !is_part(c)).unwrap_or(text.len() - start);
        Some(start..at)
    })
}

/// The reference within a word, which names a host: `HOST/NAME`, behind a scheme such as `docker://` perhaps. The address of a
/// page is none.
fn reference_in(line: &str, word: Range<usize>) -> Option<Range<usize>> {
    let text = &line[word.clone()];
    let scheme = text.rfind("://").map_or(0, |it| it + 3);
    if is_page(&text[..scheme]) {
        return None;
    }
    let (host, _) = text[scheme..].split_once('/')?;
    let is_host = host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && (host.contains(['.', ':']) || host == "localhost");
    let is_reference = is_host && text[scheme..].parse::<Reference>().is_ok();
    is_reference.then(|| word.start + scheme..word.end)
}

/// The value at the end of a line, behind `:` or `=`, without its quotes.
fn last_value(text: &str) -> Option<Range<usize>> {
    let end = text.trim_end().trim_end_matches([',', ';']).trim_end_matches(['"', '\'']).len();
    let is_value = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let start = text[..end].rfind(|c| !is_value(c)).map_or(0, |it| it + 1);
    // A character that is not ASCII ends behind its first byte.
    let before = text.get(..start)?.trim_end_matches(['"', '\'']).trim_end();
    (start < end && before.ends_with([':', '='])).then_some(start..end)
}
