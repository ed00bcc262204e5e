//! A file in the target folder with the writes that AWS accepted without effect, so that they are not repeated on every
//! run.
//!
//! Without the file, as in a new checkout, the write is tried again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ecr_oci::files;

use crate::plan::IgnoredWrite;

/// The time in which a write without effect is not repeated.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The file of one workspace.
#[derive(Debug)]
pub struct IgnoredWrites(PathBuf);

impl IgnoredWrites {
    /// The file below the target folder `target`.
    pub fn new(target: &Path) -> Self {
        Self(target.join("xtask-ecr/ignored-writes.json"))
    }

    /// The recorded writes. Empty if the file is missing, cannot be read, or is older than a day.
    pub fn known(&self) -> Vec<IgnoredWrite> {
        // The setting that overrides the field may have changed since then.
        let age = fs::metadata(&self.0).and_then(|it| it.modified()).ok().and_then(|it| it.elapsed().ok());
        if age.is_none_or(|it| it > LIFETIME) {
            return Vec::new();
        }
        let text = fs::read(&self.0).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Adds writes to the file.
    pub fn add(&self, found: &[IgnoredWrite]) -> std::io::Result<()> {
        let mut known = self.known();
        let fresh: Vec<_> = found.iter().filter(|it| !known.contains(it)).cloned().collect();
        known.extend(fresh);
        files::write(&self.0, &serde_json::to_vec_pretty(&known)?)
    }
}
