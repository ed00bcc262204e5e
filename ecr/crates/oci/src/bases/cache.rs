//! The cache of base images on disk.

use std::fs;
use std::path::PathBuf;

use ecr_types::{Descriptor, Digest};

use crate::sweep::note_use;

/// Manifests, configs and layers of base images, each in a file named by its digest.
#[derive(Debug, Clone)]
pub struct BaseCache(PathBuf);

impl BaseCache {
    /// The cache in `folder`, which is created when the first file is stored.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The path of the manifest, config or layer with this digest, whether or not it is stored.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.0.join(digest.hex())
    }

    /// The content with this digest; `None` if it is not stored or damaged.
    pub(super) fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = fs::read(self.path(digest)).ok()?;
        note_use(&self.path(digest));
        (Digest::of(&bytes) == *digest).then_some(bytes)
    }

    /// Whether a blob is stored with its full size.
    pub(super) fn has(&self, blob: &Descriptor) -> bool {
        note_use(&self.path(&blob.digest));
        fs::metadata(self.path(&blob.digest)).is_ok_and(|it| it.len() == blob.size)
    }
}
