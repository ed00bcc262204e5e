//! Reading executables and shared libraries, with a cache in the target folder.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use ecr_oci::files;
use ecr_oci::image::elf::Elf;
use ecr_oci::image::layer::Source;
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
        let stamp = self.settled(path);
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
        if let Some(stamp) = stamp {
            self.remember(stamp, &executable);
        }
        Ok(executable)
    }

    /// Whether an executable was read as it is now.
    pub fn has(&self, path: &Path) -> bool {
        Stamp::of(path).is_some_and(|it| self.get(path, &it).is_some())
    }

    /// The content of an executable for a layer. One that was too new for the cache when it was read gets there with the layer.
    pub fn source(&self, executable: &Executable) -> impl Source + use<> {
        ExecutableSource { cache: self.clone(), executable: executable.clone(), opened: Mutex::default() }
    }

    /// Writes an executable to the cache that was read since its file had the stamp, unless the file has changed.
    fn remember(&self, stamp: Stamp, executable: &Executable) {
        if Stamp::of(&executable.path).as_ref() == Some(&stamp) {
            self.insert(&CachedExecutable { stamp, executable: executable.clone() });
        }
    }

    /// Reads the files again that were too new for the cache and went into no new layer, so that the next run finds them there.
    pub fn remember_recent(&self) {
        let recent = std::mem::take(&mut *lock(&self.recent));
        // The next run reports a file that cannot be read.
        recent.iter().for_each(|it| drop(self.read(it)));
    }

    /// The stamp of a file that does not change again without a change of its stamp.
    fn settled(&self, path: &Path) -> Option<Stamp> {
        Stamp::of(path).filter(|it| it.is_settled(&self.folder))
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

/// An executable that is read again for a layer, which compares its digest.
struct ExecutableSource {
    cache: ExecutableCache,
    executable: Executable,
    /// The stamp of the file when it was opened, if it was old enough for the cache.
    opened: Mutex<Option<Stamp>>,
}

impl Source for ExecutableSource {
    fn open(&self) -> io::Result<Box<dyn Read>> {
        let path = &self.executable.path;
        *lock(&self.opened) = self.cache.settled(path).filter(|it| it.size() == self.executable.size);
        Ok(Box::new(File::open(path)?))
    }

    fn verified(&self) {
        let is_recent = || lock(&self.cache.recent).remove(&self.executable.path);
        if let Some(stamp) = lock(&self.opened).take().filter(|_| is_recent()) {
            self.cache.remember(stamp, &self.executable);
        }
    }

    fn elf(&self) -> Option<&Elf> {
        Some(&self.executable.elf)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::num::NonZero;

    use ecr_oci::image::compression::Compression;
    use ecr_oci::image::layer::Files;

    use super::*;

    /// A file that was read while it was too new for the cache.
    fn recent(folder: &Path) -> (ExecutableCache, Executable) {
        let cache = ExecutableCache::new(&folder.join("target"));
        let path = folder.join("app");
        fs::write(&path, "binary").unwrap();
        lock(&cache.recent).insert(path.clone());
        let executable = Executable { path, elf: Elf::default(), digest: Digest::of(b"binary"), size: 6 };
        (cache, executable)
    }

    fn write_layer(cache: &ExecutableCache, it: &Executable) -> io::Result<()> {
        let mut files = Files::default();
        files.stream("/app", 0o755, (it.digest.clone(), it.size), cache.source(it));
        files.write(io::sink(), Compression::Gzip, NonZero::<usize>::MIN).map(drop)
    }

    #[test]
    fn executable_is_in_the_cache_with_its_layer() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, executable) = recent(folder.path());
        let stamp = Stamp::of(&executable.path).unwrap();
        assert_eq!(cache.get(&executable.path, &stamp), None);
        while cache.settled(&executable.path).is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        write_layer(&cache, &executable).unwrap();
        assert_eq!(cache.get(&executable.path, &stamp), Some(executable));
        assert!(lock(&cache.recent).is_empty());
    }

    #[test]
    fn executable_that_has_changed_does_not_get_into_the_cache() {
        for content in ["another", "binary and more"] {
            let folder = tempfile::tempdir().unwrap();
            let (cache, executable) = recent(folder.path());
            fs::write(&executable.path, content).unwrap();
            while cache.settled(&executable.path).is_none() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            let _ = write_layer(&cache, &executable);
            let stamp = Stamp::of(&executable.path).unwrap();
            assert_eq!(cache.get(&executable.path, &stamp), None, "{content}");
            assert_eq!(lock(&cache.recent).len(), 1, "{content}");
        }
    }
}
