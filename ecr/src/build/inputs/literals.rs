//! Files outside of a package that its sources name: `include_str!("../../proto/x.proto")`, or a path in a build script.

use std::path::{Path, PathBuf};

use crate::affected::is_document;
use crate::build::git::lexical;

/// The paths in the string literals of a source that are not inputs of its package anyway: those with `..`, and those of documents.
/// Each is seen from the source's folder and from the package's.
pub(super) fn paths(text: &str, source: &Path, package: &Path) -> Vec<PathBuf> {
    let folders = [source.parent().unwrap_or(package), package];
    // `include_dir!` and others have a variable before the path.
    let relative = |it: &str| it.trim_start_matches("$CARGO_MANIFEST_DIR").trim_matches('/').to_owned();
    let named =
        literals(text).map(relative).filter(|it| it.split('/').any(|it| it == "..") || may_be_document(it));
    named.flat_map(|it| folders.map(|folder| lexical(&folder.join(&it)))).collect()
}

fn may_be_document(path: &str) -> bool {
    // A folder is named with and without a slash.
    !path.is_empty() && !path.contains(' ') && (is_document(path) || is_document(&format!("{path}/")))
}

/// The string literals of a source, without escapes being read: paths have none.
fn literals(text: &str) -> impl Iterator<Item = &str> {
    // A quote in a comment or a character literal may begin one at the wrong place, so that each line is read by itself and both
    // inside and outside count.
    text.lines().filter(|it| it.contains('"')).flat_map(|it| it.split('"'))
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
        let text = "include_str!(\"NOTICE\"); dir!(\"$CARGO_MANIFEST_DIR/tests/data\"); let a = (\"benches\", \"plain.txt\");\n";
        let found = paths(text, Path::new("/w/app/build.rs"), Path::new("/w/app"));
        let shown: std::collections::BTreeSet<_> = found.iter().map(|it| it.display().to_string()).collect();
        assert_eq!(
            shown.into_iter().collect::<Vec<_>>(),
            ["/w/app/NOTICE", "/w/app/benches", "/w/app/tests/data"]
        );
    }
}
