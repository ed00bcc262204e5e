//! Detecting changes of files.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use ecr_oci::files::Temporary;
use serde::{Deserialize, Serialize};

/// The metadata of a file by which its changes are detected, as in the index of git (git, "racy-git"): device, inode,
/// size and times. Programs cannot set the time `changed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// The last change of the content, in seconds and nanoseconds since 1970.
    modified: (i64, i64),
    /// The last change of the content or the inode, in seconds and nanoseconds since 1970.
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file. `None` if it does not exist, or if the system does not provide the metadata.
    #[cfg(unix)]
    pub fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// The stamp of a file. `None` if it does not exist, or if the system does not provide the metadata.
    #[cfg(not(unix))]
    pub fn of(_: &Path) -> Option<Self> {
        None
    }

    /// The size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether a further change would result in another stamp. The clocks of file systems are coarse: most have a resolution of
    /// hundredths of a second, and some (FAT) of two seconds. A file that is made in `folder` tells such a clock, if it is of the
    /// same file system.
    pub fn is_settled(&self, folder: &Path) -> bool {
        self.is_old() || Self::of_new_file(folder).is_some_and(|it| self.is_before(&it))
    }

    fn of_new_file(folder: &Path) -> Option<Self> {
        Self::of(Temporary::beside(&folder.join("clock")).ok()?.path())
    }

    fn is_before(&self, other: &Self) -> bool {
        self.device == other.device && self.changed < other.changed
    }

    fn is_old(&self) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else { return false };
        let age = now.as_nanos() as i128 - (i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds));
        age > if nanoseconds == 0 { 3_000_000_000 } else { 50_000_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(device: u64, changed: (i64, i64)) -> Stamp {
        Stamp { device, inode: 1, size: 1, modified: (0, 0), changed }
    }

    #[test]
    fn file_is_settled_when_the_clock_of_its_file_system_has_moved() {
        let file = stamp(1, (10, 4_000_000));
        assert!(!file.is_before(&stamp(1, (10, 4_000_000))));
        assert!(file.is_before(&stamp(1, (10, 8_000_000))));
        assert!(file.is_before(&stamp(1, (11, 0))));
        assert!(!file.is_before(&stamp(2, (11, 0))));
    }

    #[cfg(unix)]
    #[test]
    fn file_that_was_just_written_is_settled_soon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let stamp = Stamp::of(&path).unwrap();
        let began = std::time::Instant::now();
        while !stamp.is_settled(folder.path()) {
            assert!(began.elapsed().as_secs() < 10, "{stamp:?} is not settled");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        fs::write(&path, "y").unwrap();
        assert_ne!(Stamp::of(&path), Some(stamp));
    }
}
