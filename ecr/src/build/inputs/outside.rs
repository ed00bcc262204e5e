//! Packages outside of the workspace that its members are built from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::build::git::lexical;
use crate::config::workspace::PathPackage;

/// The members of a workspace, with the packages that they depend on by path and that are no members, and so on. `more` are folders
/// of such packages, besides those that members name.
pub(super) fn with_outside(
    members: &BTreeMap<PathBuf, PathPackage>,
    more: impl Iterator<Item = PathBuf>,
) -> BTreeMap<PathBuf, PathPackage> {
    let mut all = members.clone();
    let named = members.values().flat_map(|it| it.dependencies.iter().cloned());
    let mut left: Vec<PathBuf> = named.chain(more).collect();
    while let Some(folder) = left.pop() {
        if all.contains_key(&folder) {
            continue;
        }
        let package = package(&folder);
        left.extend(package.dependencies.iter().cloned());
        all.insert(folder, package);
    }
    all
}

/// The folders of the packages that the members depend on by path and that are no members, and so on.
pub fn outside_folders(members: &BTreeMap<PathBuf, PathPackage>) -> Vec<PathBuf> {
    let folders = with_outside(members, std::iter::empty()).into_keys();
    folders.filter(|it| !members.contains_key(it)).collect()
}

/// A package that `cargo metadata --no-deps` does not list, from its manifest and that of its workspace.
fn package(folder: &Path) -> PathPackage {
    let manifest = table(&folder.join("Cargo.toml"));
    let shared = workspace_of(folder);
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables = targets.filter_map(|(_, it)| it.as_table()).chain([&manifest]);
    let mut package =
        PathPackage { has_build_script: folder.join("build.rs").exists(), ..PathPackage::default() };
    for table in tables {
        for kind in ["dependencies", "build-dependencies"] {
            for (name, entry) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                match path(entry)
                    .map(|it| folder.join(it))
                    .or_else(|| inherited(shared.as_ref()?, name, entry))
                {
                    Some(path) => drop(package.dependencies.insert(lexical(&path))),
                    None => package.has_crates = true,
                }
            }
        }
    }
    package
}

fn path(entry: &Value) -> Option<&str> {
    entry.get("path")?.as_str()
}

/// The path of a dependency with `workspace = true`, which is relative to the root of the workspace.
fn inherited((manifest, table): &(PathBuf, Table), name: &str, entry: &Value) -> Option<PathBuf> {
    entry.get("workspace").filter(|it| it.as_bool() == Some(true))?;
    let shared = table.get("workspace")?.get("dependencies")?.get(name)?;
    Some(manifest.parent()?.join(path(shared)?))
}

/// The root manifest of the workspace of a package, with its content.
pub(super) fn workspace_of(folder: &Path) -> Option<(PathBuf, Table)> {
    let manifests = folder.ancestors().map(|it| it.join("Cargo.toml"));
    let mut read = manifests.map(|it| (table(&it), it));
    read.find(|(table, _)| table.contains_key("workspace")).map(|(table, manifest)| (manifest, table))
}

/// The content of a manifest. One that cannot be read has none: cargo reports it.
pub(super) fn table(manifest: &Path) -> Table {
    std::fs::read_to_string(manifest).unwrap_or_default().parse().unwrap_or_default()
}
