//! A cache of compressed layers on disk.
//!
//! `target/xtask-ecr/blobs/` contains compressed layers by digest. `target/xtask-ecr/layers/` contains the descriptor of
//! each layer by the fingerprint of its input. The folder can be removed at any time.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufWriter, Read};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use ecr_types::{Digest, lock};

use crate::files::{self, Temporary};
use crate::image::compression::Compressor;
use crate::image::layer::{Files, Layer};

/// The layer cache of a workspace.
#[derive(Clone)]
pub struct LayerCache {
    folder: PathBuf,
    threads: NonZero<usize>,
    /// When this run began.
    began: SystemTime,
    /// Is told of layers that are compressed.
    on_layer: Option<OnRead>,
    /// The layers of this run by fingerprint. Services share some of them, such as the base `scratch`.
    known: Arc<Mutex<BTreeMap<Digest, Layer>>>,
}

/// Gets the size of what is about to be read, in bytes, and returns what gets the number of bytes of each part.
pub type OnRead = Arc<dyn Fn(u64) -> Box<dyn Fn(u64)> + Send + Sync>;

impl fmt::Debug for LayerCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerCache").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// The number of compressed layers that [`LayerCache::forget_unused`] keeps.
const KEPT: usize = 64;
/// The age after which a temporary file is no longer being written.
const UNFINISHED: Duration = Duration::from_secs(3600);

impl LayerCache {
    /// The cache below `target`, the target folder of a workspace. Layers are compressed on all cores.
    pub fn new(target: &Path) -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        Self {
            folder: target.join("xtask-ecr"),
            threads,
            began: SystemTime::now(),
            on_layer: None,
            known: Arc::default(),
        }
    }

    /// The same cache, with another number of threads.
    pub fn with_threads(self, threads: NonZero<usize>) -> Self {
        Self { threads, ..self }
    }

    /// The number of threads that compress a layer.
    pub fn threads(&self) -> NonZero<usize> {
        self.threads
    }

    /// The same cache. `on_layer` is called for each layer that is not in it.
    pub fn with_observer(self, on_layer: OnRead) -> Self {
        Self { on_layer: Some(on_layer), ..self }
    }

    /// The layer of `files`, from the cache if it is there with its full size; otherwise it is compressed and stored.
    ///
    /// # Errors
    /// A file of the layer cannot be read or has changed since it was added, or the cache cannot be written.
    pub fn layer(&self, files: &Files, compressor: impl Into<Compressor>) -> Result<Layer> {
        let compressor = compressor.into();
        let fingerprint = files.fingerprint(compressor);
        if let Some(layer) = lock(&self.known).get(&fingerprint) {
            return Ok(layer.clone());
        }
        let layer = self.stored(files, compressor, &fingerprint)?;
        lock(&self.known).insert(fingerprint, layer.clone());
        Ok(layer)
    }

    fn stored(&self, files: &Files, compressor: Compressor, fingerprint: &Digest) -> Result<Layer> {
        let descriptor = self.folder.join("layers").join(format!("{}.json", fingerprint.hex()));
        if let Some(layer) = self.find(&descriptor) {
            return Ok(layer);
        }
        let context = || format!("failed to write a layer below `{}`", self.folder.display());
        let layer = self.write(files, compressor).with_context(context)?;
        files::write(&descriptor, &serde_json::to_vec(&layer)?).context("failed to write to the cache")?;
        Ok(layer)
    }

    /// The path of the compressed bytes of a layer.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs").join(digest.hex())
    }

    /// The layer of a descriptor, if its blob still has its full size.
    fn find(&self, descriptor: &Path) -> Option<Layer> {
        let layer: Layer = serde_json::from_slice(&fs::read(descriptor).ok()?).ok()?;
        let blob = File::options().append(true).open(self.blob(&layer.digest)).ok()?;
        let is_whole = blob.metadata().ok()?.len() == layer.size;
        // The modification time is the time of last use; see `forget_unused`.
        let _ = blob.set_modified(SystemTime::now());
        is_whole.then_some(layer)
    }

    fn write(&self, files: &Files, compressor: Compressor) -> Result<Layer> {
        let temporary = Temporary::beside(&self.folder.join("blobs").join("layer"))?;
        let on_bytes = self.on_layer.as_ref().map(|it| it(files.size()));
        let on_bytes = |bytes| on_bytes.iter().for_each(|it| it(bytes));
        let output = BufWriter::new(temporary.file());
        let layer = files.write_observed(output, compressor, self.threads, &on_bytes)?;
        temporary.persist(&self.blob(&layer.digest))?;
        Ok(layer)
    }

    /// Removes the least recently used layers, so that 64 remain. Layers that were used since this value was made stay in
    /// any case. Temporary files that are older than an hour are removed, too. Errors are ignored.
    pub fn forget_unused(&self) {
        let began = self.began;
        for folder in ["blobs", "layers"] {
            let entries = fs::read_dir(self.folder.join(folder)).into_iter().flatten().flatten();
            let entries = entries.filter_map(|it| Some((it.metadata().ok()?.modified().ok()?, it.path())));
            let (unfinished, mut files): (Vec<_>, Vec<_>) = entries.partition(|(_, path)| is_temporary(path));
            // Left behind by a process that was killed.
            let is_left = |used: SystemTime| began.duration_since(used).is_ok_and(|it| it > UNFINISHED);
            let left = unfinished.iter().filter(|(used, _)| is_left(*used));
            left.for_each(|(_, path)| drop(fs::remove_file(path)));
            files.sort();
            let surplus = files.len().saturating_sub(KEPT);
            let old = files.iter().take(surplus).filter(|(used, _)| *used < began);
            // A file that cannot be removed only takes up space.
            old.for_each(|(_, path)| drop(fs::remove_file(path)));
        }
    }
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|it| it.starts_with(files::PREFIX))
}

/// Adds one file whose digest and size in bytes are known. It is read when its layer is written, and not if the layer is in
/// the cache.
pub fn add_known(files: &mut Files, from: &Path, to: &str, mode: u32, digest: Digest, size: u64) {
    let path = from.to_owned();
    files.stream(to, mode, (digest, size), move || Ok(Box::new(File::open(&path)?) as Box<dyn Read>));
}
