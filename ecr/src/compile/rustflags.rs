//! Ours appended to the user's own rustflags.
//!
//! Cargo takes them from the first of four places that has any, and never adds them up: CARGO_ENCODED_RUSTFLAGS,
//! RUSTFLAGS, `target.*.rustflags`, `build.rustflags` (The Cargo Book, "build.rustflags"). To add some, one has
//! to find out which place counts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_platform::{Cfg, CfgExpr};
use toml::{Table, Value};

/// Flags, in the place where cargo looks first.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flags {
    /// All of them, for CARGO_ENCODED_RUSTFLAGS.
    Environment(Vec<String>),
    /// `--config target.TRIPLE.rustflags=[...]`, which cargo joins to what the files say there.
    Config(String, Vec<String>),
}

impl Flags {
    /// The value of CARGO_ENCODED_RUSTFLAGS.
    pub(super) fn environment(&self) -> Option<String> {
        match self {
            Self::Environment(flags) => Some(flags.join("\x1f")),
            Self::Config(..) => None,
        }
    }

    /// Arguments for cargo.
    pub(super) fn arguments(&self) -> Vec<String> {
        match self {
            Self::Environment(_) => Vec::new(),
            Self::Config(triple, flags) => {
                // A list of strings is written alike in JSON and TOML.
                let list = serde_json::json!(flags);
                vec!["--config".to_owned(), format!("target.{triple}.rustflags={list}")]
            }
        }
    }
}

/// Flags for a binary that goes into an image: static if it can be, and without this machine's paths.
pub(super) fn for_image(root: &Path, target: &Path, triple: &str, is_static: bool) -> Result<Flags> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|it| it.join(".cargo")));
    let configs = configs(root, home.as_deref())?;
    let mut own = Vec::new();
    if is_static {
        own.push("-Ctarget-feature=+crt-static".to_owned());
    }
    // The last prefix that matches counts, so the target folder, which is within the root, comes last.
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    own.extend(home.iter().map(|it| remap(it, "/cargo")));
    own.push(remap(root, "/workspace"));
    own.push(remap(target, "/target"));
    let user = User { environment: environment(|key| std::env::var_os(key)), configs, triple };
    user.with(own)
}

/// What the user says of rustflags, everywhere.
struct User<'a> {
    environment: Option<Vec<String>>,
    configs: Vec<Table>,
    triple: &'a str,
}

impl User<'_> {
    fn with(self, own: Vec<String>) -> Result<Flags> {
        if let Some(flags) = self.environment {
            return Ok(Flags::Environment([flags, own].concat()));
        }
        // Cargo itself joins `target.*.rustflags`; `build.rustflags` it would now pass over.
        let passed_over = if self.has_target_flags()? { Vec::new() } else { self.build_flags() };
        Ok(Flags::Config(self.triple.to_owned(), [passed_over, own].concat()))
    }

    fn has_target_flags(&self) -> Result<bool> {
        let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", self.triple.to_uppercase().replace('-', "_"));
        if std::env::var_os(variable).is_some() {
            return Ok(true);
        }
        let tables = self.configs.iter().filter_map(|it| it.get("target")?.as_table());
        let with_flags = |(_, table): &(&String, &Value)| table.get("rustflags").is_some();
        let keys: Vec<_> = tables.flatten().filter(with_flags).map(|(key, _)| key.as_str()).collect();
        if keys.contains(&self.triple) {
            return Ok(true);
        }
        let conditions: Vec<CfgExpr> =
            keys.iter().filter_map(|it| it.strip_prefix("cfg(")?.strip_suffix(')')?.parse().ok()).collect();
        if conditions.is_empty() {
            return Ok(false);
        }
        let cfg = cfg_of(self.triple)?;
        Ok(conditions.iter().any(|it| it.matches(&cfg)))
    }

    fn build_flags(&self) -> Vec<String> {
        let files = self.configs.iter().filter_map(|it| it.get("build")?.get("rustflags")).flat_map(words);
        let variable = std::env::var("CARGO_BUILD_RUSTFLAGS").unwrap_or_default();
        files.chain(variable.split_whitespace().map(str::to_owned)).collect()
    }
}

