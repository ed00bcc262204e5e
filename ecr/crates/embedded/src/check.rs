//! Verifying every digest of a state.

use std::path::Path;

use anyhow::Result;

use super::StartError;
use super::blobs::Blobs;
use super::lock;
use super::store::read_model;
use super::sweep::named;

/// What a check of all digests found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// The number of blobs that have their digest.
    pub whole: usize,
    /// A line for each blob that has not.
    pub damaged: Vec<String>,
}

/// Verifies every digest of the state in `folder`, and changes nothing.
///
/// # Errors
/// Another process has the state, or there is none, or it cannot be read.
pub fn check(folder: &Path) -> Result<Check, StartError> {
    // Keeps writers out.
    let _lock = lock::take(folder)?;
    let (model, blobs) = (read_model(folder)?, Blobs::of_state(folder));
    let mut check = Check::default();
    for (digest, place) in named(&model) {
        match blobs.hash(&digest) {
            Ok(found) if found == digest => check.whole += 1,
            Ok(found) => check.damaged.push(format!("{digest} of {place} has become {found}")),
            Err(error) => check.damaged.push(format!("{digest} of {place} cannot be read: {error}")),
        }
    }
    Ok(check)
}
