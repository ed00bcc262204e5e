//! The state on disk.
//!
//! ```text
//! lock            held by the one process that writes
//! state.json      a snapshot: version, secret, model
//! journal.jsonl   the changes since; one line is one transaction
//! blobs/sha256/   layers, configs and manifests by digest
//! uploads/        blobs on their way in
//! ```
//!
//! A transaction is acknowledged after its line was written. A process that is killed leaves at most a last line
//! without an end, which nobody was told about; it is dropped. Opening folds the journal into a new snapshot, and
//! removes blobs that nothing names.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ecr_types::{Digest, RepositoryName};
use serde::{Deserialize, Serialize};

use super::blobs::{Blobs, write_whole};
use super::model::{Change, Model, RegistryKey};
use super::sweep;

/// The version of the files' format. Version 1 had no blobs of images; they are read from the manifests.
const VERSION: u32 = 2;
/// How long a blob that no manifest names is kept, so that a push that broke off can go on.
const LOOSE_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The state of the embedded ECR. Dropping it releases the lock.
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
    /// Opens the state in `folder`, or begins one. `lock` is the exclusively locked lock file of the folder.
    pub fn open(folder: &Path, lock: File) -> Result<Self> {
        let blobs = Blobs::of_state(folder);
        for path in [blobs.folder().to_owned(), folder.join("uploads")] {
            fs::create_dir_all(&path).with_context(|| format!("failed to create `{}`", path.display()))?;
        }
        let (snapshot_path, journal_path) = (folder.join("state.json"), folder.join("journal.jsonl"));
        let is_new = !snapshot_path.exists();
        let mut snapshot = load(folder)?;
        // Appending, so that a line after one that was cut off again begins where that one did. The journal is there
        // before the first snapshot is: a snapshot without one means that somebody took it away.
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

    /// The state's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the registries hold.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The secret that passwords are derived from.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Makes `changes` as a whole: on disk first, then in memory.
    pub fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        let mut line = serde_json::to_vec(&changes).context("failed to encode a change")?;
        line.push(b'\n');
        let length = self.journal.metadata().context("failed to look at the journal")?.len();
        if let Err(error) = self.journal.write_all(&line) {
            // Half a line in the middle would make the rest unreadable: a full disk must not leave one.
            let _ = self.journal.set_len(length);
            return Err(error).context("failed to write the journal");
        }
        changes.into_iter().for_each(|change| self.model.apply(change));
        Ok(())
    }

    /// The files of blobs.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Where the upload `id` (ours, hexadecimal) is written to.
    pub fn upload_path(&self, id: &str) -> PathBuf {
        self.folder.join("uploads").join(id)
    }

    /// Makes an upload a layer of a repository: its file becomes the blob of its digest.
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

    /// Throws an upload's file away; one that stays is only a waste of space.
    pub fn discard(&self, id: &str) {
        let _ = fs::remove_file(self.upload_path(id));
    }

    /// Removes those of `digests` that no repository names any more.
    pub fn collect(&self, digests: impl IntoIterator<Item = Digest>) {
        let unnamed = digests.into_iter().filter(|it| !self.model.names_blob(it));
        unnamed.for_each(|it| self.blobs.remove(&it));
    }
}

/// The state as it is on disk, read and nothing else.
fn load(folder: &Path) -> Result<Snapshot> {
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
    replay(&journal_path, &mut snapshot.model)?;
    Ok(snapshot)
}

/// What the registries in `folder` hold; nothing is written.
///
/// # Errors
/// There is no state, or it cannot be read.
pub fn read_model(folder: &Path) -> Result<Model> {
    if !folder.join("state.json").exists() {
        bail!("there is no state of the embedded ECR in `{}`", folder.display());
    }
    Ok(load(folder)?.model)
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
    let json: serde_json::Value = serde_json::from_slice(&text).with_context(damaged)?;
    match json["version"].as_u64() {
        Some(1 | 2) => {
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

/// Nothing but an empty journal is written before the snapshot: where that is missing and anything else is there,
/// somebody took it away, and beginning anew would lose the rest.
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

/// Applies the journal.
fn replay(path: &Path, model: &mut Model) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let text = fs::read(path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &text[..end]);
    for (n, line) in whole.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let changes: Vec<Change> = serde_json::from_slice(line).with_context(|| {
            format!("the embedded ECR's state in `{}` is damaged at line {}: move it away, or name another folder with --data", path.display(), n + 1)
        })?;
        changes.into_iter().for_each(|change| model.apply(change));
    }
    Ok(())
}

fn write_snapshot(folder: &Path, snapshot: &Snapshot) -> Result<()> {
    let path = folder.join("state.json");
    let bytes = serde_json::to_vec(snapshot).context("failed to encode the state")?;
    write_whole(&path, &bytes).with_context(|| format!("failed to write `{}`", path.display()))
}

/// Uploads end with the process that took them: a client that comes back begins anew.
fn clear_uploads(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("failed to read `{}`", folder.display()))?;
    for entry in entries {
        let entry = entry.context("failed to read a folder")?;
        // Only what was put there by us: a person may have named a folder of something else.
        let is_ours =
            |name: &str| name.len() == 36 && name.bytes().all(|it| it == b'-' || it.is_ascii_hexdigit());
        if is_ours(&entry.file_name().to_string_lossy()) {
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
