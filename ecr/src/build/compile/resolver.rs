//! The version of cargo's resolver that a workspace has chosen (The Cargo Book, "Resolver versions").

use toml::{Table, Value};

/// Whether cargo keeps the features of crates apart that are built for the host, and those of development dependencies, as
/// resolver 2 does. `root` is the manifest of the workspace.
pub(super) fn keeps_features_apart(root: &Table) -> bool {
    let workspace = root.get("workspace");
    let package = root.get("package");
    let chosen = [workspace, package].into_iter().flatten().find_map(|it| it.get("resolver"));
    if let Some(version) = chosen {
        return version.as_str() != Some("1");
    }
    // Without a choice, the edition of the root package decides. A workspace without one has resolver 1.
    let edition = package.and_then(|it| it.get("edition")).and_then(|it| match it {
        Value::Table(_) => workspace?.get("package")?.get("edition")?.as_str(),
        own => own.as_str(),
    });
    edition.is_some_and(|it| !matches!(it, "2015" | "2018"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resolver_follows_from_the_manifest_of_the_root() {
        let is_apart = |text: &str| keeps_features_apart(&text.parse().unwrap());
        assert!(is_apart("workspace.resolver = '2'") && is_apart("workspace.resolver = '3'"));
        assert!(!is_apart("workspace.resolver = '1'") && !is_apart("[workspace]"));
        assert!(is_apart("workspace = {}\npackage.edition = '2021'"));
        assert!(!is_apart("workspace = {}\npackage.edition = '2018'"));
        assert!(!is_apart("workspace = {}\npackage.name = 'root'"), "edition 2015");
        assert!(is_apart("package.edition.workspace = true\nworkspace.package.edition = '2024'"));
        assert!(!is_apart("package = { edition = '2021', resolver = '1' }"));
    }
}
