//! Verification of a state: its records, its blobs, and what refers to what.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use ecr_types::{Digest, Manifest, RepositoryName};

use super::StartError;
use super::model::{Image, Layer, RegistryKey, Repository};
use super::schema1::digest_of;
use super::store::{After, Queries, Snapshot, Store, lock, open_existing};

/// The result of [`check()`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// The number of blobs and manifests whose content has its digest.
    pub whole: usize,
    /// The number of blobs and manifests that are missing or whose content has another digest.
    pub damaged_blobs: usize,
    /// A message for each blob, record and reference that is damaged, with its place.
    pub damaged: Vec<String>,
}

/// Verifies the state in `folder`: the checksum of each record, the digests and sizes of all layers, configs and manifests,
/// and that what tags, manifests and indexes refer to is there. No image is changed.
///
/// # Errors
/// Another process uses the state ([`StartError::Running`], [`StartError::Busy`]), or there is no state or its records cannot
/// be read ([`StartError::State`]).
pub fn check(folder: &Path) -> Result<Check, StartError> {
    // Excludes other processes.
    let lock = lock::take(folder)?;
    let store = open_existing(folder, lock)?;
    let mut check = Check::default();
    {
        let rows = store.read()?;
        let mut checker = Checker { store: &store, rows: &rows, seen: BTreeSet::new(), check: &mut check };
        for key in rows.registries() {
            let checked = key.and_then(|key| checker.registry(&key));
            checked.unwrap_or_else(|error| checker.check.damaged.push(format!("{error:#}")));
        }
    }
    let records = format!("`{}` is damaged", folder.join("state.redb").display());
    match store.verify() {
        Ok(true) => {}
        Ok(false) => check.damaged.push(format!("{records}: an older state of it was restored")),
        Err(error) => check.damaged.push(format!("{records}: {error:#}")),
    }
    Ok(check)
}

struct Checker<'a> {
    store: &'a Store,
    rows: &'a Snapshot,
    /// The blobs that were verified already, in another repository.
    seen: BTreeSet<Digest>,
    check: &'a mut Check,
}

impl Checker<'_> {
    fn registry(&mut self, key: &RegistryKey) -> Result<()> {
        let mut last: Option<RepositoryName> = None;
        loop {
            let after = last.as_ref().map_or(After::Start, |it| After::Item(it.as_str()));
            let page = self.rows.repositories(key, after, 100)?;
            let Some((name, _)) = page.last() else { return Ok(()) };
            last = Some(name.clone());
            for (name, repository) in &page {
                if let Err(error) = self.repository(&format!("{key}/{name}"), repository) {
                    // A record that cannot be read: those behind it are not known.
                    self.check.damaged.push(format!("{key}/{name}: {error:#}"));
                }
            }
        }
    }

    fn repository(&mut self, place: &str, repository: &Repository) -> Result<()> {
        for row in self.rows.layers(repository.id) {
            let (digest, layer) = row?;
            self.layer(place, &digest, &layer);
        }
        for row in self.rows.images(repository.id) {
            let (digest, image) = row?;
            self.image(place, repository, &digest, &image)?;
        }
        for (tag, digest) in self.rows.tags(repository.id, After::Start, usize::MAX)? {
            if !self.rows.has_image(repository.id, &digest)? {
                self.damaged(place, format!("tag {tag} points to {digest}, which is not there"));
            }
        }
        Ok(())
    }

    fn layer(&mut self, place: &str, digest: &Digest, layer: &Layer) {
        if !self.seen.insert(digest.clone()) {
            return;
        }
        let blobs = self.store.blobs();
        let damage = match blobs.hash(digest) {
            Ok(found) if found != *digest => format!("{digest} of {place} has the digest {found}"),
            Err(error) => format!("{digest} of {place} cannot be read: {error}"),
            Ok(_) => {
                self.check.whole += 1;
                if let Some(found) = blobs.size(digest).filter(|it| *it != layer.size) {
                    let size = layer.size;
                    self.damaged(place, format!("{digest} has {found} bytes, and the record says {size}"));
                }
                return;
            }
        };
        self.check.damaged_blobs += 1;
        self.check.damaged.push(damage);
    }

    /// Verifies a manifest, and that what it names is there.
    fn image(&mut self, place: &str, repository: &Repository, digest: &Digest, image: &Image) -> Result<()> {
        let text = self.rows.manifest(repository.id, digest)?.unwrap_or_default();
        let found = digest_of(&text);
        if found != *digest {
            self.check.damaged_blobs += 1;
            self.check.damaged.push(format!("{digest} of {place} has the digest {found}"));
            return Ok(());
        }
        self.check.whole += 1;
        for missing in self.missing(repository, &text, image)? {
            self.damaged(place, format!("{digest} refers to {missing}, which is not there"));
        }
        Ok(())
    }

    /// The layers, configs and manifests that a manifest names and that the repository does not have. A subject may be missing
    /// (OCI distribution specification, "Pushing Manifests with Subject"), and so may layers that are fetched from elsewhere.
    fn missing(&self, repository: &Repository, text: &[u8], image: &Image) -> Result<Vec<Digest>> {
        let Ok(manifest) = Manifest::parse(text, Some(&image.media_type)) else { return Ok(Vec::new()) };
        let mut missing = Vec::new();
        for blob in manifest.blobs().filter(|it| !it.is_nondistributable()) {
            if self.rows.layer(repository.id, &blob.digest)?.is_none() {
                missing.push(blob.digest.clone());
            }
        }
        for child in manifest.children() {
            if !self.rows.has_image(repository.id, &child.digest)? {
                missing.push(child.digest.clone());
            }
        }
        Ok(missing)
    }

    fn damaged(&mut self, place: &str, message: String) {
        self.check.damaged.push(format!("{place}: {message}"));
    }
}
