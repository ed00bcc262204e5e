//! What is read from the rows. Each function costs what its result needs, whatever else there is.

use std::ops::Bound;

use anyhow::{Context, Result};
use ecr_types::{Digest, ImageTag, RepositoryName};
use serde::de::DeserializeOwned;

use super::database::{Rows, after_prefix, as_slice};
use super::key::{self, Key, Parts};
use crate::model::{Counts, Image, Layer, Registry, RegistryKey, Repository, RepositoryId};

/// The position in a list after which a page begins.
#[derive(Debug, Clone, Copy)]
pub enum After<'a, T: ?Sized> {
    /// The page is the first one.
    Start,
    /// The page begins after this item, whether it is still there or not.
    Item(&'a T),
}

/// The manifests of a repository that a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    All,
    Tagged,
    Untagged,
}

/// Queries of rows, for snapshots and transactions.
pub trait Queries: Rows {
    /// A registry. One in which nothing was changed has the defaults.
    fn registry(&self, registry: &RegistryKey) -> Result<Registry> {
        Ok(self.json(&key::registry(registry))?.unwrap_or_default())
    }

    /// All registries in which something was changed.
    fn registries(&self) -> impl Iterator<Item = Result<RegistryKey>> {
        let key = |row: Result<(Key, _)>| Ok(key::text_after(&row?.0, key::REGISTRIES)?.parse()?);
        self.each(key::REGISTRIES).map(key)
    }

    fn repository(&self, registry: &RegistryKey, name: &RepositoryName) -> Result<Option<Repository>> {
        let record = self.get(&key::repository(registry, name))?;
        record.map(|it| Repository::parse(&it).context(UNREADABLE)).transpose()
    }

    /// Repositories by name.
    fn repositories(
        &self,
        registry: &RegistryKey,
        after: After<'_, str>,
        limit: usize,
    ) -> Result<Vec<(RepositoryName, Repository)>> {
        let prefix = key::repositories(registry);
        let row = |(key, value): (Key, Vec<u8>)| {
            let name = key::text_after(&key, &prefix)?.parse()?;
            Ok((name, Repository::parse(&value).context(UNREADABLE)?))
        };
        let from = match after {
            After::Start => Bound::Included(prefix.clone()),
            After::Item(name) => Bound::Excluded([&prefix, name.as_bytes()].concat()),
        };
        let rows = self.page(as_slice(&from), as_slice(&after_prefix(&prefix)), limit)?;
        rows.into_iter().map(row).collect()
    }

    fn counts(&self, repository: RepositoryId) -> Result<Counts> {
        Ok(self.json(&key::counts(repository))?.unwrap_or_default())
    }

    fn image(&self, repository: RepositoryId, digest: &Digest) -> Result<Option<Image>> {
        self.json(&key::image(repository, digest))
    }

    fn has_image(&self, repository: RepositoryId, digest: &Digest) -> Result<bool> {
        Ok(self.get(&key::image(repository, digest))?.is_some())
    }

    /// All manifests of a repository by digest.
    fn images(&self, repository: RepositoryId) -> impl Iterator<Item = Result<(Digest, Image)>> {
        self.each(&key::images(repository)).map(|row| {
            let (key, value) = row?;
            Ok((Parts::of(&key).digest()?, parsed(&value)?))
        })
    }

    /// The digests of manifests, in their order.
    fn listed(
        &self,
        repository: RepositoryId,
        listed: Listed,
        after: After<'_, Digest>,
        limit: usize,
    ) -> Result<Vec<Digest>> {
        let prefix = match listed {
            Listed::All => key::images(repository),
            Listed::Tagged => key::tagged(repository),
            Listed::Untagged => key::all_untagged(repository),
        };
        self.digests(&prefix, after, limit)
    }

    /// The different digests that follow `prefix` in the keys, in their order.
    fn digests(&self, prefix: &[u8], after: After<'_, Digest>, limit: usize) -> Result<Vec<Digest>> {
        let end = after_prefix(prefix);
        let behind = |digest: &Digest| match after_prefix(&[prefix, &digest.to_hash()].concat()) {
            Bound::Excluded(next) => Bound::Included(next),
            // There is nothing behind the highest key.
            other => other,
        };
        let mut from = match after {
            After::Start => Bound::Included(prefix.to_vec()),
            After::Item(digest) => behind(digest),
        };
        let mut digests = Vec::new();
        while digests.len() < limit && from != Bound::Unbounded && from != end {
            let rows = self.page(as_slice(&from), as_slice(&end), limit - digests.len())?;
            let Some((last, _)) = rows.last() else { break };
            from = behind(&key::digest_after(last, prefix)?);
            for (key, _) in &rows {
                let digest = key::digest_after(key, prefix)?;
                // A manifest has several rows where it has several tags.
                if digests.last() != Some(&digest) {
                    digests.push(digest);
                }
            }
        }
        Ok(digests)
    }

    /// The digests of the youngest manifests, the youngest first; `after` is a key from an earlier page. Each has its key.
    fn youngest(
        &self,
        repository: RepositoryId,
        after: After<'_, [u8]>,
        limit: usize,
    ) -> Result<Vec<(Key, Digest)>> {
        let prefix = key::youngest(repository);
        let from = match after {
            After::Start => Bound::Included(prefix.clone()),
            After::Item(rest) => Bound::Excluded([&prefix, rest].concat()),
        };
        let rows = self.page(as_slice(&from), as_slice(&after_prefix(&prefix)), limit)?;
        let row = |(key, _): (Key, _)| Ok((key[prefix.len()..].to_vec(), Parts::of(&key).digest()?));
        rows.into_iter().map(row).collect()
    }

