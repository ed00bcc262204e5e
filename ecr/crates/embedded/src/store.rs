//! The state on disk.
//!
//! ```text
//! lock            locked by the process that uses the state
//! state.json      a snapshot: version, secret, model; and its checksum
//! journal.jsonl   the changes since the snapshot; one line is one transaction with its checksum
//! blobs/sha256/   layers, configs and manifests by digest
//! uploads/        unfinished uploads
//! ```
//!
//! A transaction is acknowledged after its line was written. If the process is killed, the last line may be incomplete. It was
//! not acknowledged and is ignored. Opening a state merges the journal into a new snapshot, and removes blobs that are not
//! referenced.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ecr_types::{Digest, RepositoryName};
use serde::{Deserialize, Serialize};

use super::blobs::{Blobs, write_whole};
use super::journal::{self, Journal};
use super::model::{Change, Model, RegistryKey};
use super::sweep;

/// The version of the file format. Version 1 did not have the blobs of images; they are read from the manifests. Version 2
/// did not have checksums.
const VERSION: u32 = 3;
/// The time for which a blob without a manifest is kept, so that an interrupted push can be continued.
const LOOSE_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The state of a server on disk and in memory. Dropping it releases the lock.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    blobs: Blobs,
    journal: File,
    model: Model,
    secret: String,
    _lock: File,
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    version: u32,
    secret: String,
    model: Model,
}

impl Store {
    /// Opens the state in `folder`, or creates one. `lock` is the locked lock file of the folder.
    pub fn open(folder: &Path, lock: File) -> Result<Self> {
        let blobs = Blobs::of_state(folder);
        for path in [blobs.folder().to_owned(), folder.join("uploads")] {
            fs::create_dir_all(&path).with_context(|| format!("failed to create `{}`", path.display()))?;
        }
        let (snapshot_path, journal_path) = (folder.join("state.json"), folder.join("journal.jsonl"));
        let is_new = !snapshot_path.exists();
        let mut snapshot = load(folder)?;
        // Opened for appending, so that after `set_len` a line is written at the new end. The journal is created before the
        // first snapshot: if only the snapshot exists, the journal was removed.
        let journal = OpenOptions::new().create(is_new).append(true).open(&journal_path);
        let opened = || format!("failed to open the journal in `{}`", folder.display());
        let journal = journal.with_context(opened)?;
        sweep::complete(&blobs, &mut snapshot.model);
        sweep::sweep(&blobs, &mut snapshot.model, LOOSE_AGE)?;
        write_snapshot(folder, &snapshot)?;
        journal.set_len(0).with_context(opened)?;
        clear_uploads(&folder.join("uploads"))?;
        let Snapshot { model, secret, .. } = snapshot;
        Ok(Self { folder: folder.to_owned(), blobs, journal, model, secret, _lock: lock })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The key of the MACs in passwords and download URLs.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Commits `changes` as one transaction, on disk and then in memory.
    pub fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        let line = journal::line(&changes)?;
        let length = self.journal.metadata().context("failed to look at the journal")?.len();
        if let Err(error) = self.journal.write_all(&line) {
            // An incomplete line, such as of a full disk, would make the following lines unreadable.
            let _ = self.journal.set_len(length);
            return Err(error).context("failed to write the journal");
        }
        changes.into_iter().for_each(|change| self.model.apply(change));
        Ok(())
    }

    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// The path of an upload's file. `id` is an id from [`super::shared::Shared::begin_upload`].
    pub fn upload_path(&self, id: &str) -> PathBuf {
        self.folder.join("uploads").join(id)
    }

    /// Adds an upload to a repository as a layer. Its file becomes the blob with its digest.
    pub fn adopt(
        &mut self,
        key: &RegistryKey,
        name: &RepositoryName,
        id: &str,
        digest: &Digest,
        size: u64,
    ) -> Result<()> {
        let path = self.blobs.path(digest);
        let renamed = fs::rename(self.upload_path(id), &path);
        renamed.with_context(|| format!("failed to write `{}`", path.display()))?;
        self.commit(vec![Change::PutLayer(key.clone(), name.clone(), digest.clone(), size)])
    }

    /// Removes an upload's file. Errors are ignored: a remaining file only takes up space.
    pub fn discard(&self, id: &str) {
        let _ = fs::remove_file(self.upload_path(id));
    }

