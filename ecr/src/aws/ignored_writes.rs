//! Writes that were without effect, remembered in the target folder so that they are not made on every run.
//!
//! The file is a convenience: where it is missing, as in a fresh checkout, the write is simply tried again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ecr_oci::files;

use crate::plan::IgnoredWrite;

/// How long a write without effect is not tried again.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The memory of one workspace.
#[derive(Debug)]
pub struct IgnoredWrites(PathBuf);

impl IgnoredWrites {
    /// The memory in a target folder.
    pub fn new(target: &Path) -> Self {
        Self(target.join("xtask-ecr/ignored-writes.json"))
    }

    /// What is known; nothing where that cannot be read.
    pub fn known(&self) -> Vec<IgnoredWrite> {
        // The setting that overruled a write may be gone tomorrow.
        let age = fs::metadata(&self.0).and_then(|it| it.modified()).ok().and_then(|it| it.elapsed().ok());
        if age.is_none_or(|it| it > LIFETIME) {
            return Vec::new();
        }
        let text = fs::read(&self.0).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Adds to what is known.
    pub fn add(&self, found: &[IgnoredWrite]) -> std::io::Result<()> {
        let mut known = self.known();
        let fresh: Vec<_> = found.iter().filter(|it| !known.contains(it)).cloned().collect();
        known.extend(fresh);
        files::write(&self.0, &serde_json::to_vec_pretty(&known)?)
    }
}
