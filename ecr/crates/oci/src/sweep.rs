//! Removing what caches on disk no longer need.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The age after which a file that was not used is removed.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 3600);
/// Uses of a file are noted at this interval.
const NOTED: Duration = Duration::from_secs(24 * 3600);

/// Notes that a file of a cache is used: its modification time is the time of its last use. Errors are ignored.
pub fn note_use(file: &Path) {
    let is_noted = |used: SystemTime| used.elapsed().is_ok_and(|it| it < NOTED);
    let used = fs::metadata(file).and_then(|it| it.modified());
    if used.is_ok_and(|it| !is_noted(it)) {
        let opened = fs::File::options().append(true).open(file);
        let _ = opened.and_then(|it| it.set_modified(SystemTime::now()));
    }
}

/// Removes the files of a folder that were not used for thirty days. Errors are ignored: a file that cannot be removed only takes
/// up space.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let is_old = metadata.modified().is_ok_and(|it| it.elapsed().is_ok_and(|it| it > UNUSED));
        if metadata.is_file() && is_old {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_used_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, days: u64| {
            let path = folder.path().join(name);
            fs::write(&path, "x").unwrap();
            let time = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
            fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
            path
        };
        let (old, used, new) = (file("old", 31), file("used", 31), file("new", 29));
        note_use(&used);
        sweep(folder.path());
        assert_eq!([old, used, new].map(|it| it.exists()), [false, true, true]);
    }
}
