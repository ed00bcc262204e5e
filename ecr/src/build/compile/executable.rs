//! Reading executables and shared libraries, with a cache in the target folder.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use ecr_oci::files;
use ecr_oci::image::elf::Elf;
use ecr_types::{Digest, lock};
use serde::{Deserialize, Serialize};

use super::stamp::Stamp;

/// An executable or a shared library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executable {
    pub path: PathBuf,
    pub elf: Elf,
    /// The digest of the file.
    pub digest: Digest,
    /// The size in bytes.
    pub size: u64,
}

/// The cache in `target/xtask-ecr/executables/`. Its clones are one cache.
#[derive(Debug, Clone)]
pub struct ExecutableCache {
    folder: PathBuf,
    /// The files that were too new for the cache when they were read.
    recent: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// The format of the cache entries. To be changed together with [`Executable`], which invalidates all entries.
const FORMAT: &[u8] = b"2 ";

#[derive(Serialize, Deserialize)]
struct CachedExecutable {
    stamp: Stamp,
    executable: Executable,
}

impl ExecutableCache {
    /// The cache below the target folder `target`.
    pub fn new(target: &Path) -> Self {
        Self { folder: target.join("xtask-ecr/executables"), recent: Arc::default() }
    }

    /// Reads a file, or takes it from the cache if it has not changed.
    ///
    /// # Errors
    /// The file cannot be read, or is not a Linux executable.
    pub(super) fn read(&self, path: &Path) -> Result<Executable> {
        // A file that was written very recently may change again without a change of its stamp.
        let stamp = Stamp::of(path).filter(Stamp::is_settled);
        if stamp.is_none() {
            lock(&self.recent).insert(path.to_owned());
        }
        if let Some(executable) = stamp.as_ref().and_then(|it| self.get(path, it)) {
            return Ok(executable);
        }
        let context = || format!("failed to read `{}`", path.display());
        let file = File::open(path).with_context(context)?;
        let elf = Elf::read(&file).with_context(context)?;
        let (digest, size) = files::digest_of(file).with_context(context)?;
        let executable = Executable { path: path.to_owned(), elf, digest, size };
        if let Some(stamp) = stamp.filter(|it| Stamp::of(path).as_ref() == Some(it)) {
            self.insert(&CachedExecutable { stamp, executable: executable.clone() });
        }
        Ok(executable)
    }

    /// Reads the files again that were too new for the cache, so that the next run finds them there.
    pub fn remember_recent(&self) {
        let recent = std::mem::take(&mut *lock(&self.recent));
        // The next run reports a file that cannot be read.
        recent.iter().for_each(|it| drop(self.read(it)));
    }

    fn get(&self, path: &Path, stamp: &Stamp) -> Option<Executable> {
        let entry: CachedExecutable = serde_json::from_slice(&fs::read(self.file(path)).ok()?).ok()?;
        (entry.stamp == *stamp && entry.executable.path == path).then_some(entry.executable)
    }

    /// Writes to the cache. Errors are ignored, because the file can be read again.
    fn insert(&self, entry: &CachedExecutable) {
        if let Ok(json) = serde_json::to_vec(entry) {
            let _ = files::write(&self.file(&entry.executable.path), &json);
        }
    }

    fn file(&self, path: &Path) -> PathBuf {
        let name = Digest::of(&[FORMAT, path.as_os_str().as_encoded_bytes()].concat());
        self.folder.join(format!("{}.json", name.hex()))
    }
}
