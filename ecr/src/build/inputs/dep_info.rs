//! Dep-info files: what the compiler and the build scripts of the last build have read.
//!
//! cargo writes `NAME.d` beside each executable, with the files of all path dependencies (The Cargo Book, "Dep-info files").

use std::path::{Path, PathBuf};

/// The files that a dep-info file names. Its form is that of a Makefile: `TARGET: FILE FILE`, where a backslash precedes a
/// space that is part of a name.
pub(super) fn parse(text: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in text.lines() {
        let Some((_, names)) = line.split_once(": ") else { continue };
        let mut name = String::new();
        let mut chars = names.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' if chars.peek() == Some(&' ') => name.extend(chars.next()),
                ' ' => files.extend(finished(&mut name)),
                c => name.push(c),
            }
        }
        files.extend(finished(&mut name));
    }
    files
}

fn finished(name: &mut String) -> Option<PathBuf> {
    (!name.is_empty()).then(|| PathBuf::from(std::mem::take(name)))
}

/// The files that a dep-info file names, if it is about what is there now: it exists, it names a file in `package`, and none of
/// the files has changed since. Of an older build it is not known what the sources of today read.
pub(super) fn current(file: &Path, root: &Path, package: &Path) -> Option<Vec<PathBuf>> {
    // cargo leaves the file alone if its content stays, so that the executable beside it may tell of a later build.
    let modified = |it: &Path| std::fs::metadata(it).and_then(|it| it.modified());
    let written = modified(file).ok()?;
    let written = modified(&file.with_extension("")).map_or(written, |it| it.max(written));
    let names = parse(&std::fs::read_to_string(file).ok()?);
    let files: Vec<_> = names.into_iter().map(|it| root.join(it)).collect();
    let is_older = |it: &PathBuf| modified(it).is_ok_and(|it| it <= written);
    (files.iter().any(|it| it.starts_with(package)) && files.iter().all(is_older)).then_some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dep_info_is_parsed() {
        let text = "/t/release/app: /w/app/src/main.rs /w/a\\ b/x.txt /w/lib/src/lib.rs\n\n/w/other:\n";
        let files: Vec<_> = parse(text).iter().map(|it| it.display().to_string()).collect();
        assert_eq!(files, ["/w/app/src/main.rs", "/w/a b/x.txt", "/w/lib/src/lib.rs"]);
    }
}
