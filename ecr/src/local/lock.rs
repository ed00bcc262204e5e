//! One writer at a time: a file lock on the state's folder, which the operating system gives back when a
//! process ends, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

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
    /// Another short-lived command has it.
    Command,
}

impl Lock {
    /// The open file whose lock is held as long as it is open.
    pub(super) fn into_file(self) -> File {
        self.0
    }
}

/// Takes the state in `folder`, or tells who has it. The folder is made if it does not exist.
pub fn take(folder: &Path) -> Result<Holder> {
    fs::create_dir_all(folder).with_context(|| format!("failed to create `{}`", folder.display()))?;
    let path = folder.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("failed to open `{}`", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            // The address of a server that was killed.
            let _ = fs::remove_file(address_file(folder));
            Ok(Holder::Us(Lock(file)))
        }
        Err(TryLockError::WouldBlock) => match fs::read_to_string(address_file(folder)) {
            Ok(url) => Ok(Holder::Server(url)),
            Err(_) => Ok(Holder::Command),
        },
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("failed to lock `{}`", path.display()))
        }
    }
}

/// Takes the state, waiting while another command has it; fails if a server has it.
pub async fn wait(folder: &Path) -> Result<Lock> {
    loop {
        match take(folder)? {
            Holder::Us(lock) => return Ok(lock),
            Holder::Server(url) => {
                bail!("the state in `{}` belongs to an embedded ECR that runs at {url}", folder.display())
            }
            Holder::Command => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Tells other commands where the server is. The file is removed by whoever takes the lock next.
pub fn announce(folder: &Path, url: &str) -> Result<()> {
    let path = address_file(folder);
    fs::write(&path, url).with_context(|| format!("failed to write `{}`", path.display()))
}

fn address_file(folder: &Path) -> PathBuf {
    folder.join("address")
}
