//! What there is to know of an executable or a library. A file that is as it was is not read again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ecr_oci::files;
use ecr_oci::image::elf::Elf;
use ecr_types::Digest;
use serde::{Deserialize, Serialize};

use super::stamp::Stamp;

/// An executable or a library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executable {
    /// The file.
    pub path: PathBuf,
    /// What its headers say.
    pub elf: Elf,
    /// The digest of the file.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// What was read before, in `target/xtask-ecr/executables/`.
#[derive(Debug)]
pub(super) struct Known {
    folder: PathBuf,
}

/// To be changed with what is read of an executable: nothing that was remembered before counts then.
const READER: &[u8] = b"1 ";

#[derive(Serialize, Deserialize)]
struct Memory {
    stamp: Stamp,
    executable: Executable,
}

impl Known {
    /// What is known in a target folder.
    pub(super) fn below(target: &Path) -> Self {
        Self { folder: target.join("xtask-ecr/executables") }
    }

    /// Reads a file, unless that was done since it was last changed.
    ///
    /// # Errors
    /// It cannot be read, or is no ELF file.
    pub(super) fn read(&self, path: &Path) -> Result<Executable> {
        // One that was written a moment ago may change again and look the same.
        let stamp = Stamp::of(path).filter(Stamp::is_settled);
        if let Some(executable) = stamp.as_ref().and_then(|it| self.recall(path, it)) {
            return Ok(executable);
        }
        let context = || format!("failed to read `{}`", path.display());
        let file = File::open(path).with_context(context)?;
        let elf = Elf::read(&file).with_context(context)?;
        let (digest, size) = files::digest_of(file).with_context(context)?;
        let executable = Executable { path: path.to_owned(), elf, digest, size };
        if let Some(stamp) = stamp.filter(|it| Stamp::of(path).as_ref() == Some(it)) {
            self.remember(&Memory { stamp, executable: executable.clone() });
        }
        Ok(executable)
    }

    fn recall(&self, path: &Path, stamp: &Stamp) -> Option<Executable> {
        let memory: Memory = serde_json::from_slice(&fs::read(self.file(path)).ok()?).ok()?;
        (memory.stamp == *stamp && memory.executable.path == path).then_some(memory.executable)
    }

    /// What cannot be remembered is read again the next time.
    fn remember(&self, memory: &Memory) {
        if let Ok(json) = serde_json::to_vec(memory) {
            let _ = files::write(&self.file(&memory.executable.path), &json);
        }
    }

    fn file(&self, path: &Path) -> PathBuf {
        let name = Digest::of(&[READER, path.as_os_str().as_encoded_bytes()].concat());
        self.folder.join(format!("{}.json", name.hex()))
    }
}
