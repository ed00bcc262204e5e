//! Blobs on their way in, for both planes: hashed while they are written, so that memory does not grow with them.
//! No file stays open between requests, so that thousands of uploads may be open.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use ecr_types::{Digest, RepositoryName};
use sha2::{Digest as _, Sha256};

use super::model::RegistryKey;

/// An upload that has begun.
#[derive(Debug)]
pub struct Upload {
    registry: RegistryKey,
    name: RepositoryName,
    path: PathBuf,
    hash: Sha256,
    size: u64,
    last_part: Option<u64>,
    smallest_inner_part: Option<u64>,
}

impl Upload {
    /// An upload into an empty file.
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

    /// Whether it was begun in this repository.
    pub fn belongs_to(&self, registry: &RegistryKey, name: &RepositoryName) -> bool {
        self.registry == *registry && self.name == *name
    }

    /// The bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digest of the bytes so far.
    pub fn digest(&self) -> Digest {
        Digest::from_hash(&self.hash.clone().finalize())
    }

    /// The smallest part that another one followed.
    pub fn smallest_inner_part(&self) -> Option<u64> {
        self.smallest_inner_part
    }

    /// The file, to be written to with [`Upload::write`].
    pub fn open(&self) -> io::Result<File> {
        OpenOptions::new().append(true).open(&self.path)
    }

    /// Adds bytes. What was written before an error stays, in the file as in the digest.
    pub fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = file.write_all(bytes) {
            let _ = file.set_len(self.size);
            return Err(error);
        }
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Adds a part of the control plane's upload.
    pub fn write_part(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.open()?;
        self.write(&mut file, bytes)?;
        let inner = self.last_part.replace(bytes.len() as u64);
        self.smallest_inner_part = self.smallest_inner_part.into_iter().chain(inner).min();
        Ok(())
    }
}
