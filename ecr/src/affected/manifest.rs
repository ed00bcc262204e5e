//! The manifest of the root: which of its keys have changed, and which services they concern.

use std::collections::BTreeSet;

use toml::{Table, Value};

/// What has changed in the manifest of the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManifestChange {
    /// The keys that have changed: `workspace.dependencies.serde`, `profile.release`.
    pub keys: BTreeSet<String>,
    /// For each profile the one that it inherits from, on either side.
    profiles: BTreeSet<(String, String)>,
}

/// Tables of which each key is told by itself.
const BY_KEY: [&str; 3] = ["workspace.dependencies", "workspace.package", "workspace.metadata.ecr"];
/// Tables whose tables are told one by one.
const TABLES: [&str; 4] = ["workspace", "workspace.metadata", "profile", "patch"];

impl ManifestChange {
    /// Compares two manifests. One that cannot be read differs in everything.
    pub fn between(base: &str, now: &str) -> Self {
        if base == now {
            return Self::default();
        }
        let (Ok(base), Ok(now)) = (base.parse::<Table>(), now.parse::<Table>()) else {
            return Self { keys: ["patch".to_owned()].into(), ..Self::default() };
        };
        let mut change = Self::default();
        compare(&mut change.keys, "", &base, &now);
        for side in [&base, &now] {
            let profiles = side.get("profile").and_then(Value::as_table).into_iter().flatten();
            let inherits = |(name, it): (&String, &Value)| {
                Some((name.clone(), it.get("inherits")?.as_str()?.to_owned()))
            };
            change.profiles.extend(profiles.filter_map(inherits));
        }
        change
    }

    /// Whether a key concerns a service by itself, without a manifest that inherits it. `profile` is that of a service that
    /// cargo builds; `is_own` tells that the manifest is also that of one of its packages.
    pub(super) fn concerns(&self, key: &str, profile: Option<&str>, is_own: bool) -> bool {
        let parts: Vec<_> = key.split('.').collect();
        match parts.as_slice() {
            ["workspace", "metadata", "ecr", "image", ..] => true,
            _ if profile.is_none() => false,
            ["profile", changed, ..] => profile.is_some_and(|it| self.uses(it, changed)),
            ["patch" | "replace" | "cargo-features", ..] | ["workspace", "resolver"] => true,
            // Members, other metadata, lints; and what manifests inherit.
            ["workspace", ..] | ["lints" | "dev-dependencies" | "badges", ..] => false,
            _ => is_own,
        }
    }

    /// Whether a profile is, or inherits from, another one.
    fn uses(&self, profile: &str, other: &str) -> bool {
        let built_in = |it: &str| match it {
            "bench" => Some("release"),
            "test" => Some("dev"),
            _ => None,
        };
        let mut seen = BTreeSet::new();
        let mut left = vec![profile.to_owned()];
        while let Some(it) = left.pop() {
            if it == other {
                return true;
            }
            if seen.insert(it.clone()) {
                left.extend(
                    self.profiles.iter().filter(|(name, _)| *name == it).map(|(_, base)| base.clone()),
                );
                left.extend(built_in(&it).map(str::to_owned));
            }
        }
        false
    }
}

fn compare(keys: &mut BTreeSet<String>, path: &str, base: &Table, now: &Table) {
    let names: BTreeSet<_> = base.keys().chain(now.keys()).collect();
    for name in names {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let (before, after) = (base.get(name), now.get(name));
        if before == after {
            continue;
        }
        let empty = Table::new();
        let table = |it: Option<&Value>| it.map_or(Some(empty.clone()), |it| it.as_table().cloned());
        let is_divided = BY_KEY.contains(&key.as_str()) || TABLES.contains(&key.as_str());
        match (is_divided, table(before), table(after)) {
            (true, Some(before), Some(after)) => compare(keys, &key, &before, &after),
            _ => drop(keys.insert(key)),
        }
    }
}

