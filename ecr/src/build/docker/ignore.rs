//! `.dockerignore` files, which exclude files from a build context (Docker documentation, "Build context",
//! ".dockerignore files").

use glob::{MatchOptions, Pattern};

/// The rules of a file in their order. The last rule that matches a path decides.
#[derive(Debug, Clone, Default)]
pub struct DockerIgnore(Vec<IgnoreRule>);

#[derive(Debug, Clone)]
struct IgnoreRule {
    pattern: Pattern,
    /// `!pattern`: matching paths are included again.
    is_exception: bool,
}

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl DockerIgnore {
    /// Parses the rules. A line that is not a valid pattern is ignored, because it cannot match a path.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#'));
        Self(lines.filter_map(IgnoreRule::parse).collect())
    }

    /// Appends an exclusion of `path`, which overrides all earlier rules.
    pub fn exclude(&mut self, path: &str) {
        self.0.extend(IgnoreRule::parse(&Pattern::escape(path)));
    }

    /// Whether a path is excluded. It is relative to the context, with `/` as separator.
    pub fn excludes(&self, path: &str) -> bool {
        let parts: Vec<_> = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]).collect();
        let is_about = |it: &&IgnoreRule| parts.iter().any(|part| it.pattern.matches_with(part, OPTIONS));
        self.0.iter().rev().find(is_about).is_some_and(|it| !it.is_exception)
    }

    /// Whether a path below an excluded folder may be included again.
    pub fn has_exceptions(&self) -> bool {
        self.0.iter().any(|it| it.is_exception)
    }
}

impl IgnoreRule {
    fn parse(line: &str) -> Option<Self> {
        let (is_exception, pattern) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        let pattern = pattern.trim_start_matches("./").trim_matches('/');
        Some(Self { pattern: Pattern::new(pattern).ok()?, is_exception })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignore_file_is_decided_by_the_last_matching_rule() {
        let ignore = DockerIgnore::parse(
            "# what is built\n/target\n*.log\n**/cache\n*/temp*\ndocs\n!docs/README.md\n",
        );
        for path in ["target", "target/debug/x", "a.log", "cache", "a/b/cache/x", "a/temporary", "docs/x.md"]
        {
            assert!(ignore.excludes(path), "{path}");
        }
        for path in ["src/target.rs", "a/b.log", "temporary", "docs/README.md", "src"] {
            assert!(!ignore.excludes(path), "{path}");
        }
        let mut all = DockerIgnore::parse("!target\n");
        all.exclude("target");
        assert!(all.excludes("target/x") && all.has_exceptions());
    }
}
