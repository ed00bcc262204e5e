//! Uploads of blobs on both planes. Content is hashed while it is written to a file, so that the memory does not grow with it.
//! The file is closed between requests, so that there can be thousands of uploads.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use ecr_types::{Digest, RepositoryName};
use sha2::{Digest as _, Sha256};

use super::error::no_repository;
use super::model::{Layer, RegistryKey};
use super::store::{Queries, Store};

/// The minimum size of a part in bytes, except the last one (service quotas, "Minimum layer part size").
const MIN_PART: u64 = 5 * 1024 * 1024;

/// An unfinished upload.
#[derive(Debug)]
pub struct Upload {
    registry: RegistryKey,
    name: RepositoryName,
    path: PathBuf,
    hash: Sha256,
    size: u64,
    /// The size in bytes of the first part.
    first_part: Option<u64>,
    /// The size in bytes of the last part so far.
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
            first_part: None,
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

    /// The size in bytes of the first part; 0 if there is none.
    pub fn first_part(&self) -> u64 {
        self.first_part.unwrap_or_default()
    }

    /// The digest of the content so far.
    pub fn digest(&self) -> Digest {
        Digest::from_hash(&self.hash.clone().finalize())
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

    /// Notes that what was written since the upload had `start` bytes is a part. Nothing is no part.
    pub fn end_part(&mut self, start: u64) {
        let size = self.size - start;
        if size == 0 {
            return;
        }
        self.first_part.get_or_insert(size);
        let inner = self.last_part.replace(size);
        self.smallest_inner_part = self.smallest_inner_part.into_iter().chain(inner).min();
    }

    /// Appends a part.
    pub fn write_part(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut file, start) = (self.open()?, self.size);
        self.write(&mut file, bytes)?;
        self.end_part(start);
        Ok(())
    }
}

/// ECR's message for a part that does not begin where the last one ended (apple/containerization#790).
pub fn out_of_order(first: u64, size: u64) -> String {
    format!("First byte of the layer part is {first} instead of {size}")
}

/// The reason for which an upload was not completed.
#[derive(Debug)]
pub enum CompleteError {
    /// The repository was deleted since the upload began.
    RepositoryNotFound,
    /// There is no content.
    Empty,
    /// A part except the last one is too small.
    PartTooSmall,
    /// The content has another digest.
    OtherDigest,
    /// The state cannot be read or written.
    Internal(anyhow::Error),
}

impl From<anyhow::Error> for CompleteError {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

impl CompleteError {
    /// ECR's message, which is the same on both planes.
    ///
    /// Sources: devcontainers/cli#814 (empty), dotnet/sdk-container-builds#424 (too small, another digest).
    pub fn sentence(&self, name: &str, id: &str, account: &str) -> String {
        match self {
            Self::RepositoryNotFound => no_repository(name, account),
            Self::Empty => format!(
                "The upload with id '{id}' in the repository with name '{name}' in registry with id '{account}' \
                 cannot be completed because it does not have any parts"
            ),
            Self::PartTooSmall => "All layer parts except the last part should be at least 5MB".to_owned(),
            Self::OtherDigest => {
                "None of the provided layer digests match the calculated layer digest".to_owned()
            }
            Self::Internal(error) => format!("{error:#}"),
        }
    }
}

/// The rules for parts that an upload is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartRules {
    /// Those of ECR: there is a part, and all but the last have 5 MiB.
    Ecr,
    /// Those of the OCI distribution specification: none.
    Oci,
}

/// An upload that is complete.
#[derive(Debug, PartialEq, Eq)]
pub struct Completed {
    pub digest: Digest,
    /// Whether the repository had this layer already.
    pub existed: bool,
}

/// Adds the content of an upload to its repository as a layer, or discards it.
pub fn complete(
    store: &Store,
    (id, upload): (&str, &Upload),
    rules: PartRules,
    is_wanted: impl Fn(&Digest) -> bool,
) -> Result<Completed, CompleteError> {
    let completed = check(upload, rules, is_wanted).and_then(|digest| record(store, id, upload, digest));
    match &completed {
        Ok(Completed { existed: false, .. }) => {}
        // The file of a layer that is recorded is moved to its place by the next start.
        Err(CompleteError::Internal(_)) if is_recorded(store, upload).unwrap_or(true) => {}
        _ => store.discard(id),
    }
    completed
}

fn record(store: &Store, id: &str, upload: &Upload, digest: Digest) -> Result<Completed, CompleteError> {
    store.write(|transaction| {
        let repository = transaction.repository(&upload.registry, &upload.name)?;
        let repository = repository.ok_or(CompleteError::RepositoryNotFound)?;
        // A file that was removed from outside is restored by the next upload.
        let existed = transaction.layer(repository.id, &digest)?.is_some() && store.blobs().has(&digest);
        // Also one that exists is as young as this upload: the push that goes on needs it.
        transaction.put_layer(repository.id, &digest, &Layer::new(upload.size))?;
        if !existed {
            transaction.adopt(&digest, id)?;
        }
        Ok(Completed { digest, existed })
    })
}

fn is_recorded(store: &Store, upload: &Upload) -> anyhow::Result<bool> {
    let rows = store.read()?;
    match rows.repository(&upload.registry, &upload.name)? {
        Some(repository) => Ok(rows.layer(repository.id, &upload.digest())?.is_some()),
        None => Ok(false),
    }
}

fn check(
    upload: &Upload,
    rules: PartRules,
    is_wanted: impl Fn(&Digest) -> bool,
) -> Result<Digest, CompleteError> {
    if rules == PartRules::Ecr && upload.size == 0 {
        return Err(CompleteError::Empty);
    }
    if rules == PartRules::Ecr && upload.smallest_inner_part.is_some_and(|it| it < MIN_PART) {
        return Err(CompleteError::PartTooSmall);
    }
    let digest = upload.digest();
    if is_wanted(&digest) { Ok(digest) } else { Err(CompleteError::OtherDigest) }
}
