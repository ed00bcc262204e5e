//! Entries of `tagPrefixList` and `tagPatternList`, and which tags they cover.
//!
//! `*` stands for any run of characters, also an empty one; nothing else is special; the whole tag must match.
//! No page says whether case counts; it is taken to.

/// A pattern, cut at its wildcards. A prefix is a pattern with one `*` at its end, whatever characters it has.
///
/// Every pattern looks at every tag, and `cargo xtask` is compiled without optimisation: what is written here as plain
/// loops over boxed bytes is there several times faster than the standard library's generic functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPattern {
    /// What stands before the first wildcard.
    first: Box<[u8]>,
    /// What stands between wildcards.
    middle: Box<[Box<[u8]>]>,
    /// What stands after the last wildcard; `None` for a name without any.
    last: Option<Box<[u8]>>,
}

impl TagPattern {
    /// An entry of `tagPatternList`.
    pub fn pattern(text: &str) -> Self {
        let mut parts = text.split('*').map(|it| Box::from(it.as_bytes()));
        let first = parts.next().unwrap_or_default();
        let last = parts.next_back();
        Self { first, middle: parts.collect(), last }
    }

    /// An entry of `tagPrefixList`: a `*` in it is a character that no tag has.
    pub fn prefix(text: &str) -> Self {
        Self { first: text.as_bytes().into(), middle: Box::default(), last: Some(Box::default()) }
    }

    /// Whether it covers a tag. Most tags are told by their first or last bytes, before anything is searched.
    pub fn matches(&self, tag: &[u8]) -> bool {
        let start = self.first.len();
        if !stands_at(tag, 0, &self.first) {
            return false;
        }
        let Some(last) = &self.last else { return tag.len() == start };
        if tag.len() < start + last.len() || !stands_at(tag, tag.len() - last.len(), last) {
            return false;
        }
        let (mut at, end) = (start, tag.len() - last.len());
        for part in &self.middle {
            match find(tag, at, end, part) {
                Some(found) => at = found + part.len(),
                None => return false,
            }
        }
        true
    }

    /// The byte that every tag which it covers begins with, if there is one.
    pub fn first_byte(&self) -> Option<u8> {
        self.first.first().copied()
    }

    /// The byte that every tag which it covers ends with, if there is one.
    pub fn last_byte(&self) -> Option<u8> {
        self.last.as_ref().unwrap_or(&self.first).last().copied()
    }

    /// Whether it covers every tag that `other` covers: a wildcard of `other` counts as a character that only a
    /// wildcard can take.
    pub fn contains(&self, other: &Self) -> bool {
        self.matches(other.joined('\u{0}').as_bytes())
    }

    /// Whether some tag is covered by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (a, b): (Vec<_>, Vec<_>) =
            (self.joined('\u{0}').chars().collect(), other.joined('\u{0}').chars().collect());
        // reach[j]: the first i characters of `a` and the first j of `b` can stand for the same text.
        let mut reach = vec![false; b.len() + 1];
        reach[0] = true;
        for j in 0..b.len() {
            reach[j + 1] = reach[j] && b[j] == '\u{0}';
        }
        for &x in &a {
            let mut next = vec![false; b.len() + 1];
            next[0] = reach[0] && x == '\u{0}';
            for j in 0..b.len() {
                let y = b[j];
                next[j + 1] = match (x == '\u{0}', y == '\u{0}') {
                    (false, false) => reach[j] && x == y,
                    _ if x == '\u{0}' && y == '\u{0}' => reach[j] || reach[j + 1] || next[j],
                    (true, _) => reach[j + 1] || next[j],
                    (_, true) => next[j] || reach[j + 1],
                };
            }
            reach = next;
        }
        reach[b.len()]
    }

    fn joined(&self, wildcard: char) -> String {
        let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        let rest = self.middle.iter().chain(&self.last).map(|part| format!("{wildcard}{}", text(part)));
        std::iter::once(text(&self.first)).chain(rest).collect()
    }
}

/// Whether `part` stands in `text` at this place.
fn stands_at(text: &[u8], at: usize, part: &[u8]) -> bool {
    if text.len() < at + part.len() {
        return false;
    }
    let mut n = 0;
    while n < part.len() {
        if text[at + n] != part[n] {
            return false;
        }
        n += 1;
    }
    true
}

/// The first place from `at` where `part` stands in `text` and ends before `end`.
fn find(text: &[u8], mut at: usize, end: usize, part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(at);
    }
    let head = part[0];
    while at + part.len() <= end {
        if text[at] == head && stands_at(text, at, part) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_whole_tags() {
        for (pattern, tag) in
            [("prod*", "prod"), ("*a*b", "xaab"), ("latest", "latest"), ("*", ""), ("a*a", "aa")]
        {
            assert!(TagPattern::pattern(pattern).matches(tag.as_bytes()), "{pattern} {tag}");
        }
        for (pattern, tag) in
            [("prod*", "xprod"), ("a*a", "a"), ("latest", "latest1"), ("a.c", "abc"), ("A*", "a")]
        {
            assert!(!TagPattern::pattern(pattern).matches(tag.as_bytes()), "{pattern} {tag}");
        }
        assert!(!TagPattern::prefix("v*").matches(b"v1"));
    }

    #[test]
    fn containment_and_overlap() {
        let pattern = TagPattern::pattern;
        assert!(pattern("v*").contains(&pattern("v1.*")));
        assert!(pattern("*").contains(&TagPattern::prefix("")));
        assert!(!pattern("v1.*").contains(&pattern("v*")));
        assert!(!pattern("a*b").contains(&pattern("a*")));
        for (a, b, is) in [
            ("v1*", "*-rc", true),
            ("v1*", "v2*", false),
            ("a*b", "ab", true),
            ("a*b*c", "*bc", true),
            ("latest", "l*", true),
            ("latest", "stable", false),
            ("*x", "*y", false),
        ] {
            assert_eq!(pattern(a).overlaps(&pattern(b)), is, "{a} {b}");
            assert_eq!(pattern(b).overlaps(&pattern(a)), is, "{b} {a}");
        }
    }
}
