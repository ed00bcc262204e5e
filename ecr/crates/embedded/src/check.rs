//! Verification of all blobs of a state.

use std::path::Path;

use anyhow::Result;

use super::StartError;
use super::blobs::Blobs;
use super::lock;
use super::store::read_model;
use super::sweep::referenced;

/// The result of [`check()`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// The number of blobs whose content has its digest.
    pub whole: usize,
    /// A message for each blob that is missing or whose content has another digest.
    pub damaged: Vec<String>,
}

/// Verifies the digests of all layers, configs and manifests of the state in `folder`. Blobs are not changed.
///
/// # Errors
/// Another process uses the state ([`StartError::Running`], [`StartError::Busy`]), or there is no state or it cannot be read
/// ([`StartError::State`]).
pub fn check(folder: &Path) -> Result<Check, StartError> {
    // Excludes other processes.
    let _lock = lock::take(folder)?;
    let (model, blobs) = (read_model(folder)?, Blobs::of_state(folder));
    let mut check = Check::default();
    for (digest, place) in referenced(&model) {
        match blobs.hash(&digest) {
            Ok(found) if found == digest => check.whole += 1,
            Ok(found) => check.damaged.push(format!("{digest} of {place} has the digest {found}")),
            Err(error) => check.damaged.push(format!("{digest} of {place} cannot be read: {error}")),
        }
    }
    Ok(check)
}
