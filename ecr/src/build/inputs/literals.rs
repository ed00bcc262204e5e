//! Files outside of a package that its sources name: `include_str!("../../proto/x.proto")`, or a path in a build script.

use std::path::{Path, PathBuf};

use crate::build::git::lexical;

/// The paths with `..` in the string literals of a source, each as seen from the source's folder and from the package's.
pub(super) fn paths(text: &str, source: &Path, package: &Path) -> Vec<PathBuf> {
    let folders = [source.parent().unwrap_or(package), package];
    let named = literals(text).into_iter().filter(|it| it.split('/').any(|it| it == ".."));
    let relative = |it: &str| it.trim_start_matches('/').trim_end_matches('/').to_owned();
    named.flat_map(|it| folders.map(|folder| lexical(&folder.join(relative(it))))).collect()
}

/// The string literals of a source, without escapes being read: paths have none.
fn literals(text: &str) -> Vec<&str> {
    // A quote in a comment or a character literal may begin one at the wrong place, so that each line is read by itself and both
    // inside and outside count.
    text.lines().filter(|it| it.contains("..")).flat_map(|it| it.split('"')).collect()
}

/// The sources of a package, without those of packages in its folder.
pub(super) fn sources(package: &Path, is_other: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![package.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && !is_other(&path) && !entry.file_name().to_string_lossy().starts_with('.') {
                folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|it| it == "rs") {
                found.push(path);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_to_other_folders_are_found() {
        let text = "const A: &str = include_str!(\"../../proto/a.txt\");\n\
            let b = concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/../shared/\"); // \"not ..\"\n\
            let range = 0..n; let c = \"plain/x\";\n";
        let found = paths(text, Path::new("/w/app/src/main.rs"), Path::new("/w/app"));
        let shown: Vec<_> = found.iter().map(|it| it.display().to_string()).collect();
        assert_eq!(shown, ["/w/proto/a.txt", "/proto/a.txt", "/w/app/shared", "/w/shared"]);
    }
}
