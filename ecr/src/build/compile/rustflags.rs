//! Appends flags to the user's rustflags.
//!
//! Cargo uses the first of four sources that is set, and does not merge them: CARGO_ENCODED_RUSTFLAGS, RUSTFLAGS,
//! `target.*.rustflags`, `build.rustflags` (The Cargo Book, "build.rustflags"). To append flags, the source that counts
//! is read, and all flags are passed in CARGO_ENCODED_RUSTFLAGS.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cargo_platform::{Cfg, CfgExpr};
use toml::{Table, Value};

use super::linkage::Linkage;
use super::target::rustc;
use crate::process::{self, Patience};

/// The flags for the binary of an image: the user's, those for the linkage, and one that remaps the folder of cargo.
pub(super) fn for_image(configs: Vec<Table>, linkage: &Linkage) -> Result<Vec<String>> {
    let user = UserFlags { variable: |key: &str| std::env::var_os(key), configs, triple: &linkage.triple };
    let mut flags = user.flags()?;
    flags.push(format!("-Ctarget-feature={}crt-static", if linkage.is_static { '+' } else { '-' }));
    flags.extend(cargo_home().iter().map(|it| remap(it, "/cargo")));
    Ok(flags)
}

/// The flags that remap the folders of a workspace: its root, and those in which cargo builds. They come after those of
/// [`for_image`].
pub(super) fn for_workspace(root: &Path, folders: &[PathBuf]) -> Vec<String> {
    // The last matching prefix counts, so that what is usually in the root comes after it: the target folder and, where CI keeps
    // it there for its cache, the folder of cargo.
    let home = cargo_home().filter(|it| it.starts_with(root));
    let inner =
        home.iter().map(|it| remap(it, "/cargo")).chain(folders.iter().map(|it| remap(it, "/target")));
    std::iter::once(remap(root, "/workspace")).chain(inner).collect()
}

fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}

/// All sources of the user's rustflags.
struct UserFlags<'a, V> {
    variable: V,
    configs: Vec<Table>,
    triple: &'a str,
}

impl<V: Fn(&str) -> Option<OsString>> UserFlags<'_, V> {
    /// The flags that cargo uses.
    fn flags(&self) -> Result<Vec<String>> {
        if let Some(flags) = environment(&self.variable) {
            return Ok(flags);
        }
        let target = self.target_flags()?;
        if !target.is_empty() {
            return Ok(target);
        }
        let files = self.configs.iter().filter_map(|it| it.get("build")?.get("rustflags")).flat_map(words);
        Ok(files.chain(self.words_of("CARGO_BUILD_RUSTFLAGS")).collect())
    }

    /// The flags of the target by name, followed by those of all matching `cfg(...)` tables, as in cargo.
    fn target_flags(&self) -> Result<Vec<String>> {
        let tables = || self.configs.iter().filter_map(|it| it.get("target")?.as_table()).flatten();
        let flags = |table: &Value| table.get("rustflags").map(words).unwrap_or_default();
        let by_name = tables().filter(|(key, _)| *key == self.triple).flat_map(|(_, table)| flags(table));
        let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", self.triple.to_uppercase().replace('-', "_"));
        let mut found: Vec<_> = by_name.chain(self.words_of(&variable)).collect();
        let conditions: Vec<(CfgExpr, Vec<String>)> = tables()
            .filter(|(_, table)| table.get("rustflags").is_some())
            .filter_map(|(key, table)| {
                Some((key.strip_prefix("cfg(")?.strip_suffix(')')?.parse().ok()?, flags(table)))
            })
            .collect();
        if !conditions.is_empty() {
            let cfg = target_cfg(self.triple)?;
            let met = conditions.into_iter().filter(|(condition, _)| condition.matches(&cfg));
            found.extend(met.flat_map(|(_, flags)| flags));
        }
        Ok(found)
    }

    fn words_of(&self, key: &str) -> Vec<String> {
        let text = (self.variable)(key).unwrap_or_default();
        text.to_string_lossy().split_whitespace().map(str::to_owned).collect()
    }
}

/// The flags in a list, or in a string separated by spaces.
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

/// The configuration files of cargo for `root` in ascending order of precedence (The Cargo Book, "Hierarchical
/// structure").
fn config_files(root: &Path) -> Vec<PathBuf> {
    let own = root.ancestors().map(|it| it.join(".cargo"));
    let mut folders: Vec<PathBuf> = own.chain(cargo_home()).collect();
    let mut seen = std::collections::BTreeSet::new();
    folders.retain(|it| seen.insert(it.clone()));
    // Cargo prefers the name without extension if both exist.
    let file = |folder: &PathBuf| {
        ["config", "config.toml"].map(|it| folder.join(it)).into_iter().find(|it| it.is_file())
    };
    folders.iter().rev().filter_map(file).collect()
}

fn cargo_home() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| std::env::home_dir().map(|it| it.join(".cargo")))
}

/// The configuration files of cargo for `root` in ascending order of precedence, each with its content. Those that a file includes
/// come before it (The Cargo Book, "Configuration", `include`).
///
/// # Errors
/// A file cannot be read, or is not TOML.
pub(super) fn configs(root: &Path) -> Result<Vec<(PathBuf, Table)>> {
    let mut found = Vec::new();
    config_files(root).into_iter().try_for_each(|it| add_config(it, &mut Vec::new(), &mut found))?;
    Ok(found)
}

