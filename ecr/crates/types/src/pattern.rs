//! Patterns with the wildcard `*`, as in lifecycle policies, tag mutability exclusion filters and scanning filters.

/// A pattern in which `*` matches any number of characters, including none. Other characters match themselves, and the
/// pattern must match the whole text.
///
/// Matching is case-sensitive. AWS does not document whether it is (lifecycle_policy_parameters, `tagPatternList`).
///
/// ```
/// use ecr_types::Pattern;
///
/// assert!(Pattern::new("v1.*-rc").matches("v1.2-rc"));
/// assert!(!Pattern::prefix("v*").matches("v1"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The text before the first wildcard.
    first: String,
    /// The texts between wildcards.
    middle: Vec<String>,
    /// The text after the last wildcard; `None` for a pattern without wildcards.
    last: Option<String>,
}

impl Pattern {
    /// The pattern written as `text`, such as an entry of `tagPatternList`.
    pub fn new(text: &str) -> Self {
        let mut parts = text.split('*').map(str::to_owned);
        let first = parts.next().unwrap_or_default();
        let last = parts.next_back();
        Self { first, middle: parts.collect(), last }
    }

    /// The pattern of all texts that begin with `text`, such as an entry of `tagPrefixList`. A `*` in it is an ordinary
    /// character.
    pub fn prefix(text: &str) -> Self {
        Self { first: text.to_owned(), middle: Vec::new(), last: Some(String::new()) }
    }

    /// Whether the whole of `text` matches.
    // Inlined into the lifecycle engine, which calls it millions of times and is optimised in every profile.
    #[inline]
    pub fn matches(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let Some(rest) = without_prefix(text, self.first.as_bytes()) else { return false };
        let Some(last) = &self.last else { return rest.is_empty() };
        let Some(mut rest) = without_suffix(rest, last.as_bytes()) else { return false };
        self.middle.iter().all(|part| match after(rest, part.as_bytes()) {
            Some(found) => {
                rest = found;
                true
            }
            None => false,
        })
    }

    /// The first byte of every matching text; `None` if the pattern begins with a wildcard or is empty.
    pub fn first_byte(&self) -> Option<u8> {
        self.first.bytes().next()
    }

    /// The last byte of every matching text; `None` if the pattern ends with a wildcard or is empty.
    pub fn last_byte(&self) -> Option<u8> {
        self.last.as_ref().unwrap_or(&self.first).bytes().next_back()
    }

    /// Whether every text that matches `other` matches this pattern, too.
    // A wildcard of `other` becomes a character that only a wildcard of `self` matches.
    pub fn contains(&self, other: &Self) -> bool {
        self.matches(&other.joined('\u{0}'))
    }

    /// Whether at least one text matches both patterns.
    pub fn overlaps(&self, other: &Self) -> bool {
        let a: Vec<char> = self.joined('\u{0}').chars().collect();
        let b: Vec<char> = other.joined('\u{0}').chars().collect();
        // reach[j]: at least one text matches both the first i characters of `a` and the first j of `b`.
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
        let rest = self.middle.iter().chain(&self.last).map(|part| format!("{wildcard}{part}"));
        std::iter::once(self.first.clone()).chain(rest).collect()
    }
}

/// `text` after `prefix`. Tags are short and usually differ in their first bytes, for which `slice::strip_prefix` with its
/// call of `memcmp` takes twice as long.
#[inline]
fn without_prefix<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.iter().eq(prefix).then_some(rest)
}

/// `text` before `suffix`.
#[inline]
fn without_suffix<'a>(text: &'a [u8], suffix: &[u8]) -> Option<&'a [u8]> {
    let (rest, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    end.iter().eq(suffix).then_some(rest)
}

/// `text` after the first occurrence of `part`.
#[inline]
fn after<'a>(text: &'a [u8], part: &[u8]) -> Option<&'a [u8]> {
    (0..=text.len()).find_map(|at| without_prefix(&text[at..], part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_matches_the_whole_text() {
        for (pattern, tag) in
            [("prod*", "prod"), ("*a*b", "xaab"), ("latest", "latest"), ("*", ""), ("a*a", "aa")]
        {
            assert!(Pattern::new(pattern).matches(tag), "{pattern} {tag}");
        }
        for (pattern, tag) in
            [("prod*", "xprod"), ("a*a", "a"), ("latest", "latest1"), ("a.c", "abc"), ("A*", "a")]
        {
            assert!(!Pattern::new(pattern).matches(tag), "{pattern} {tag}");
        }
        assert!(!Pattern::prefix("v*").matches("v1"));
    }

    #[test]
    fn pattern_containment_and_overlap() {
        let pattern = Pattern::new;
        assert!(pattern("v*").contains(&pattern("v1.*")));
        assert!(pattern("*").contains(&Pattern::prefix("")));
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
