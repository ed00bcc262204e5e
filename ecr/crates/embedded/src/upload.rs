//! Uploads of blobs on both planes. Content is hashed while it is written to a file, so that the memory does not grow with it.
//! The file is closed between requests, so that there can be thousands of uploads.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use ecr_types::{Digest, RepositoryName};
use sha2::{Digest as _, Sha256};

use super::model::RegistryKey;

/// An unfinished upload.
#[derive(Debug)]
pub struct Upload {
    registry: RegistryKey,
    name: RepositoryName,
    path: PathBuf,
    hash: Sha256,
    size: u64,
    /// The size in bytes of the last part so far, on the control plane.
    last_part: Option<u64>,
    smallest_inner_part: Option<u64>,
}

impl Upload {
    /// Begins an upload and creates its file, which is empty.
    pub fn begin(registry: RegistryKey, name: RepositoryName, path: PathBuf) -> io::Result<Self> {
        File::create(&path)?;
        Ok(Self {
            registry,
            name,
            path,
            hash: Sha256::new(),
            size: 0,
            last_part: None,
            smallest_inner_part: None,
        })
    }

    /// Whether the upload was begun in this repository.
    pub fn belongs_to(&self, registry: &RegistryKey, name: &RepositoryName) -> bool {
        self.registry == *registry && self.name == *name
    }

    /// The number of bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digest of the content so far.
    pub fn digest(&self) -> Digest {
        Digest::from_hash(&self.hash.clone().finalize())
    }

    /// The size in bytes of the smallest part except the last one.
    pub fn smallest_inner_part(&self) -> Option<u64> {
        self.smallest_inner_part
    }

    /// Opens the file, for [`Upload::write`].
    pub fn open(&self) -> io::Result<File> {
        OpenOptions::new().append(true).open(&self.path)
    }

    /// Appends bytes. After an error, the file and the digest are as before the call.
    pub fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = file.write_all(bytes) {
            let _ = file.set_len(self.size);
            return Err(error);
        }
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Appends a part of `UploadLayerPart`.
    pub fn write_part(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.open()?;
        self.write(&mut file, bytes)?;
        let inner = self.last_part.replace(bytes.len() as u64);
        self.smallest_inner_part = self.smallest_inner_part.into_iter().chain(inner).min();
        Ok(())
    }
}
