//! What changes the rows. Each function keeps the indexes in step with the rows that they are about.

use anyhow::{Context, Result};
use ecr_types::{Digest, ImageTag, RepositoryName};
use serde::Serialize;

use super::database::{Rows, Transaction};
use super::key::{self, Parts};
use super::queries::Queries;
use crate::model::{
    Counts, Image, Layer, Registry, RegistryKey, Repository, RepositoryId, RepositorySettings,
};

/// The number of rows of a deleted repository that are removed in one transaction.
const PURGED: usize = 1000;

impl Transaction<'_> {
    pub fn put_registry(&mut self, registry: &RegistryKey, value: &Registry) -> Result<()> {
        self.put_json(&key::registry(registry), value)
    }

    /// Creates a repository.
    pub fn create_repository(
        &mut self,
        registry: &RegistryKey,
        name: &RepositoryName,
        settings: RepositorySettings,
    ) -> Result<Repository> {
        let repository = Repository { id: self.next_id()?, settings };
        self.put_repository(registry, name, &repository)?;
        if self.get(&key::registry(registry))?.is_none() {
            self.put_registry(registry, &Registry::default())?;
        }
        Ok(repository)
    }

    /// Replaces the settings of a repository.
    pub fn put_repository(
        &mut self,
        registry: &RegistryKey,
        name: &RepositoryName,
        repository: &Repository,
    ) -> Result<()> {
        self.put_json(&key::repository(registry, name), repository)
    }

    /// Removes a repository. Its images and blobs are not found any more; [`Transaction::purge`] removes their rows.
    pub fn delete_repository(
        &mut self,
        registry: &RegistryKey,
        name: &RepositoryName,
        repository: &Repository,
    ) -> Result<()> {
        self.remove(&key::repository(registry, name))?;
        self.put(&key::deleted(repository.id), &[])
    }

    /// Removes some rows of repositories that were deleted. It is `false` if there are none left.
    pub fn purge(&mut self) -> Result<bool> {
        let Some((row, _)) = self.first(key::DELETED)? else { return Ok(false) };
        let id = Parts::of(&row).repository()?;
        let mut left = PURGED;
        let layers: Vec<_> = self.layers(id).take(left).collect::<Result<_>>()?;
        for (digest, _) in &layers {
            self.delete_layer(id, digest)?;
        }
        left -= layers.len();
        for prefix in key::parts(id) {
            let rows: Vec<_> = self.each(&prefix).take(left).collect::<Result<_>>()?;
            for (key, _) in &rows {
                self.remove(key)?;
            }
            left -= rows.len();
        }
        if left > 0 {
            self.remove(&key::deleted(id))?;
        }
        Ok(true)
    }

    /// Adds a manifest, which is new to the repository, with its text. It has no tag yet.
    pub fn add_image(&mut self, id: RepositoryId, digest: &Digest, image: &Image, text: &[u8]) -> Result<()> {
        // In whole microseconds, which JSON gives back as they are: the time is part of a key.
        let image = &Image { pushed_at: (image.pushed_at * 1e6).round() / 1e6, ..image.clone() };
        self.put(&key::manifest(id, digest), text)?;
        self.put(&key::untagged(id, digest), &[])?;
        self.put(&key::pushed(id, image.pushed_at, digest), &[])?;
        for child in &image.children {
            self.put(&key::parent(id, child, digest), &[])?;
        }
        for layer in &image.layers {
            self.put(&key::user(id, layer, digest), &[])?;
        }
        if let Some(subject) = &image.subject {
            self.put(&key::referrer(id, subject, digest), &[])?;
        }
        self.count(id, |it| {
            it.images += 1;
            it.bytes += image.size;
            it.archived += u64::from(image.archived_at.is_some());
        })?;
        self.put_json(&key::image(id, digest), image)
    }

    /// Replaces what is recorded of a manifest. Its time of push, its size and what it names stay.
    pub fn put_image(&mut self, id: RepositoryId, digest: &Digest, image: &Image) -> Result<()> {
        let was_archived = self.image(id, digest)?.is_some_and(|it| it.archived_at.is_some());
        if image.archived_at.is_some() && !was_archived {
            self.count(id, |it| it.archived += 1)?;
        }
        self.put_json(&key::image(id, digest), image)
    }

    /// Points a tag to a manifest, which exists.
    pub fn put_tag(&mut self, id: RepositoryId, tag: &ImageTag, digest: &Digest) -> Result<()> {
        self.delete_tag(id, tag)?;
        self.put(&key::tag(id, tag), &digest.to_hash())?;
        self.put(&key::tag_of(id, digest, tag), &[])?;
        self.remove(&key::untagged(id, digest))
    }

    /// Removes a tag, if there is one. Its manifest stays.
    pub fn delete_tag(&mut self, id: RepositoryId, tag: &ImageTag) -> Result<()> {
        let Some(digest) = self.tagged(id, tag)? else { return Ok(()) };
        self.remove(&key::tag(id, tag))?;
        self.remove(&key::tag_of(id, &digest, tag))?;
        if self.first(&key::tags_of(id, &digest))?.is_none() {
            self.put(&key::untagged(id, &digest), &[])?;
        }
        Ok(())
    }

    /// Removes a manifest, its tags, and the blobs that no other manifest of the repository names.
    pub fn delete_image(&mut self, id: RepositoryId, digest: &Digest, image: &Image) -> Result<()> {
        for tag in self.tags_of(id, digest, usize::MAX)? {
            self.delete_tag(id, &tag)?;
        }
        self.remove(&key::image(id, digest))?;
        self.remove(&key::manifest(id, digest))?;
        self.remove(&key::untagged(id, digest))?;
        self.remove(&key::pushed(id, image.pushed_at, digest))?;
        for child in &image.children {
            self.remove(&key::parent(id, child, digest))?;
        }
        if let Some(subject) = &image.subject {
            self.remove(&key::referrer(id, subject, digest))?;
        }
        for layer in &image.layers {
            self.remove(&key::user(id, layer, digest))?;
            if !self.is_used(id, layer)? {
                self.delete_layer(id, layer)?;
            }
        }
        self.count(id, |it| {
            it.images = it.images.saturating_sub(1);
            it.bytes = it.bytes.saturating_sub(image.size);
            it.archived = it.archived.saturating_sub(u64::from(image.archived_at.is_some()));
        })
    }

    /// Adds a blob to a repository.
    pub fn put_layer(&mut self, id: RepositoryId, digest: &Digest, layer: &Layer) -> Result<()> {
        if !self.is_used(id, digest)? {
            self.put(&key::loose(layer.uploaded_at, id, digest), &[])?;
        }
        self.put(&key::holder(digest, id), &[])?;
        self.put_json(&key::layer(id, digest), layer)
    }

    /// Makes the file of an upload the file of a blob.
    pub fn adopt(&mut self, digest: &Digest, upload: &str) -> Result<()> {
        self.put(&key::file(digest), upload.as_bytes())
    }

    /// Removes a blob from a repository, and its file if no other repository has it.
    pub fn delete_layer(&mut self, id: RepositoryId, digest: &Digest) -> Result<()> {
        self.remove(&key::layer(id, digest))?;
        self.remove(&key::holder(digest, id))?;
        if !self.is_held(digest)? {
            // Without the name of an upload: the file is removed.
            self.put(&key::file(digest), &[])?;
        }
        Ok(())
    }

    /// Removes some of the blobs that were uploaded before a time and that no manifest names. It is `false` if there are none
    /// left.
    pub fn sweep(&mut self, before: u64) -> Result<bool> {
        let end = key::loose_before(before);
        let old: Vec<_> =
            self.page(std::ops::Bound::Included(key::LOOSE), std::ops::Bound::Excluded(&end), PURGED)?;
        for (key, _) in &old {
            let mut parts = Parts::of(key);
            let (digest, id) = (parts.digest()?, parts.repository()?);
            self.remove(key)?;
            // It may have been uploaded again since.
            let is_old = self.layer(id, &digest)?.is_some_and(|it| it.uploaded_at < before);
            if is_old && !self.is_used(id, &digest)? {
                self.delete_layer(id, &digest)?;
            }
        }
        Ok(!old.is_empty())
    }

    /// Removes all rows but those about the whole state.
    pub fn clear(&mut self) -> Result<()> {
        for kind in (b'A'..=b'z').filter(|it| *it != b'M') {
            loop {
                let rows: Vec<_> = self.each(&[kind]).take(PURGED).collect::<Result<_>>()?;
                if rows.is_empty() {
                    break;
                }
                for (key, _) in &rows {
                    self.remove(key)?;
                }
            }
        }
        Ok(())
    }

    /// A value of the whole state.
    pub fn put_meta(&mut self, name: &str, value: &str) -> Result<()> {
        self.put(&key::meta(name), value.as_bytes())
    }

    pub fn meta(&self, name: &str) -> Result<Option<String>> {
        let value = self.get(&key::meta(name))?;
        Ok(value.map(|it| String::from_utf8_lossy(&it).into_owned()))
    }

    pub fn remove_meta(&mut self, name: &str) -> Result<()> {
        self.remove(&key::meta(name))
    }

    /// A number that no repository of this state has or had.
    fn next_id(&mut self) -> Result<RepositoryId> {
        let key = key::meta("next-repository");
        let next = self.json::<u64>(&key)?.unwrap_or_default();
        self.put_json(&key, &(next + 1))?;
        Ok(RepositoryId::from_bytes(next.to_be_bytes()))
    }

    fn count(&mut self, id: RepositoryId, change: impl FnOnce(&mut Counts)) -> Result<()> {
        let mut counts = self.counts(id)?;
        change(&mut counts);
        self.put_json(&key::counts(id), &counts)
    }

    fn put_json(&mut self, key: &[u8], value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_vec(value).context("failed to encode a record")?;
        self.put(key, &text)
    }
}
