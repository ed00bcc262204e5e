//! Lock files (The Cargo Book, "Cargo.toml vs Cargo.lock").

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// A crate of a dependency graph: its name and version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    pub name: String,
    pub version: String,
}

/// The crates of a lock file.
#[derive(Debug, Clone, Default)]
pub struct Lock {
    /// The sources of each crate: there may be several of one version.
    crates: BTreeMap<Crate, BTreeSet<Origin>>,
    /// The versions of each name, to find what a dependency without a version is.
    versions: BTreeMap<String, Vec<String>>,
}

/// Where a crate comes from, and what it depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Origin {
    source: Option<String>,
    checksum: Option<String>,
    dependencies: Vec<String>,
}

#[derive(Deserialize)]
struct LockFile {
    #[serde(default)]
    package: Vec<LockedPackage>,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

impl Lock {
    /// Reads a lock file.
    ///
    /// # Errors
    /// The text is not TOML, or not that of a lock file.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let file: LockFile = toml::from_str(text)?;
        let mut lock = Self::default();
        for it in file.package {
            lock.versions.entry(it.name.clone()).or_default().push(it.version.clone());
            let origin = Origin { source: it.source, checksum: it.checksum, dependencies: it.dependencies };
            lock.crates.entry(Crate { name: it.name, version: it.version }).or_default().insert(origin);
        }
        Ok(lock)
    }

    /// The names of all crates that a package may be built from, whatever its features are, itself among them.
    pub fn reachable(&self, package: &str) -> BTreeSet<&str> {
        let mut dependencies: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (it, origins) in &self.crates {
            let names = origins.iter().flat_map(|it| &it.dependencies).filter_map(|it| it.split(' ').next());
            dependencies.entry(&it.name).or_default().extend(names);
        }
        let (mut found, mut left) = (BTreeSet::new(), vec![package]);
        while let Some((name, next)) = left.pop().and_then(|it| dependencies.get_key_value(it)) {
            if found.insert(*name) {
                left.extend(next);
            }
        }
        found
    }

    /// How the crates of a service differ from those of an earlier lock file, in words. `crates` are all that it is built from.
    pub fn differences(&self, base: &Self, crates: &BTreeSet<Crate>) -> Vec<String> {
        let found = crates
            .iter()
            .filter_map(|it| Some((base.crates.contains_key(it), self.difference(base, it, crates)?)));
        let mut found: Vec<_> = found.collect();
        // Other versions say more than what depends on them.
        found.sort_by_key(|(is_known, _)| *is_known);
        found.into_iter().map(|(_, text)| text).collect()
    }

    fn difference(&self, base: &Self, it: &Crate, crates: &BTreeSet<Crate>) -> Option<String> {
        let Crate { name, version } = it;
        match (self.crates.get(it), base.crates.get(it)) {
            (Some(now), Some(before)) if self.reduced(now, crates) == base.reduced(before, crates) => None,
            (_, Some(_)) => Some(format!("{name} {version} has another source or other dependencies")),
            (_, None) => Some(match base.versions.get(name).map(Vec::as_slice) {
                Some([before]) => format!("{name} {before} -> {version}"),
                Some(_) => format!("{name} {version} is another version"),
                None => format!("{name} {version} is new"),
            }),
        }
    }

    /// The origins with those dependencies only that a service is built from. Others are for tests, or for other targets.
    fn reduced(&self, origins: &BTreeSet<Origin>, crates: &BTreeSet<Crate>) -> BTreeSet<Origin> {
        let reduced = origins.iter().map(|origin| {
            let dependencies = origin.dependencies.iter().map(|it| self.dependency(it));
            let mut names: Vec<_> =
                dependencies.filter(|it| crates.iter().any(|known| known.name == it.name)).collect();
            names.sort();
            let names = names.into_iter().map(|it| format!("{} {}", it.name, it.version));
            Origin { dependencies: names.collect(), ..origin.clone() }
        });
        reduced.collect()
    }

