//! A file lock that limits a state to one process. The operating system releases it when the process ends for any reason.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::blobs::write_whole;
use crate::StartError;

/// Locks the state in `folder`, which is created if it does not exist. The lock lasts until the returned file is closed.
pub fn take(folder: &Path) -> Result<File, StartError> {
    fs::create_dir_all(folder).with_context(|| format!("failed to create `{}`", folder.display()))?;
    let path = folder.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let mut file = file.with_context(|| format!("failed to open `{}`", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            // The file of a server that was killed.
            let _ = fs::remove_file(address_file(folder));
            // For messages of other processes only: without it, they do not say who has the lock.
            let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(held(folder, &path)),
        Err(TryLockError::Error(error)) => {
            let error: Result<File> =
                Err(error).with_context(|| format!("failed to lock `{}`", path.display()));
            Ok(error?)
        }
    }
}

/// Who holds the lock.
fn held(folder: &Path, lock: &Path) -> StartError {
    let process = fs::read_to_string(lock).ok().and_then(|it| it.parse().ok());
    let folder = folder.to_owned();
    match fs::read_to_string(address_file(&folder)) {
        Ok(url) => StartError::Running { folder, url, process },
        Err(_) => StartError::Busy { folder, process },
    }
}

/// Writes the server's URL for other processes. The next process that takes the lock removes the file.
pub fn announce(folder: &Path, url: &str) -> Result<()> {
    let path = address_file(folder);
    write_whole(&path, url.as_bytes()).with_context(|| format!("failed to write `{}`", path.display()))
}

fn address_file(folder: &Path) -> PathBuf {
    folder.join("address")
}