    /// The text of a manifest.
    fn manifest(&self, repository: RepositoryId, digest: &Digest) -> Result<Option<Vec<u8>>> {
        self.get(&key::manifest(repository, digest))
    }

    /// The digest to which a tag points.
    fn tagged(&self, repository: RepositoryId, tag: &ImageTag) -> Result<Option<Digest>> {
        match self.get(&key::tag(repository, tag))? {
            Some(hash) => Parts::of(&hash).digest().map(Some),
            None => Ok(None),
        }
    }

    /// Tags by name, each with its digest.
    fn tags(
        &self,
        repository: RepositoryId,
        after: After<'_, str>,
        limit: usize,
    ) -> Result<Vec<(ImageTag, Digest)>> {
        let prefix = key::tags(repository);
        let from = match after {
            After::Start => Bound::Included(prefix.clone()),
            After::Item(tag) => Bound::Excluded([&prefix, tag.as_bytes()].concat()),
        };
        let rows = self.page(as_slice(&from), as_slice(&after_prefix(&prefix)), limit)?;
        let row = |(key, hash): (Key, Vec<u8>)| {
            Ok((key::text_after(&key, &prefix)?.parse()?, Parts::of(&hash).digest()?))
        };
        rows.into_iter().map(row).collect()
    }

    /// Tags by the digests to which they point. `after` is the digest and the tag of the last one of the page before.
    fn tags_by_digest(
        &self,
        repository: RepositoryId,
        after: Option<(&Digest, &str)>,
        limit: usize,
    ) -> Result<Vec<(Digest, ImageTag)>> {
        let prefix = key::tagged(repository);
        let from = match after {
            None => Bound::Included(prefix.clone()),
            Some((digest, tag)) => {
                Bound::Excluded([key::tags_of(repository, digest).as_slice(), tag.as_bytes()].concat())
            }
        };
        let rows = self.page(as_slice(&from), as_slice(&after_prefix(&prefix)), limit)?;
        let row = |(key, _): (Key, _)| {
            let digest = key::digest_after(&key, &prefix)?;
            let tag = key::text_after(&key, &key::tags_of(repository, &digest))?.parse()?;
            Ok((digest, tag))
        };
        rows.into_iter().map(row).collect()
    }

    /// The first tags of a manifest, at most `limit`.
    fn tags_of(&self, repository: RepositoryId, digest: &Digest, limit: usize) -> Result<Vec<ImageTag>> {
        let prefix = key::tags_of(repository, digest);
        let end = after_prefix(&prefix);
        let rows = self.page(Bound::Included(prefix.as_slice()), as_slice(&end), limit)?;
        rows.iter().map(|(key, _)| Ok(key::text_after(key, &prefix)?.parse()?)).collect()
    }

    /// A blob of a repository.
    fn layer(&self, repository: RepositoryId, digest: &Digest) -> Result<Option<Layer>> {
        self.json(&key::layer(repository, digest))
    }

    /// All blobs of a repository.
    fn layers(&self, repository: RepositoryId) -> impl Iterator<Item = Result<(Digest, Layer)>> {
        self.each(&key::layers(repository)).map(|row| {
            let (key, value) = row?;
            Ok((Parts::of(&key).digest()?, parsed(&value)?))
        })
    }

    /// Whether a manifest of the repository names the blob.
    fn is_used(&self, repository: RepositoryId, layer: &Digest) -> Result<bool> {
        Ok(self.first(&key::users(repository, layer))?.is_some())
    }

    /// A manifest of the repository that names the blob.
    fn user(&self, repository: RepositoryId, layer: &Digest) -> Result<Option<Digest>> {
        let row = self.first(&key::users(repository, layer))?;
        row.map(|(key, _)| Parts::of(&key).digest()).transpose()
    }

    /// Whether a repository has the blob.
    fn is_held(&self, layer: &Digest) -> Result<bool> {
        Ok(self.first(&key::holders(layer))?.is_some())
    }

    /// An index that names a manifest.
    fn parent(&self, repository: RepositoryId, child: &Digest) -> Result<Option<Digest>> {
        let row = self.first(&key::parents(repository, child))?;
        row.map(|(key, _)| Parts::of(&key).digest()).transpose()
    }

    /// The artifacts that are attached to an image, by digest. The image itself need not exist.
    fn referrers(
        &self,
        repository: RepositoryId,
        subject: &Digest,
        after: After<'_, Digest>,
        limit: usize,
    ) -> Result<Vec<Digest>> {
        self.digests(&key::referrers(repository, subject), after, limit)
    }

    /// A value in JSON.
    fn json<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>> {
        self.get(key)?.as_deref().map(parsed).transpose()
    }
}

impl<R: Rows + ?Sized> Queries for R {}

const UNREADABLE: &str = "a record of the embedded ECR's state cannot be read";

fn parsed<T: DeserializeOwned>(value: &[u8]) -> Result<T> {
    serde_json::from_slice(value).context(UNREADABLE)
}
