//! `.dockerignore` files, which exclude files from a build context.
//!
//! docker does not document all of it (<https://docs.docker.com/build/concepts/context/#dockerignore-files>). What
//! counts is moby's code: `ignorefile` splits the file into patterns, `patternmatcher` decides about a path, and
//! `archive.TarWithOptions` of the client walks the folder.

use thiserror::Error;

mod clean;
mod pattern;

use clean::clean;
use pattern::Pattern;

/// The rules of a file in their order. The last rule that matches a path decides.
#[derive(Debug, Clone, Default)]
pub struct DockerIgnore(Vec<IgnoreRule>);

#[derive(Debug, Clone)]
struct IgnoreRule {
    pattern: Pattern,
    /// `!pattern`: matching paths are included again.
    is_exception: bool,
}

/// What is known of a path: whether it is excluded, and which rules match it or a folder above it.
#[derive(Debug, Clone, Default)]
pub struct Ignored {
    pub is_excluded: bool,
    matched: Vec<bool>,
}

/// Why the text of a `.dockerignore` is refused. docker refuses the same, without the place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidIgnore {
    #[error("{}", listed(.0))]
    Patterns(Vec<(usize, String)>),
    #[error("the file is in UTF-16, of which docker would read no line: save it as UTF-8")]
    Utf16,
}

fn listed(patterns: &[(usize, String)]) -> String {
    let each = patterns.iter().map(|(line, text)| format!("line {line}: `{text}` is not a valid pattern"));
    each.collect::<Vec<_>>().join("; ")
}

impl DockerIgnore {
    /// Parses the rules, as `ignorefile.ReadAll` and `patternmatcher.New` do.
    ///
    /// # Errors
    /// A line is not a valid pattern; all such lines are named. Or the file is in UTF-16.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidIgnore> {
        if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
            return Err(InvalidIgnore::Utf16);
        }
        let (mut rules, mut wrong) = (Vec::new(), Vec::new());
        for (n, line) in without_mark(text).split(|it| *it == b'\n').enumerate() {
            match IgnoreRule::parse(line) {
                Ok(rule) => rules.extend(rule),
                Err(text) => wrong.push((n + 1, text)),
            }
        }
        if wrong.is_empty() { Ok(Self(rules)) } else { Err(InvalidIgnore::Patterns(wrong)) }
    }

    /// Rules that exclude `paths`, and then the rules of `self`, so that its exceptions count.
    pub fn after_exclusions(self, paths: &[String]) -> Self {
        let own = paths.iter().map(|it| IgnoreRule { pattern: Pattern::literal(it), is_exception: false });
        Self(own.chain(self.0).collect())
    }

    /// The rules, and exceptions for those of `paths` that they exclude (`TrimBuildFilesFromExcludes` in docker/cli).
    pub fn with_exceptions(mut self, paths: &[&str]) -> Self {
        for path in paths.iter().filter(|it| self.excludes(it.as_bytes())).collect::<Vec<_>>() {
            self.0.push(IgnoreRule { pattern: Pattern::literal(path), is_exception: true });
        }
        self
    }

    /// Whether a path is excluded, where `parent` is what is known of its folder, or the default for the context's own
    /// folder (`MatchesUsingParentResults` of patternmatcher). Paths are relative to the context, with `/`.
    pub fn state(&self, path: &[u8], parent: &Ignored) -> Ignored {
        let mut state = Ignored { is_excluded: false, matched: vec![false; self.0.len()] };
        for (n, rule) in self.0.iter().enumerate() {
            // An exclusion changes nothing for a path that is excluded, nor an exception for one that is not.
            let is_open = || rule.is_exception == state.is_excluded;
            let is_inherited = parent.matched.get(n) == Some(&true);
            if is_inherited || (is_open() && rule.pattern.matches(path)) {
                state.matched[n] = true;
                state.is_excluded = !rule.is_exception;
            }
        }
        state
    }

    /// Whether a path is excluded, by itself or with a folder above it.
    pub fn excludes(&self, path: &[u8]) -> bool {
        let folders = path.iter().enumerate().filter(|(_, it)| **it == b'/').map(|(at, _)| &path[..at]);
        let state = folders.chain([path]).fold(Ignored::default(), |parent, it| self.state(it, &parent));
        state.is_excluded
    }

    /// Whether an exception names a path below the excluded folder. Only then docker looks into it: in `*` and
    /// `!**/*.rs` it does not.
    pub fn has_exceptions_below(&self, folder: &[u8]) -> bool {
        self.0.iter().any(|it| it.is_exception && it.pattern.is_below(folder))
    }
}

impl IgnoreRule {
    /// The rule of a line, `None` for an empty line or a comment. The error is the pattern.
    fn parse(line: &[u8]) -> Result<Option<Self>, String> {
        let text = trimmed(line);
        // A comment begins in the first column: ` #name` is a pattern.
        if line.starts_with(b"#") || text.is_empty() {
            return Ok(None);
        }
        let (is_exception, pattern) = match text.strip_prefix(b"!") {
            Some(rest) => (true, trimmed(rest)),
            None => (false, text),
        };
        let cleaned = if pattern.is_empty() { Vec::new() } else { clean(pattern) };
        let relative = cleaned.strip_prefix(b"/").filter(|it| !it.is_empty()).unwrap_or(&cleaned);
        let is_empty = is_exception && (relative.is_empty() || relative == b"/");
        let pattern = Pattern::new(relative.to_vec()).filter(|_| !is_empty);
        let pattern = pattern.ok_or_else(|| String::from_utf8_lossy(text).into_owned())?;
        Ok(Some(Self { pattern, is_exception }))
    }
}

/// The text without a byte order mark, which editors on Windows write (moby/moby#23221).
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

fn trimmed(line: &[u8]) -> &[u8] {
    str::from_utf8(line).map_or(line.trim_ascii(), |it| it.trim().as_bytes())
}

/// A pattern that matches exactly `path`.
pub fn escaped(path: &str) -> String {
    // `!` and `#` mean something at the beginning only, and are the same with a backslash elsewhere.
    let special = |it: char| matches!(it, '\\' | '*' | '?' | '[' | ']' | '!' | '#');
    path.chars().flat_map(|it| special(it).then_some('\\').into_iter().chain([it])).collect()
}

#[cfg(test)]
mod tests;
