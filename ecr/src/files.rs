//! Files that appear whole or not at all, and whether one is still as it was.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::name::Digest;

/// A file under a name that nobody looks for, in the folder where it is to appear. Dropped, it is gone.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    file: File,
    is_persisted: bool,
}

/// What their names begin with.
pub const PREFIX: &str = ".tmp-";

/// The temporary files of this process.
static OPEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn open() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    OPEN.lock().unwrap_or_else(|it| it.into_inner())
}

/// Removes the temporary files of threads that are still at work when the process is about to end, after Ctrl-C or an error
/// elsewhere.
pub fn abandon() {
    for path in std::mem::take(&mut *open()) {
        let _ = fs::remove_file(path);
    }
}

impl Temporary {
    /// A new file in `folder`.
    pub fn new_in(folder: &Path) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = folder.join(name);
        let mut open = open();
        // Left by a process of the same number that was killed.
        let _ = fs::remove_file(&path);
        let file = File::create_new(&path)?;
        open.insert(path.clone());
        Ok(Self { path, file, is_persisted: false })
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name; one that was there before is replaced.
    pub fn persist(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.is_persisted = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_persisted {
            let _ = fs::remove_file(&self.path);
        }
        open().remove(&self.path);
    }
}

/// Writes a file so that no reader ever sees half of it. Its folder is made if it does not exist.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = Temporary::new_in(folder)?;
    temporary.file().write_all(bytes)?;
    temporary.persist(path)
}

/// Copies a file so that no reader ever sees half of it. The folder of the copy is made if it does not exist.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = Temporary::new_in(folder)?;
    io::copy(&mut File::open(from)?, &mut temporary.file())?;
    temporary.persist(to)
}

/// The digest and size of a file, read in pieces from its start.
pub fn digest_of(mut file: File) -> io::Result<(Digest, u64)> {
    file.rewind()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((Digest::from_hash(&hash.finalize()), size)),
            n => {
                hash.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
}

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
