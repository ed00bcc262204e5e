//! The files of blobs: layers and configs, each named by its digest.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ecr_types::Digest;
use sha2::{Digest as _, Sha256};

/// The folder with the blobs of a state.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: PathBuf,
}

/// The prefix of the names of unfinished files.
pub const UNFINISHED: &str = ".tmp-";

impl Blobs {
    pub fn of_state(state: &Path) -> Self {
        Self { folder: state.join("blobs/sha256") }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of a blob, whether or not it exists.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    /// Whether the file of a blob exists.
    pub fn has(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    pub fn read(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        fs::read(self.path(digest))
    }

    /// The number of bytes of a blob; `None` if there is none.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.path(digest)).ok().map(|it| it.len())
    }

    /// Removes a blob. Errors are ignored: a remaining file only takes up space.
    pub fn remove(&self, digest: &Digest) {
        let _ = fs::remove_file(self.path(digest));
    }

    /// The digest of the content of a blob's file.
    pub fn hash(&self, digest: &Digest) -> io::Result<Digest> {
        let mut hasher = Sha256::new();
        let mut file = File::open(self.path(digest))?;
        let mut buffer = vec![0; 1024 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Digest::from_hash(&hasher.finalize())),
                n => hasher.update(&buffer[..n]),
            }
        }
    }
}

/// Writes a file atomically. Its folder must exist.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}
