//! One writer at a time: a file lock on the state's folder, which the operating system releases when a process ends,
//! however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::StartError;
use super::blobs::write_whole;

/// Takes the state in `folder`: it is held as long as the file is open. The folder is made if it does not exist.
pub fn take(folder: &Path) -> Result<File, StartError> {
    fs::create_dir_all(folder).with_context(|| format!("failed to create `{}`", folder.display()))?;
    let path = folder.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("failed to open `{}`", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            // The address of a server that was killed.
            let _ = fs::remove_file(address_file(folder));
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(match fs::read_to_string(address_file(folder)) {
            Ok(url) => StartError::Running { folder: folder.to_owned(), url },
            Err(_) => StartError::Busy(folder.to_owned()),
        }),
        Err(TryLockError::Error(error)) => {
            let error: Result<File> =
                Err(error).with_context(|| format!("failed to lock `{}`", path.display()));
            Ok(error?)
        }
    }
}

/// Tells others where the server is. The file is removed by whoever takes the lock next.
pub fn announce(folder: &Path, url: &str) -> Result<()> {
    let path = address_file(folder);
    write_whole(&path, url.as_bytes()).with_context(|| format!("failed to write `{}`", path.display()))
}

fn address_file(folder: &Path) -> PathBuf {
    folder.join("address")
}
