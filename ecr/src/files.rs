//! Files that appear whole or not at all.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

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
