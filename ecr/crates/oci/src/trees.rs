//! The trees of layers on disk, each read once and kept beside the layers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, Result, anyhow};
use ecr_types::{Descriptor, Digest, lock};
use flate2::read::MultiGzDecoder;

use crate::bases::BaseCache;
use crate::files;
use crate::image::tree::{FileTree, InvalidLayer, LayerTree};
use crate::image::zstd;
use crate::sweep::note_use;

/// The trees of the layers of base images, by digest.
#[derive(Debug)]
pub struct TreeCache {
    layers: BaseCache,
    folder: PathBuf,
    /// What this process has read, by the digests of the layers.
    read: Mutex<BTreeMap<Vec<Digest>, Arc<FileTree>>>,
}

/// The format of the stored trees. To be changed together with [`LayerTree`], which makes all of them be read anew.
const FORMAT: &str = "2";

/// The number of layers that are read at a time. Each may hold a library of a gigabyte in memory for a moment.
const SIDE_BY_SIDE: usize = 4;
/// The number of bytes of the trees of all layers of an image, see [`LayerTree::size`].
const MAX_SIZE: usize = 1 << 30;

impl TreeCache {
    /// The trees of the layers in `layers`, to be stored in `folder`, which is created when it is needed.
    pub fn new(layers: BaseCache, folder: PathBuf) -> Self {
        Self { layers, folder, read: Mutex::default() }
    }

    /// The files of an image from its layers, the lowest first. Layers that were not read before are read side by side.
    ///
    /// # Errors
    /// A layer is missing, is not an archive, is compressed in an unknown way, or cannot be unpacked.
    pub fn tree(&self, layers: &[Descriptor]) -> Result<Arc<FileTree>> {
        let digests: Vec<_> = layers.iter().map(|it| it.digest.clone()).collect();
        // Locked meanwhile, so that services with the same base read it once.
        let mut read = lock(&self.read);
        if let Some(tree) = read.get(&digests) {
            return Ok(tree.clone());
        }
        let tree = Arc::new(self.applied(&digests)?);
        read.insert(digests, tree.clone());
        Ok(tree)
    }

    fn applied(&self, digests: &[Digest]) -> Result<FileTree> {
        let (mut tree, mut size) = (FileTree::default(), 0);
        for digests in digests.chunks(SIDE_BY_SIDE) {
            for (digest, layer) in digests.iter().zip(self.layers(digests)?) {
                size += layer.size();
                let applied = if size > MAX_SIZE { Err(InvalidLayer::TooLarge) } else { tree.apply(&layer) };
                applied.with_context(|| format!("failed to read layer {digest}"))?;
            }
        }
        Ok(tree)
    }

    fn layers(&self, digests: &[Digest]) -> Result<Vec<LayerTree>> {
        thread::scope(|scope| {
            let readers: Vec<_> = digests.iter().map(|it| scope.spawn(|| self.layer(it))).collect();
            let lost = || anyhow!("a reader of layers ended early");
            readers.into_iter().map(|it| it.join().map_err(|_| lost())?).collect()
        })
    }

    fn layer(&self, digest: &Digest) -> Result<LayerTree> {
        let file = self.folder.join(format!("{}.{FORMAT}.json", digest.hex()));
        if let Some(layer) = fs::read(&file).ok().and_then(|it| serde_json::from_slice(&it).ok()) {
            note_use(&file);
            return Ok(layer);
        }
        let layer =
            read(&self.layers.path(digest)).with_context(|| format!("failed to read layer {digest}"))?;
        // The layer can be read again, so that it does not matter if the tree cannot be stored.
        let _ = serde_json::to_vec(&layer).map(|it| files::write(&file, &it));
        Ok(layer)
    }
}

/// The tree of a layer: a tar archive that is uncompressed or compressed with gzip or Zstandard.
///
/// # Errors
/// The layer cannot be read or unpacked, or its compression needs the feature `zstd`.
pub fn read(path: &Path) -> Result<LayerTree, InvalidLayer> {
    LayerTree::read(decompressed(BufReader::new(File::open(path)?))?)
}

/// What is in a compressed file, by its first bytes.
fn decompressed(mut file: BufReader<File>) -> io::Result<Box<dyn Read>> {
    Ok(match file.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(file)),
        // The magic number of Zstandard (RFC 8878, section 3.1.1).
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::decoder(file)?),
        _ => Box::new(file),
    })
}
