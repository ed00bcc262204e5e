//! Layers on disk: files of this machine go in, compressed layers come out, and what is unchanged is found again.
//!
//! `target/xtask-ecr/blobs/` holds compressed layers by digest, `target/xtask-ecr/layers/` the descriptor of each
//! by the fingerprint of what it was made from. The folder can be removed at any time.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use ecr_types::Digest;

use crate::files::{self, Temporary};
use crate::image::base::FileTree;
use crate::image::compression::Compression;
use crate::image::layer::{Files, Layer};
use crate::image::zstd;

/// The cache of a workspace.
#[derive(Debug, Clone)]
pub struct LayerCache {
    folder: PathBuf,
    threads: NonZero<usize>,
    /// When this run began.
    began: SystemTime,
}

/// Compressed layers that are kept.
const KEPT: usize = 64;
/// After this time nobody writes to a temporary file any more.
const UNFINISHED: Duration = Duration::from_secs(3600);

impl LayerCache {
    /// The cache in the workspace's target folder.
    pub fn new(target: &Path) -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        Self { folder: target.join("xtask-ecr"), threads, began: SystemTime::now() }
    }

    /// The layer of `files`, compressed now unless it was before.
    pub fn layer(&self, files: &Files, compression: Compression) -> Result<Layer> {
        let fingerprint = files.fingerprint(compression);
        let descriptor = self.folder.join("layers").join(format!("{}.json", fingerprint.hex()));
        if let Some(layer) = self.find(&descriptor) {
            return Ok(layer);
        }
        let context = || format!("failed to write a layer below `{}`", self.folder.display());
        let layer = self.write(files, compression).with_context(context)?;
        files::write(&descriptor, &serde_json::to_vec(&layer)?).context("failed to write to the cache")?;
        Ok(layer)
    }

    /// Where the compressed bytes of a layer are.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs").join(digest.hex())
    }

    /// A layer that is still whole.
    fn find(&self, descriptor: &Path) -> Option<Layer> {
        let layer: Layer = serde_json::from_slice(&fs::read(descriptor).ok()?).ok()?;
        let blob = File::options().append(true).open(self.blob(&layer.digest)).ok()?;
        let is_whole = blob.metadata().ok()?.len() == layer.size;
        // The time of last use; see `forget_unused`.
        let _ = blob.set_modified(SystemTime::now());
        is_whole.then_some(layer)
    }

    fn write(&self, files: &Files, compression: Compression) -> Result<Layer> {
        let temporary = Temporary::beside(&self.folder.join("blobs").join("layer"))?;
        let layer = files.write(BufWriter::new(temporary.file()), compression, self.threads)?;
        temporary.persist(&self.blob(&layer.digest))?;
        Ok(layer)
    }

    /// Removes what was used longest ago, but nothing that was used since this value was made.
    pub fn forget_unused(&self) {
        let began = self.began;
        for folder in ["blobs", "layers"] {
            let entries = fs::read_dir(self.folder.join(folder)).into_iter().flatten().flatten();
            let entries = entries.filter_map(|it| Some((it.metadata().ok()?.modified().ok()?, it.path())));
            let (unfinished, mut files): (Vec<_>, Vec<_>) = entries.partition(|(_, path)| is_temporary(path));
            // Left by a process that was killed.
            let is_left = |used: SystemTime| began.duration_since(used).is_ok_and(|it| it > UNFINISHED);
            let left = unfinished.iter().filter(|(used, _)| is_left(*used));
            left.for_each(|(_, path)| drop(fs::remove_file(path)));
            files.sort();
            let surplus = files.len().saturating_sub(KEPT);
            let old = files.iter().take(surplus).filter(|(used, _)| *used < began);
            // A file that stays is only a waste of space.
            old.for_each(|(_, path)| drop(fs::remove_file(path)));
        }
    }
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|it| it.starts_with(files::PREFIX))
}

/// The files of layers, the lowest first: archives that are plain, gzip's or Zstandard's.
///
/// # Errors
/// A layer that cannot be read, such as one that is compressed in another way.
pub fn tree(layers: &[PathBuf]) -> Result<FileTree> {
    let mut tree = FileTree::default();
    for path in layers {
        let context = || format!("failed to look into the layer `{}`", path.display());
        let mut file = BufReader::new(File::open(path).with_context(context)?);
        let bytes: Box<dyn Read> = match file.fill_buf().with_context(context)? {
            [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(file)),
            // RFC 8878, section 3.1.1.
            [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd::decoder(file).with_context(context)?,
            _ => Box::new(file),
        };
        let mut archive = tar::Archive::new(bytes);
        for entry in archive.entries().with_context(context)? {
            let entry = entry.with_context(context)?;
            let is_link = entry.header().entry_type() == tar::EntryType::Symlink;
            let link = entry.link_name().with_context(context)?.filter(|_| is_link);
            let link = link.map(|it| it.to_string_lossy().into_owned());
            tree.add(&entry.path().with_context(context)?.to_string_lossy(), link);
        }
    }
    Ok(tree)
}

/// Adds a file of this machine, or a folder with everything in it; symbolic links are followed.
pub fn add(files: &mut Files, from: &Path, to: &str) -> Result<()> {
    let metadata = fs::metadata(from).with_context(|| format!("failed to read `{}`", from.display()))?;
    if !metadata.is_dir() {
        return add_file(files, from, to, mode(&metadata));
    }
    files.folder(to, 0o755);
    let entries = fs::read_dir(from).with_context(|| format!("failed to read `{}`", from.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("failed to read `{}`", from.display()))?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|it| anyhow::anyhow!("`{}`: the name {it:?} is not UTF-8", from.display()))?;
        add(files, &entry.path(), &format!("{}/{name}", to.trim_end_matches('/')))?;
    }
    Ok(())
}

/// Adds one file with a given mode.
fn add_file(files: &mut Files, from: &Path, to: &str, mode: u32) -> Result<()> {
    let digest = File::open(from).and_then(files::digest_of);
    let (digest, size) = digest.with_context(|| format!("failed to read `{}`", from.display()))?;
    add_known(files, from, to, mode, digest, size);
    Ok(())
}

/// Adds one file that was read before, and is read again only where its layer is written.
pub fn add_known(files: &mut Files, from: &Path, to: &str, mode: u32, digest: Digest, size: u64) {
    let path = from.to_owned();
    let open = Box::new(move || Ok(Box::new(File::open(&path)?) as Box<dyn Read>));
    files.stream(to, mode, size, digest, open);
}

/// One bit of the file's mode counts: whether it can be executed. The rest is the umask of this machine.
fn mode(metadata: &fs::Metadata) -> u32 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o111 != 0 {
            return 0o755;
        }
    }
    let _ = metadata;
    0o644
}
