//! Whether a file is still as it was.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// What the file system says of a version of a file. It tells one from the next as git's index does (git, "racy-git"): by
/// where the file lies, its size, and the times of its last changes, one of which nobody can set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds of the last change of the content.
    modified: (i64, i64),
    /// The same of the content or the inode.
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file; `None` where it is not there, or the system keeps no such times.
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

    /// The stamp of a file; `None` where it is not there, or the system keeps no such times.
    #[cfg(not(unix))]
    pub fn of(_: &Path) -> Option<Self> {
        None
    }

    /// Whether another change would come with another time by now. Clocks of file systems are coarse: most tell hundredths
    /// of a second, some (FAT) every other second.
    pub fn is_settled(&self) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else { return false };
        let age = now.as_nanos() as i128 - (i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds));
        age > if nanoseconds == 0 { 3_000_000_000 } else { 50_000_000 }
    }
}