/// A list, or one string with spaces.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn environment(get: impl Fn(&str) -> Option<OsString>) -> Option<Vec<String>> {
    let text = |key| get(key).map(|it| it.to_string_lossy().into_owned());
    let split = |text: String, separator: char| {
        text.split(separator).filter(|it| !it.is_empty()).map(str::to_owned).collect()
    };
    match text("CARGO_ENCODED_RUSTFLAGS") {
        Some(encoded) => Some(split(encoded, '\x1f')),
        None => text("RUSTFLAGS").map(|it| split(it, ' ')),
    }
}

/// Cargo's configuration files for `root`, the weakest first (The Cargo Book, "Hierarchical structure").
fn configs(root: &Path, home: Option<&Path>) -> Result<Vec<Table>> {
    let own = root.ancestors().map(|it| it.join(".cargo"));
    let mut folders: Vec<PathBuf> = own.chain(home.map(Path::to_owned)).collect();
    let mut seen = std::collections::BTreeSet::new();
    folders.retain(|it| seen.insert(it.clone()));
    let mut configs = Vec::new();
    for folder in folders.iter().rev() {
        // Cargo prefers the name without an ending where both exist.
        let file = ["config", "config.toml"].map(|it| folder.join(it)).into_iter().find(|it| it.is_file());
        if let Some(file) = file {
            let text = std::fs::read_to_string(&file);
            let text = text.with_context(|| format!("failed to read `{}`", file.display()))?;
            configs.push(text.parse().with_context(|| format!("failed to read `{}`", file.display()))?);
        }
    }
    Ok(configs)
}

fn cfg_of(triple: &str) -> Result<Vec<Cfg>> {
    let sh = xshell::Shell::new().context("failed to find the current directory")?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = xshell::cmd!(sh, "{rustc} --print cfg --target {triple}").quiet().read();
    let output = output.context("failed to ask rustc for its cfg")?;
    Ok(output.lines().filter_map(|it| it.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIPLE: &str = "x86_64-unknown-linux-gnu";

    fn flags(environment: Option<&str>, configs: &[&str]) -> Flags {
        let user = User {
            environment: environment.map(|it| it.split(' ').map(str::to_owned).collect()),
            configs: configs.iter().map(|it| it.parse().unwrap()).collect(),
            triple: TRIPLE,
        };
        user.with(vec!["ours".to_owned()]).unwrap()
    }

    fn config(flags: &[&str]) -> Flags {
        Flags::Config(TRIPLE.to_owned(), flags.iter().map(|it| it.to_string()).collect())
    }

    #[test]
    fn the_environment_wins_and_is_kept() {
        let found = flags(Some("-Cdebuginfo=1 --cfg x"), &["build.rustflags = ['b']"]);
        assert_eq!(found.environment().unwrap(), "-Cdebuginfo=1\x1f--cfg\x1fx\x1fours");
    }

    #[test]
    fn flags_of_the_target_are_joined_by_cargo_itself() {
        let target = "target.x86_64-unknown-linux-gnu.rustflags = ['t']";
        assert_eq!(flags(None, &["build.rustflags = ['b']", target]), config(&["ours"]));
        let matching = "target.'cfg(target_os = \"linux\")'.rustflags = ['t']";
        assert_eq!(flags(None, &["build.rustflags = ['b']", matching]), config(&["ours"]));
    }

    #[test]
    fn flags_of_the_build_would_be_passed_over_and_are_repeated() {
        assert_eq!(
            flags(None, &["build.rustflags = 'b c'", "build.rustflags = ['d']"]),
            config(&["b", "c", "d", "ours"])
        );
        let other = "target.'cfg(windows)'.rustflags = ['t']";
        assert_eq!(flags(None, &["build.rustflags = ['b']", other]), config(&["b", "ours"]));
        assert_eq!(flags(None, &[]), config(&["ours"]));
        assert_eq!(config(&["a b"]).arguments()[1], format!("target.{TRIPLE}.rustflags=[\"a b\"]"));
    }
}