/// The keys of the root manifest that a manifest inherits: `workspace.dependencies.serde`, `workspace.package.version` (The Cargo
/// Book, "Workspaces", "The package table" and "The dependencies table").
pub fn inherited_keys(manifest: &Table) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let is_inherited = |it: &Value| it.get("workspace").and_then(Value::as_bool) == Some(true);
    let names = |table: Option<&Value>| -> Vec<String> {
        let entries = table.and_then(Value::as_table).into_iter().flatten();
        entries.filter(|(_, it)| is_inherited(it)).map(|(name, _)| name.clone()).collect()
    };
    keys.extend(names(manifest.get("package")).iter().map(|it| format!("workspace.package.{it}")));
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let targets = targets.filter_map(|(_, it)| it.as_table());
    for table in std::iter::once(manifest).chain(targets) {
        for kind in ["dependencies", "build-dependencies"] {
            keys.extend(names(table.get(kind)).iter().map(|it| format!("workspace.dependencies.{it}")));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "[workspace]\nmembers = ['a']\n[workspace.dependencies]\nx = '1'\ny = '1'\n\
        [profile.release]\nlto = true\n[profile.ci]\ninherits = 'release'\n";

    fn keys(from: &str, to: &str) -> Vec<String> {
        ManifestChange::between(BASE, &BASE.replace(from, to)).keys.into_iter().collect()
    }

    #[test]
    fn keys_that_differ_are_told() {
        assert!(keys("", "").is_empty());
        assert_eq!(keys("x = '1'", "x = '2'"), ["workspace.dependencies.x"]);
        assert_eq!(keys("['a']", "['a', 'b']"), ["workspace.members"]);
        assert_eq!(keys("lto = true", "lto = false"), ["profile.release"]);
        assert_eq!(
            keys("[profile.ci]", "[patch.crates-io]\nz = { path = 'z' }\n[profile.ci]"),
            ["patch.crates-io"]
        );
        let image = "[workspace.metadata.ecr.image]\nuser = '0:0'\n[profile.ci]";
        assert_eq!(keys("[profile.ci]", image), ["workspace.metadata.ecr.image"]);
    }

    #[test]
    fn keys_concern_some_services() {
        let concerns = |from: &str, to: &str, profile: Option<&str>, is_own: bool| {
            let change = ManifestChange::between(BASE, &BASE.replace(from, to));
            change.keys.iter().any(|it| change.concerns(it, profile, is_own))
        };
        assert!(concerns("lto = true", "lto = false", Some("release"), false));
        assert!(concerns("lto = true", "lto = false", Some("ci"), false), "it inherits");
        assert!(!concerns("lto = true", "lto = false", Some("dev"), false));
        assert!(!concerns("lto = true", "lto = false", None, false), "a Dockerfile does it");
        assert!(!concerns("['a']", "['a', 'b']", Some("release"), false));
        let package = "[package]\nname = 'root'\n[profile.ci]";
        assert!(concerns("[profile.ci]", package, Some("release"), true));
        assert!(!concerns("[profile.ci]", package, Some("release"), false));
        assert!(concerns("[profile.ci]", "not TOML", Some("release"), false));
    }

    #[test]
    fn inherited_keys_are_found_in_all_tables() {
        let manifest = "package = { version.workspace = true, edition = '2024' }\n\
            dependencies = { a.workspace = true, b = '1', c = { workspace = true, features = ['x'] } }\n\
            dev-dependencies = { d.workspace = true }\n\
            [target.'cfg(unix)'.build-dependencies]\ne = { workspace = true }\n";
        let keys: Vec<_> = inherited_keys(&manifest.parse().unwrap()).into_iter().collect();
        let wanted = ["dependencies.a", "dependencies.c", "dependencies.e", "package.version"];
        assert_eq!(keys, wanted.map(|it| format!("workspace.{it}")));
    }
}
