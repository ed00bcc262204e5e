//! One writer at a time: a file lock on the state's folder, which the operating system gives back when a
//! process ends, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::files;

/// The state's folder, held by this process.
#[derive(Debug)]
pub struct Lock(File);

/// What was found of a state's folder.
#[derive(Debug)]
pub enum Holder {
    /// Nobody had it; now we have.
    Us(Lock),
    /// `ecr serve` has it and listens at this URL.
    Server(String),
}

impl Lock {
    /// The open file whose lock is held as long as it is open.
    pub(super) fn into_file(self) -> File {
        self.0
    }
}

/// Takes the state in `folder`, or tells which server has it; `None` while another short-lived command has it. The folder is made if it does not exist.
pub fn take(folder: &Path) -> Result<Option<Holder>> {
    fs::create_dir_all(folder).with_context(|| format!("failed to create `{}`", folder.display()))?;
    let path = folder.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("failed to open `{}`", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            // The address of a server that was killed.
            let _ = fs::remove_file(address_file(folder));
            Ok(Some(Holder::Us(Lock(file))))
        }
        Err(TryLockError::WouldBlock) => {
            Ok(fs::read_to_string(address_file(folder)).ok().map(Holder::Server))
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("failed to lock `{}`", path.display()))
        }
    }
}

/// Takes the state, or finds the server that has it; waits while another short-lived command has it, and says so
/// once with `tell`.
pub async fn wait(folder: &Path, tell: impl FnOnce()) -> Result<Holder> {
    let mut tell = Some(tell);
    let mut waits = 0;
    loop {
        if let Some(holder) = take(folder)? {
            return Ok(holder);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        waits += 1;
        if waits == 25
            && let Some(tell) = tell.take()
        {
            tell();
        }
    }
}

/// Tells other commands where the server is. The file is removed by whoever takes the lock next.
pub fn announce(folder: &Path, url: &str) -> Result<()> {
    let path = address_file(folder);
    let written = files::write(&path, url.as_bytes());
    written.with_context(|| format!("failed to write `{}`", path.display()))
}

fn address_file(folder: &Path) -> PathBuf {
    folder.join("address")
}