    /// The crate that an entry of `dependencies` names: `NAME`, `NAME VERSION` or `NAME VERSION (SOURCE)`.
    fn dependency(&self, text: &str) -> Crate {
        let mut words = text.split(' ');
        let name = words.next().unwrap_or_default().to_owned();
        let only = || self.versions.get(&name).and_then(|it| it.first()).cloned();
        let version = words.next().map(str::to_owned).or_else(only).unwrap_or_default();
        Crate { name, version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(packages: &[(&str, &str, &str, &[&str])]) -> Lock {
        let each = packages.iter().map(|(name, version, checksum, dependencies)| {
            format!(
                "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nchecksum = \"{checksum}\"\ndependencies = {dependencies:?}\n"
            )
        });
        Lock::parse(&each.collect::<String>()).unwrap()
    }

    fn crates(all: &[(&str, &str)]) -> BTreeSet<Crate> {
        all.iter()
            .map(|(name, version)| Crate { name: (*name).to_owned(), version: (*version).to_owned() })
            .collect()
    }

    #[test]
    fn reachable_crates_are_those_of_all_dependencies() {
        let all = lock(&[
            ("app", "1.0.0", "", &["a", "b 2.0.0"]),
            ("a", "1.0.0", "", &["c"]),
            ("b", "1.0.0", "", &["d"]),
            ("b", "2.0.0", "", &["a"]),
            ("c", "1.0.0", "", &["app"]),
            ("d", "1.0.0", "", &[]),
            ("e", "1.0.0", "", &[]),
        ]);
        let names: Vec<_> = all.reachable("app").into_iter().collect();
        assert_eq!(names, ["a", "app", "b", "c", "d"]);
        assert!(all.reachable("unknown").is_empty());
    }

    #[test]
    fn crates_differ_by_version_checksum_and_dependencies() {
        let base =
            lock(&[("app", "1.0.0", "", &["a", "b"]), ("a", "1.0.0", "x", &[]), ("b", "1.0.0", "y", &["a"])]);
        let all = crates(&[("app", "1.0.0"), ("a", "1.0.0"), ("b", "1.0.0")]);
        assert!(base.differences(&base, &all).is_empty());
        let newer =
            lock(&[("app", "1.0.0", "", &["a", "b"]), ("a", "1.0.1", "x", &[]), ("b", "1.0.0", "y", &["a"])]);
        let now = crates(&[("app", "1.0.0"), ("a", "1.0.1"), ("b", "1.0.0")]);
        let found = newer.differences(&base, &now);
        assert!(found.contains(&"a 1.0.0 -> 1.0.1".to_owned()), "{found:?}");
        let other =
            lock(&[("app", "1.0.0", "", &["a", "b"]), ("a", "1.0.0", "z", &[]), ("b", "1.0.0", "y", &["a"])]);
        assert_eq!(other.differences(&base, &all), ["a 1.0.0 has another source or other dependencies"]);
    }

    #[test]
    fn crates_of_tests_and_of_other_services_do_not_count() {
        let base = lock(&[
            ("app", "1.0.0", "", &["a", "dev"]),
            ("a", "1.0.0", "x", &[]),
            ("dev", "1.0.0", "y", &[]),
        ]);
        let now = lock(&[
            ("app", "1.0.0", "", &["a", "dev"]),
            ("a", "1.0.0", "x", &[]),
            ("dev", "2.0.0", "z", &[]),
            ("more", "1.0.0", "w", &[]),
        ]);
        assert!(now.differences(&base, &crates(&[("app", "1.0.0"), ("a", "1.0.0")])).is_empty());
    }

    #[test]
    fn a_dependency_gets_a_version_in_its_name_when_there_are_two() {
        let base = lock(&[("app", "1.0.0", "", &["a"]), ("a", "1.0.0", "x", &[])]);
        let now =
            lock(&[("app", "1.0.0", "", &["a 1.0.0"]), ("a", "1.0.0", "x", &[]), ("a", "2.0.0", "y", &[])]);
        let all = crates(&[("app", "1.0.0"), ("a", "1.0.0")]);
        assert!(now.differences(&base, &all).is_empty());
        let moved =
            lock(&[("app", "1.0.0", "", &["a 2.0.0"]), ("a", "1.0.0", "x", &[]), ("a", "2.0.0", "y", &[])]);
        assert_eq!(moved.differences(&now, &crates(&[("app", "1.0.0"), ("a", "2.0.0")])).len(), 1);
    }
}
