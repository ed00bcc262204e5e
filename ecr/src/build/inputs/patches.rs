//! Crates that are replaced by packages on this machine: `[patch]`, `[replace]`, and the key `paths` of cargo's configuration (The
//! Cargo Book, "Overriding Dependencies").

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::outside::table;
use crate::build::compile;
use crate::build::git::lexical;

/// A package that takes the place of a crate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Patch {
    /// The name of the crate.
    pub name: String,
    /// The folder of the package.
    pub folder: PathBuf,
}

/// The packages that replace crates in a workspace. A file that cannot be read has none: cargo reports it.
pub(super) fn patches(root: &Path) -> BTreeSet<Patch> {
    let mut found = of_table(&table(&root.join("Cargo.toml")), root);
    for (file, config) in compile::configurations(root) {
        // Paths are relative to the folder that has `.cargo`.
        let folder = file.parent().and_then(Path::parent).unwrap_or(root);
        found.extend(of_table(&config, folder));
        let paths = config.get("paths").and_then(Value::as_array).into_iter().flatten();
        found.extend(paths.filter_map(Value::as_str).filter_map(|it| named(&lexical(&folder.join(it)))));
    }
    found
}

fn of_table(table: &Table, folder: &Path) -> BTreeSet<Patch> {
    let tables = |key: &str| table.get(key).and_then(Value::as_table);
    let sources = tables("patch").into_iter().flat_map(|it| it.values()).filter_map(Value::as_table);
    let entries = sources.chain(tables("replace")).flatten();
    let patch = |(key, entry): (&String, &Value)| {
        let path = entry.get("path")?.as_str()?;
        // The keys of `[replace]` have a version.
        let key = key.split([':', '@']).next().unwrap_or(key);
        let name = entry.get("package").and_then(Value::as_str).unwrap_or(key);
        Some(Patch { name: name.to_owned(), folder: lexical(&folder.join(path)) })
    };
    entries.filter_map(patch).collect()
}

/// The package in a folder, which replaces the crate of its name.
fn named(folder: &Path) -> Option<Patch> {
    let manifest = table(&folder.join("Cargo.toml"));
    let name = manifest.get("package")?.get("name")?.as_str()?.to_owned();
    Some(Patch { name, folder: folder.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_those_with_a_path() {
        let table = "[patch.crates-io]\nfoo = { path = 'crates/foo' }\nx = { path = '../bar', package = 'bar' }\n\
            remote = { git = 'https://x' }\n[patch.'https://y']\nbaz = { path = '/abs' }\n\
            [replace]\n'old:0.1.0' = { path = 'old' }\n";
        let found = of_table(&table.parse().unwrap(), Path::new("/w/root"));
        let shown: Vec<_> = found.iter().map(|it| format!("{} {}", it.name, it.folder.display())).collect();
        assert_eq!(shown, ["bar /w/bar", "baz /abs", "foo /w/root/crates/foo", "old /w/root/old"]);
    }
}
