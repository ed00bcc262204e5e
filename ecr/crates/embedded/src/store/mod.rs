//! The state on disk.
//!
//! ```text
//! lock            locked by the process that uses the state
//! state.redb      the records: registries, repositories, images, tags and blobs, with indexes
//! blobs/sha256/   layers and configs by digest
//! uploads/        unfinished uploads
//! scans/          findings that tests provide
//! version-3/      the records of an older version that were taken over
//! ```
//!
//! A transaction of the records is committed before it is acknowledged. The file of a blob is moved to its place, or removed,
//! after the transaction that decided so; a record names it until then, so that a process which is killed in between leaves
//! the next one to do it.

mod blobs;
mod changes;
mod database;
mod key;
pub mod lock;
mod queries;
mod takeover;
#[cfg(test)]
mod tests;
mod unsynced;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use ecr_types::{Digest, lock as locked};

pub use blobs::{Blobs, write_whole};
use database::Database;
pub use database::{Damaged, Rows, Snapshot, Transaction};
use key::{Key, Parts};
pub use queries::{After, Listed, Queries};

/// The version of the records. Versions 1 to 3 were files of JSON.
const VERSION: &str = "4";
/// The time for which a blob without a manifest is kept, so that an interrupted push can be continued.
const LOOSE_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The name of the file with the records.
const RECORDS: &str = "state.redb";

/// The state of a server on disk. Dropping it releases the lock.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    blobs: Blobs,
    database: Database,
    secret: String,
    /// Held by one transaction at a time until its files are in place. It has the records of files that are.
    writing: Mutex<Vec<Key>>,
    _lock: File,
}

