//! The files of a package, without those of packages in its folder and of hidden folders.

use std::path::{Path, PathBuf};

/// What is read of a package.
#[derive(Default)]
pub(super) struct Found {
    pub sources: Vec<PathBuf>,
    /// What symbolic links lead to, without links: git tells of a change of that, and not of the link.
    pub linked: Vec<PathBuf>,
}

/// Looks through a package. `is_other` tells folders that are not part of it.
pub(super) fn walk(package: &Path, is_other: &dyn Fn(&Path) -> bool) -> Found {
    let (mut found, mut folders) = (Found::default(), vec![package.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_symlink() {
                found.linked.extend(path.canonicalize());
            } else if kind.is_dir()
                && !is_other(&path)
                && !entry.file_name().to_string_lossy().starts_with('.')
            {
                folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|it| it == "rs") {
                found.sources.push(path);
            }
        }
    }
    found
}