/// The same, without those that cannot be read: cargo reports them.
pub fn configurations(root: &Path) -> Vec<(PathBuf, Table)> {
    configs(root).unwrap_or_default()
}

/// Adds a configuration file and what it includes. `open` are the files that include it.
fn add_config(file: PathBuf, open: &mut Vec<PathBuf>, found: &mut Vec<(PathBuf, Table)>) -> Result<()> {
    // cargo refuses the cycle.
    if open.contains(&file) {
        return Ok(());
    }
    let context = || format!("failed to read `{}`", file.display());
    let table: Table = std::fs::read_to_string(&file).with_context(context)?.parse().with_context(context)?;
    open.push(file.clone());
    for included in included(&table) {
        let included = file.parent().unwrap_or(Path::new("")).join(included);
        // cargo refuses a file that is missing and not optional.
        if included.is_file() {
            add_config(included, open, found)?;
        }
    }
    open.pop();
    found.push((file, table));
    Ok(())
}

/// The paths in the key `include`: a string, or a list of strings and of tables with a `path`.
fn included(config: &Table) -> Vec<String> {
    let path = |it: &Value| it.as_str().or_else(|| it.get("path")?.as_str()).map(str::to_owned);
    match config.get("include") {
        Some(Value::Array(items)) => items.iter().filter_map(path).collect(),
        Some(other) => path(other).into_iter().collect(),
        None => Vec::new(),
    }
}

fn target_cfg(triple: &str) -> Result<Vec<Cfg>> {
    let mut rustc = rustc();
    let rustc = rustc.args(["--print", "cfg", "--target", triple]);
    let output = process::output(rustc, &[], &Patience::silent())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`rustc --print cfg` failed: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(|it| it.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(environment: &[(&str, &str)], configs: &[&str]) -> String {
        let user = UserFlags {
            variable: |key: &str| environment.iter().find(|(name, _)| *name == key).map(|(_, it)| it.into()),
            configs: configs.iter().map(|it| it.parse().unwrap()).collect(),
            triple: "x86_64-unknown-linux-gnu",
        };
        user.flags().unwrap().join(" ")
    }

    const BUILD: &str = "build.rustflags = 'b c'";

    #[test]
    fn rustflags_of_the_environment_take_precedence() {
        assert_eq!(flags(&[("RUSTFLAGS", "-Cdebuginfo=1 --cfg x")], &[BUILD]), "-Cdebuginfo=1 --cfg x");
        let both = [("RUSTFLAGS", "r"), ("CARGO_ENCODED_RUSTFLAGS", "e\x1ff g")];
        assert_eq!(flags(&both, &[]), "e f g");
        assert_eq!(flags(&[("RUSTFLAGS", "")], &[BUILD]), "", "set and empty is set");
    }

    #[test]
    fn rustflags_of_the_target_take_precedence_over_those_of_the_build() {
        let target = "target.x86_64-unknown-linux-gnu.rustflags = 't u'";
        assert_eq!(flags(&[], &[BUILD, target]), "t u");
        let matching = "target.'cfg(target_os = \"linux\")'.rustflags = ['v']";
        assert_eq!(flags(&[], &[matching, BUILD, target]), "t u v");
        let variable = [("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "w")];
        assert_eq!(flags(&variable, &[target]), "t u w");
    }

    #[test]
    fn included_configurations_come_before_those_that_include_them() {
        let folder = tempfile::tempdir().unwrap();
        let cargo = folder.path().join(".cargo");
        std::fs::create_dir(&cargo).unwrap();
        for (name, text) in [
            (
                "config.toml",
                "include = ['a.toml', { path = 'b.toml', optional = true }, { path = 'no.toml', optional = true }]",
            ),
            ("a.toml", "include = 'c.toml'"),
            ("b.toml", "include = 'config.toml'"),
            ("c.toml", ""),
        ] {
            std::fs::write(cargo.join(name), text).unwrap();
        }
        let found = configs(folder.path()).unwrap();
        let own = found.iter().filter_map(|(file, _)| file.strip_prefix(&cargo).ok());
        let names: Vec<_> = own.map(|it| it.display().to_string()).collect();
        assert_eq!(names, ["c.toml", "a.toml", "b.toml", "config.toml"]);
    }

    #[test]
    fn folder_of_cargo_in_the_workspace_is_remapped_as_elsewhere() {
        let Some(home) = cargo_home() else { return };
        let root = home.parent().unwrap();
        let flags = for_workspace(root, &[root.join("target")]);
        let place = |to: &str| flags.iter().position(|it| it.ends_with(to)).unwrap();
        assert!(place("=/workspace") < place("=/cargo") && place("=/cargo") < place("=/target"), "{flags:?}");
    }

    #[test]
    fn rustflags_of_the_build_count_without_others() {
        assert_eq!(flags(&[], &[BUILD, "build.rustflags = ['d']"]), "b c d");
        assert_eq!(flags(&[], &[BUILD, "target.'cfg(windows)'.rustflags = ['t']"]), "b c");
        assert_eq!(flags(&[], &[]), "");
    }
}
