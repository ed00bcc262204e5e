//! Symbolic links in packages: git tells of a change of what they lead to, and not of the link.

use std::path::{Path, PathBuf};

/// What the links of a package lead to, without links. Packages in its folder are left out.
pub(super) fn targets(package: &Path, is_other: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![package.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_symlink() => found.extend(path.canonicalize()),
                Ok(kind) if kind.is_dir() && !is_hidden(&path) && !is_other(&path) => folders.push(path),
                _ => {}
            }
        }
    }
    found
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|it| it.as_encoded_bytes().starts_with(b"."))
}
