//! Detecting changes of files.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

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

    /// Whether a further change would result in another stamp. File system clocks are coarse: most have a resolution of
    /// hundredths of a second, and some (FAT) of two seconds.
    pub fn is_settled(&self) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else { return false };
        let age = now.as_nanos() as i128 - (i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds));
        age > if nanoseconds == 0 { 3_000_000_000 } else { 50_000_000 }
    }
}
