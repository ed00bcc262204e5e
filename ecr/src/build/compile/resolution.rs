//! The features with which cargo builds the crates of a service, from `cargo tree`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

/// The crates of a service with their features. A crate that is built for the host as well, as a build dependency or for a
/// procedural macro, may have other features there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resolution(BTreeMap<Crate, BTreeSet<String>>);

/// A crate: name, version and source, as cargo prints them, and whether it is built for the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    is_for_host: bool,
}

/// The format of a line: the crate, and its features.
pub(super) const FORMAT: &str = "{p}\t{f}";
/// The width of a level of the tree.
const LEVEL: usize = 4;

impl Resolution {
    /// Reads the output of `cargo tree --charset ascii --prefix indent --edges normal,build --format FORMAT`.
    ///
    /// # Errors
    /// A line is not of this form.
    pub(super) fn parse(output: &str) -> Result<Self> {
        let mut found = Self::default();
        // For each level whether the crate is built for the host, and whether its build dependencies are being listed.
        let mut levels: Vec<(bool, bool)> = Vec::new();
        for line in output.lines().filter(|it| !it.is_empty()) {
            let (depth, text) = indented(line);
            if text == "[build-dependencies]" {
                // The title stands where the text of the crate does that it belongs to.
                levels.get_mut(depth).context("a title without a crate")?.1 = true;
                continue;
            }
            if text.starts_with('[') {
                bail!("unexpected title `{text}`");
            }
            let (name, features) =
                text.split_once('\t').with_context(|| format!("unexpected line `{line}`"))?;
            let parent = depth.checked_sub(1).map(|it| levels.get(it).copied().context("a level is missing"));
            let (parent_is_host, is_build) = parent.transpose()?.unwrap_or_default();
            let is_for_host = parent_is_host || is_build || name.contains(" (proc-macro)");
            let features = features.strip_suffix(" (*)").unwrap_or(features).to_owned();
            let key = Crate { name: name.to_owned(), is_for_host };
            found.0.entry(key).or_default().insert(features);
            levels.truncate(depth);
            levels.push((is_for_host, false));
        }
        Ok(found)
    }

    /// The crates, each once.
    pub(super) fn crates(&self) -> impl Iterator<Item = crate::affected::Crate> {
        self.0.keys().filter_map(|it| {
            let mut words = it.name.split(' ');
            let (name, version) =
                (words.next()?.to_owned(), words.next()?.trim_start_matches('v').to_owned());
            Some(crate::affected::Crate { name, version })
        })
    }

    /// Whether the crates that both have are built alike, so that neither changes what the other is made of.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        let (few, many) = if self.0.len() <= other.0.len() { (self, other) } else { (other, self) };
        few.0.iter().all(|(key, features)| many.0.get(key).is_none_or(|it| it == features))
    }

    /// Adds the crates of a resolution that agrees with this one.
    pub(super) fn add(&mut self, other: &Self) {
        self.0.extend(other.0.iter().map(|(key, features)| (key.clone(), features.clone())));
    }
}

/// The level of a line, and its text.
fn indented(line: &str) -> (usize, &str) {
    let mut rest = line;
    let mut depth = 0;
    while let Some(shorter) = ["|   ", "    ", "|-- ", "`-- "].iter().find_map(|it| rest.strip_prefix(it)) {
        rest = shorter;
        depth += 1;
    }
    debug_assert_eq!(line.len(), depth * LEVEL + rest.len());
    (depth, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Resolution {
        Resolution::parse(&text.replace("  =>", "\t").replace("=>", "\t")).unwrap()
    }

    #[test]
    fn crates_of_the_host_are_told_apart() {
        let found = parsed(
            "app v1.0.0 (/w/app)=>default\n\
             |-- a v1.0.0=>std\n\
             |   |-- m v1.0.0 (proc-macro) (/w/m)=>\n\
             |   |   `-- a v1.0.0=>derive\n\
             |   `-- c v1.0.0=>x,y\n\
             |   [build-dependencies]\n\
             |   `-- cc v1.0.0=>\n\
             |       `-- c v1.0.0=>z\n\
             `-- b v1.0.0=>\n\
             \x20   `-- c v1.0.0=>x,y (*)\n\
             [build-dependencies]\n\
             `-- d v1.0.0=>\n",
        );
        let shown: Vec<_> = found
            .0
            .iter()
            .map(|(key, it)| format!("{} {} {it:?}", key.name.split(' ').next().unwrap(), key.is_for_host))
            .collect();
        let wanted = [
            r#"a false {"std"}"#,
            r#"a true {"derive"}"#,
            r#"app false {"default"}"#,
            r#"b false {""}"#,
            r#"c false {"x,y"}"#,
            r#"c true {"z"}"#,
            r#"cc true {""}"#,
            r#"d true {""}"#,
            r#"m true {""}"#,
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn resolutions_agree_if_shared_crates_have_the_same_features() {
        let of = |features: &str| parsed(&format!("app v1.0.0=>\n`-- a v1.0.0=>{features}\n"));
        let host = parsed("other v1.0.0=>\n[build-dependencies]\n`-- a v1.0.0=>std\n");
        assert!(of("std").agrees_with(&of("std")) && !of("std").agrees_with(&of("")));
        assert!(of("").agrees_with(&host), "the host is another platform");
        let mut both = of("");
        both.add(&host);
        assert!(!both.agrees_with(&of("std")) && both.agrees_with(&of("")));
        assert!(Resolution::parse("app v1.0.0").is_err() && Resolution::parse("    a v1\t").is_err());
    }
}
