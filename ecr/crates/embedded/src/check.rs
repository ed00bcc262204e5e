//! Verification of a state: its records, its blobs, and what refers to what.

use std::path::Path;

use anyhow::Result;
use ecr_types::{Digest, Manifest};

use super::StartError;
use super::blobs::Blobs;
use super::lock;
use super::model::{Image, Model, Repository};
use super::store::read_model;
use super::sweep::referenced;

/// The result of [`check()`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// The number of blobs whose content has its digest.
    pub whole: usize,
    /// The number of blobs that are missing or whose content has another digest.
    pub damaged_blobs: usize,
    /// A message for each blob, record and reference that is damaged, with its place.
    pub damaged: Vec<String>,
}

/// Verifies the state in `folder`: the checksum of each record, the digests and sizes of all layers, configs and manifests,
/// and that what tags, manifests and indexes refer to is there. Nothing is changed.
///
/// # Errors
/// Another process uses the state ([`StartError::Running`], [`StartError::Busy`]), or there is no state or its snapshot cannot
/// be read ([`StartError::State`]).
pub fn check(folder: &Path) -> Result<Check, StartError> {
    // Excludes other processes.
    let _lock = lock::take(folder)?;
    let ((model, lines), blobs) = (read_model(folder)?, Blobs::of_state(folder));
    let mut check = Check::default();
    let journal = folder.join("journal.jsonl");
    let line = |(line, error)| format!("line {line} of `{}` is damaged: {error:#}", journal.display());
    check.damaged.extend(lines.into_iter().map(line));
    check.blobs(&model, &blobs);
    for (key, registry) in model.registries() {
        for (name, repository) in &registry.repositories {
            let place = format!("{key}/{name}");
            check
                .damaged
                .extend(references(repository, &blobs).into_iter().map(|it| format!("{place}: {it}")));
        }
    }
    Ok(check)
}

impl Check {
    fn blobs(&mut self, model: &Model, blobs: &Blobs) {
        for (digest, place) in referenced(model) {
            let damage = match blobs.hash(&digest) {
                Ok(found) if found == digest => {
                    self.whole += 1;
                    continue;
                }
                Ok(found) => format!("{digest} of {place} has the digest {found}"),
                Err(error) => format!("{digest} of {place} cannot be read: {error}"),
            };
            self.damaged_blobs += 1;
            self.damaged.push(damage);
        }
    }
}

/// A message for each reference in a repository that leads to nothing, and for each size that is not that of the blob.
fn references(repository: &Repository, blobs: &Blobs) -> Vec<String> {
    let mut damaged = Vec::new();
    for (tag, digest) in &repository.image_tags {
        if !repository.images.contains_key(digest) {
            damaged.push(format!("tag {tag} points to {digest}, which is not there"));
        }
    }
    for (digest, image) in &repository.images {
        let missing = missing(repository, digest, image, blobs);
        damaged.extend(missing.iter().map(|it| format!("{digest} refers to {it}, which is not there")));
    }
    for (digest, size) in &repository.layers {
        // A file that is missing was reported already.
        if let Some(found) = blobs.size(digest).filter(|found| found != size) {
            damaged.push(format!("{digest} has {found} bytes, and the record says {size}"));
        }
    }
    damaged
}

/// The layers, configs and manifests that a manifest names and that the repository does not have. A subject may be missing
/// (OCI distribution specification, "Pushing Manifests with Subject"), and so may layers that are fetched from elsewhere.
fn missing(repository: &Repository, digest: &Digest, image: &Image, blobs: &Blobs) -> Vec<Digest> {
    let text = blobs.read(digest).unwrap_or_default();
    let Ok(manifest) = Manifest::parse(&text, Some(&image.media_type)) else { return Vec::new() };
    let layers = manifest.blobs().filter(|it| !it.is_nondistributable());
    let layers = layers.filter(|it| !repository.layers.contains_key(&it.digest));
    let children = manifest.children().iter().filter(|it| !repository.images.contains_key(&it.digest));
    layers.chain(children).map(|it| it.digest.clone()).collect()
}