    /// Removes the blobs among `digests` that no repository has any more.
    pub fn collect(&self, digests: impl IntoIterator<Item = Digest>) {
        let unnamed = digests.into_iter().filter(|it| !self.model.names_blob(it));
        unnamed.for_each(|it| self.blobs.remove(&it));
    }
}

/// Reads the state from disk, without changes to it.
fn load(folder: &Path) -> Result<Snapshot> {
    let (snapshot, damaged) = load_readable(folder)?;
    match damaged.into_iter().next() {
        None => Ok(snapshot),
        Some((line, error)) => Err(error.context(format!(
            "the embedded ECR's state in `{}` is damaged at line {line}: move it away, or name another folder with --data",
            folder.join("journal.jsonl").display()
        ))),
    }
}

/// The lines of a journal that are damaged, and why.
type Damaged = Vec<(usize, anyhow::Error)>;

/// Reads as much of the state as can be read.
fn load_readable(folder: &Path) -> Result<(Snapshot, Damaged)> {
    let snapshot_path = folder.join("state.json");
    let journal_path = folder.join("journal.jsonl");
    if snapshot_path.exists() && !journal_path.exists() {
        bail!(
            "the embedded ECR's state in `{}` is damaged: journal.jsonl is missing; \
             move the folder away, or name another one with --data",
            folder.display()
        );
    }
    let mut snapshot = read_snapshot(&snapshot_path)?;
    let Journal { transactions, damaged } = read_journal(&journal_path)?;
    transactions.into_iter().flatten().for_each(|change| snapshot.model.apply(change));
    Ok((snapshot, damaged))
}

/// Reads the state in `folder`, without changes to it, and the lines of its journal that are damaged. It is an error if
/// there is none.
pub fn read_model(folder: &Path) -> Result<(Model, Damaged)> {
    if !folder.join("state.json").exists() {
        bail!("no state of an embedded ECR in `{}`", folder.display());
    }
    let (snapshot, damaged) = load_readable(folder)?;
    Ok((snapshot.model, damaged))
}

fn read_snapshot(path: &Path) -> Result<Snapshot> {
    if !path.exists() {
        check_is_new(path)?;
        return Ok(Snapshot { version: VERSION, secret: new_secret()?, model: Model::default() });
    }
    let text = fs::read(path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let damaged = || {
        format!(
            "the embedded ECR's state in `{}` is damaged: move it away, or name another folder with --data",
            path.display()
        )
    };
    let (json, has_checksum) = journal::unseal(&text).with_context(damaged)?;
    let json: serde_json::Value = serde_json::from_slice(json).with_context(damaged)?;
    match json["version"].as_u64() {
        Some(3) if !has_checksum => bail!("{}: no checksum", damaged()),
        Some(1..=3) => {
            let snapshot: Snapshot = serde_json::from_value(json).with_context(damaged)?;
            Ok(Snapshot { version: VERSION, ..snapshot })
        }
        Some(version) => bail!(
            "the embedded ECR's state in `{}` has version {version}, and this program knows version {VERSION}: \
             name another folder with --data",
            path.display()
        ),
        None => bail!("{}: no version", damaged()),
    }
}

/// Checks that a folder without a snapshot is new. Only an empty journal is created before the first snapshot. If there is
/// more, the snapshot was removed, and a new state would lose the rest.
fn check_is_new(snapshot: &Path) -> Result<()> {
    let folder = snapshot.parent().unwrap_or(snapshot);
    let has_journal = fs::metadata(folder.join("journal.jsonl")).is_ok_and(|it| it.len() > 0);
    let has_blobs = fs::read_dir(Blobs::of_state(folder).folder()).is_ok_and(|mut it| it.next().is_some());
    if has_journal || has_blobs {
        bail!(
            "the embedded ECR's state in `{}` is damaged: state.json is missing; \
             move the folder away, or name another one with --data",
            folder.display()
        );
    }
    Ok(())
}

fn read_journal(path: &Path) -> Result<Journal> {
    if !path.exists() {
        return Ok(Journal::default());
    }
    let text = fs::read(path).with_context(|| format!("failed to read `{}`", path.display()))?;
    Ok(journal::read(&text))
}

fn write_snapshot(folder: &Path, snapshot: &Snapshot) -> Result<()> {
    let path = folder.join("state.json");
    let bytes = serde_json::to_vec(snapshot).context("failed to encode the state")?;
    write_whole(&path, &journal::seal(&bytes))
        .with_context(|| format!("failed to write `{}`", path.display()))
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
