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
//! without an end, which nobody was told about; it is dropped. Opening folds the journal into a new snapshot.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::model::{Change, Model};
use crate::files;
use crate::name::{Digest, hex};

/// The version of the files' format.
const VERSION: u32 = 1;

/// The state of the embedded ECR. Dropping it releases the lock.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
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
        for part in ["blobs/sha256", "uploads"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).with_context(|| format!("failed to create `{}`", path.display()))?;
        }
        let mut snapshot = read_snapshot(&folder.join("state.json"))?;
        let replayed = replay(&folder.join("journal.jsonl"), &mut snapshot.model)?;
        if replayed || !folder.join("state.json").exists() {
            write_snapshot(folder, &snapshot)?;
        }
        let journal = folder.join("journal.jsonl");
        // Appending, so that a line after one that was cut off again begins where that one did.
        let journal = OpenOptions::new().create(true).append(true).open(&journal);
        let journal = journal.and_then(|it| it.set_len(0).map(|()| it));
        let journal =
            journal.with_context(|| format!("failed to open the journal in `{}`", folder.display()))?;
        clear_uploads(&folder.join("uploads"))?;
        let Snapshot { model, secret, .. } = snapshot;
        Ok(Self { folder: folder.to_owned(), journal, model, secret, _lock: lock })
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

    /// Where the blob of a digest is or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    /// Where the upload `id` (ours, hexadecimal) is written to.
    pub fn upload_path(&self, id: &str) -> PathBuf {
        self.folder.join("uploads").join(id)
    }

    /// Stores a small blob, such as a manifest, as a whole or not at all.
    pub fn write_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let path = self.blob_path(digest);
        files::write(&path, bytes).with_context(|| format!("failed to write `{}`", path.display()))
    }

    /// Removes those of `digests` that no repository names any more.
    pub fn collect(&self, digests: impl IntoIterator<Item = Digest>) {
        for digest in digests.into_iter().filter(|it| !self.model.names_blob(it)) {
            // A blob that stays is only a waste of space, so a failure here is no failure of the request.
            let _ = fs::remove_file(self.blob_path(&digest));
        }
    }
}

fn read_snapshot(path: &Path) -> Result<Snapshot> {
    if !path.exists() {
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
        Some(version) if version == u64::from(VERSION) => serde_json::from_value(json).with_context(damaged),
        Some(version) => bail!(
            "the embedded ECR's state in `{}` has version {version}, and this program knows version {VERSION}: \
             name another folder with --data",
            path.display()
        ),
        None => bail!("{}: no version", damaged()),
    }
}

/// Applies the journal; whether there was anything in it.
fn replay(path: &Path, model: &mut Model) -> Result<bool> {
    if !path.exists() {
        return Ok(false);
    }
    let text = fs::read(path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &text[..end]);
    for (n, line) in whole.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let changes: Vec<Change> = serde_json::from_slice(line).with_context(|| {
            format!("the embedded ECR's state in `{}` is damaged at line {}: move it away, or name another folder with --data", path.display(), n + 1)
        })?;
        changes.into_iter().for_each(|change| model.apply(change));
    }
    Ok(!text.is_empty())
}

fn write_snapshot(folder: &Path, snapshot: &Snapshot) -> Result<()> {
    let path = folder.join("state.json");
    let bytes = serde_json::to_vec(snapshot).context("failed to encode the state")?;
    files::write(&path, &bytes).with_context(|| format!("failed to write `{}`", path.display()))
}

/// Uploads end with the process that took them: a client that comes back begins anew.
fn clear_uploads(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("failed to read `{}`", folder.display()))?;
    for entry in entries {
        let path = entry.context("failed to read a folder")?.path();
        fs::remove_file(&path).with_context(|| format!("failed to remove `{}`", path.display()))?;
    }
    Ok(())
}

/// 32 random bytes in hexadecimal.
pub(super) fn new_secret() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|it| anyhow::anyhow!("no random numbers: {it}"))?;
    Ok(hex(&bytes))
}