impl Store {
    /// Opens the state in `folder`, or creates one. `lock` is the locked lock file of the folder.
    pub fn open(folder: &Path, lock: File) -> Result<Self> {
        let blobs = Blobs::of_state(folder);
        for path in [blobs.folder().to_owned(), folder.join("uploads")] {
            fs::create_dir_all(&path).with_context(|| format!("failed to create `{}`", path.display()))?;
        }
        let (database, secret) = opened(folder, &blobs)?;
        let writing = Mutex::default();
        let store = Self { folder: folder.to_owned(), blobs, database, secret, writing, _lock: lock };
        unless_damaged(store.finish_files())?;
        clear_uploads(&folder.join("uploads"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let before = now.saturating_sub(LOOSE_AGE).as_secs();
        while unless_damaged(store.write(|it| it.sweep(before)))? {}
        Ok(store)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The key of the MACs in passwords and download URLs.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// The records as they are now.
    pub fn read(&self) -> Result<Snapshot> {
        self.database.read()
    }

    /// Changes the records in one transaction, and then the files of blobs as it decided.
    ///
    /// # Errors
    /// Those of `change`, and that the records cannot be written: then nothing was changed. Or the file of a blob cannot be
    /// moved: then the records were changed, and the next start tries again.
    pub fn write<T, E: From<anyhow::Error>>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_locked(&mut locked(&self.writing), change)
    }

    /// `done` has the records of files that are in place.
    fn write_locked<T, E: From<anyhow::Error>>(
        &self,
        done: &mut Vec<Key>,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (mut decided, mut is_changed) = (Vec::new(), false);
        let value = self.database.write(|transaction| {
            // Before the change, which may be about the same blobs again.
            for key in done.iter() {
                transaction.forget(key)?;
            }
            let value = change(transaction)?;
            is_changed = transaction.is_changed();
            decided = transaction.take_files();
            Ok::<_, E>(value)
        })?;
        if is_changed {
            done.clear();
        }
        let mut failed = None;
        for key in decided {
            let placed = file_of(&key.0, &key.1).and_then(|file| self.place(&file, file.upload.is_some()));
            match placed {
                Ok(()) => done.push(key.0),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(value), |error| Err(error.into()))
    }

    /// Removes some rows of repositories that were deleted. It is `false` if there are none left.
    pub fn purge(&self) -> Result<bool> {
        self.write(|it| it.purge())
    }

    /// Removes all records and blobs, and the findings that tests provided. Passwords stay valid.
    pub fn clear(&self) -> Result<()> {
        // No blob is moved to its place meanwhile.
        let mut done = locked(&self.writing);
        self.write_locked(&mut done, |it| it.clear())?;
        for folder in [self.blobs.folder().to_owned(), self.folder.join("scans"), self.folder.join("signing")]
        {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                // A file that cannot be removed only takes up space.
                let _ = entry.and_then(|it| fs::remove_file(it.path()));
            }
        }
        clear_uploads(&self.folder.join("uploads"))
    }

    /// The path of an upload's file. `id` is an id from [`super::shared::Shared::begin_upload`].
    pub fn upload_path(&self, id: &str) -> PathBuf {
        self.folder.join("uploads").join(id)
    }

    /// Removes an upload's file. Errors are ignored: a remaining file only takes up space.
    pub fn discard(&self, id: &str) {
        let _ = fs::remove_file(self.upload_path(id));
    }

    /// Verifies the file of the records; see [`Database::verify`].
    pub fn verify(&self) -> Result<bool> {
        self.database.verify()
    }

    /// Moves and removes the files that a process has left which was killed after its transaction.
    fn finish_files(&self) -> Result<bool> {
        self.database.write(|transaction| {
            for row in transaction.each(key::FILES).collect::<Result<Vec<_>>>()? {
                let file = file_of(&row.0, &row.1)?;
                self.place(&file, transaction.is_held(&file.digest)?)?;
                transaction.remove(&row.0)?;
            }
            Ok(false)
        })
    }

    /// Moves the file of a blob to its place, or removes it if no repository has the blob.
    fn place(&self, file: &BlobFile, is_held: bool) -> Result<()> {
        let path = self.blobs.path(&file.digest);
        match &file.upload {
            Some(id) => {
                let upload = self.upload_path(id);
                // Before the process was killed, it may have been moved.
                if upload.exists() {
                    fs::rename(upload, &path)
                        .with_context(|| format!("failed to write `{}`", path.display()))?;
                }
            }
            None if !is_held => self.blobs.remove(&file.digest),
            None => {}
        }
        Ok(())
    }
}

/// The file of a blob that is to be moved to its place or removed.
struct BlobFile {
    digest: Digest,
    /// The upload whose file is the blob; `None` if the file is to be removed.
    upload: Option<String>,
}

fn file_of(key: &[u8], upload: &[u8]) -> Result<BlobFile> {
    let upload = String::from_utf8(upload.to_vec()).ok().filter(|it| !it.is_empty());
    Ok(BlobFile { digest: Parts::of(key).digest()?, upload })
}

/// A damaged record does not keep a state from being opened, so that `ecr serve --check` can name it.
fn unless_damaged(result: Result<bool>) -> Result<bool> {
    match result {
        Err(error) if error.is::<Damaged>() => Ok(false),
        result => result,
    }
}

/// The records in a folder and their secret. Those of an older version are taken over.
fn opened(folder: &Path, blobs: &Blobs) -> Result<(Database, String)> {
    let path = folder.join(RECORDS);
    let is_old = takeover::is_old(folder);
    if !path.exists() && !is_old && fs::read_dir(blobs.folder()).is_ok_and(|mut it| it.next().is_some()) {
        bail!(
            "the embedded ECR's state in `{}` is damaged: {RECORDS} is missing; \
             move the folder away, or name another one with --data",
            folder.display()
        );
    }
    let damaged = || {
        format!(
            "the embedded ECR's state in `{}` is damaged: move it away, or name another folder with --data",
            path.display()
        )
    };
    let database = Database::open(&path).with_context(damaged)?;
    let meta = |name: &str| -> Result<Option<String>> {
        Ok(database.read()?.get(&key::meta(name))?.map(|it| String::from_utf8_lossy(&it).into_owned()))
    };
    match meta("version").with_context(damaged)? {
        Some(version) if version != VERSION => bail!(
            "the embedded ECR's state in `{}` has version {version}, and this program knows version {VERSION}: \
             name another folder with --data",
            path.display()
        ),
        Some(_) => {}
        None if is_old => takeover::take_over(folder, &database)?,
        None => database.write(|it| {
            it.put_meta("secret", &new_secret()?)?;
            it.put_meta("version", VERSION)
        })?,
    }
    takeover::keep_beside(folder, &database, blobs)?;
    let secret = meta("secret").with_context(damaged)?;
    Ok((database, secret.with_context(damaged)?))
}

/// Opens the state in `folder` to verify it. It is an error if there is none.
pub fn open_existing(folder: &Path, lock: File) -> Result<Store> {
    if !folder.join(RECORDS).exists() && !takeover::is_old(folder) {
        bail!("no state of an embedded ECR in `{}`", folder.display());
    }
    Store::open(folder, lock)
}

/// Removes unfinished uploads of earlier processes. Clients must begin them again.
fn clear_uploads(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("failed to read `{}`", folder.display()))?;
    for entry in entries {
        let entry = entry.context("failed to read a folder")?;
        // Only files with names of uploads, as the user may have given a folder with other files.
        let is_upload =
            |name: &str| name.len() == 36 && name.bytes().all(|it| it == b'-' || it.is_ascii_hexdigit());
        if is_upload(&entry.file_name().to_string_lossy()) {
            let path = entry.path();
            fs::remove_file(&path).with_context(|| format!("failed to remove `{}`", path.display()))?;
        }
    }
    Ok(())
}

/// 32 random bytes in hexadecimal.
pub(super) fn new_secret() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|it| anyhow::anyhow!("no random numbers: {it}"))?;
    Ok(hex::encode(bytes))
}
