//! `.dockerignore`: what stays out of a build context (Docker documentation, "Build context", ".dockerignore files").

use glob::{MatchOptions, Pattern};

/// The rules of a file, in their order: the last one that is about a path decides.
#[derive(Debug, Clone, Default)]
pub struct DockerIgnore(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    pattern: Pattern,
    /// `!pattern`: what it is about comes back in.
    is_exception: bool,
}

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl DockerIgnore {
    /// Reads the rules. A line that is no pattern is left out, as nothing could match it.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#'));
        Self(lines.filter_map(Rule::parse).collect())
    }

    /// Adds a rule that goes before none: whatever came earlier, it counts.
    pub fn exclude(&mut self, path: &str) {
        self.0.extend(Rule::parse(&Pattern::escape(path)));
    }

    /// Whether a path, relative to the context and with `/` between its parts, stays out.
    pub fn excludes(&self, path: &str) -> bool {
        let parts: Vec<_> = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]).collect();
        let is_about = |it: &&Rule| parts.iter().any(|part| it.pattern.matches_with(part, OPTIONS));
        self.0.iter().rev().find(is_about).is_some_and(|it| !it.is_exception)
    }

    /// Whether something below a folder that stays out may come back in.
    pub fn has_exceptions(&self) -> bool {
        self.0.iter().any(|it| it.is_exception)
    }
}

impl Rule {
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
    fn the_last_rule_decides() {
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
