//! The keys of the rows: a letter for the kind of row, and then what identifies it. Digests are their 32 bytes, numbers 8 bytes
//! in big-endian order; text comes last, or a zero byte follows it. So rows are sorted by what identifies them, and the rows
//! of one repository, image or blob have a prefix in common.
//!
//! ```text
//! M NAME                     a value of the whole state: version, secret, next repository
//! G REGISTRY                 a registry
//! R REGISTRY 0 NAME          a repository, with the number by which the following rows name it
//! N REPOSITORY               the number of its images, and their size
//! I REPOSITORY DIGEST        a manifest: an image, an index or an artifact
//! C REPOSITORY DIGEST        the text of the manifest
//! T REPOSITORY TAG           the digest to which a tag points
//! L REPOSITORY DIGEST        a blob that was uploaded to or mounted into the repository
//! D REPOSITORY               a repository that was deleted and whose rows are still to be removed
//! F DIGEST                   the file of a blob that is to be moved to its place, or removed, after the transaction
//! ```
//!
//! These are indexes, whose rows have no value:
//!
//! ```text
//! a REPOSITORY DIGEST TAG    the tags of a manifest
//! u REPOSITORY DIGEST        manifests without a tag
//! p REPOSITORY TIME DIGEST   manifests, the youngest first
//! c REPOSITORY CHILD INDEX   the indexes that name a manifest
//! s REPOSITORY SUBJECT DIGEST  the artifacts that are attached to an image
//! l REPOSITORY BLOB DIGEST   the manifests that name a blob
//! b BLOB REPOSITORY          the repositories that have a blob
//! o TIME REPOSITORY BLOB     blobs that no manifest named when they were uploaded, the oldest first
//! ```

use anyhow::{Context, Result};
use ecr_types::{Digest, ImageTag, RepositoryName};

use crate::model::{RegistryKey, RepositoryId};

/// A key, or the prefix of keys.
pub type Key = Vec<u8>;

fn key(kind: u8, parts: &[&[u8]]) -> Key {
    let mut key = vec![kind];
    parts.iter().for_each(|it| key.extend_from_slice(it));
    key
}

pub fn meta(name: &str) -> Key {
    key(b'M', &[name.as_bytes()])
}

/// The prefix of all registries.
pub const REGISTRIES: &[u8] = b"G";

pub fn registry(registry: &RegistryKey) -> Key {
    key(b'G', &[registry.to_string().as_bytes()])
}

/// The prefix of the repositories of a registry.
pub fn repositories(registry: &RegistryKey) -> Key {
    key(b'R', &[registry.to_string().as_bytes(), &[0]])
}

pub fn repository(registry: &RegistryKey, name: &RepositoryName) -> Key {
    key(b'R', &[registry.to_string().as_bytes(), &[0], name.as_str().as_bytes()])
}

pub fn counts(repository: RepositoryId) -> Key {
    key(b'N', &[&repository.to_bytes()])
}

/// The prefix of the manifests of a repository.
pub fn images(repository: RepositoryId) -> Key {
    key(b'I', &[&repository.to_bytes()])
}

pub fn image(repository: RepositoryId, digest: &Digest) -> Key {
    key(b'I', &[&repository.to_bytes(), &digest.to_hash()])
}

pub fn manifest(repository: RepositoryId, digest: &Digest) -> Key {
    key(b'C', &[&repository.to_bytes(), &digest.to_hash()])
}

/// The prefix of the tags of a repository.
pub fn tags(repository: RepositoryId) -> Key {
    key(b'T', &[&repository.to_bytes()])
}

pub fn tag(repository: RepositoryId, tag: &ImageTag) -> Key {
    key(b'T', &[&repository.to_bytes(), tag.as_str().as_bytes()])
}

/// The prefix of the blobs of a repository.
pub fn layers(repository: RepositoryId) -> Key {
    key(b'L', &[&repository.to_bytes()])
}

pub fn layer(repository: RepositoryId, digest: &Digest) -> Key {
    key(b'L', &[&repository.to_bytes(), &digest.to_hash()])
}

/// The prefix of the repositories that were deleted.
pub const DELETED: &[u8] = b"D";

pub fn deleted(repository: RepositoryId) -> Key {
    key(b'D', &[&repository.to_bytes()])
}

/// The prefix of the files that a transaction is to move or remove.
pub const FILES: &[u8] = b"F";

pub fn file(digest: &Digest) -> Key {
    key(b'F', &[&digest.to_hash()])
}

/// The prefix of the tags of all manifests of a repository, by digest.
pub fn tagged(repository: RepositoryId) -> Key {
    key(b'a', &[&repository.to_bytes()])
}

/// The prefix of the tags of a manifest.
pub fn tags_of(repository: RepositoryId, digest: &Digest) -> Key {
    key(b'a', &[&repository.to_bytes(), &digest.to_hash()])
}

pub fn tag_of(repository: RepositoryId, digest: &Digest, tag: &ImageTag) -> Key {
    key(b'a', &[&repository.to_bytes(), &digest.to_hash(), tag.as_str().as_bytes()])
}

/// The prefix of the manifests of a repository that have no tag.
pub fn all_untagged(repository: RepositoryId) -> Key {
    key(b'u', &[&repository.to_bytes()])
}

pub fn untagged(repository: RepositoryId, digest: &Digest) -> Key {
    key(b'u', &[&repository.to_bytes(), &digest.to_hash()])
}

/// The prefix of the manifests of a repository, the youngest first.
pub fn youngest(repository: RepositoryId) -> Key {
    key(b'p', &[&repository.to_bytes()])
}

/// `pushed_at` is in seconds since 1970.
pub fn pushed(repository: RepositoryId, pushed_at: f64, digest: &Digest) -> Key {
    // Later times come first.
    let time = u64::MAX - (pushed_at.max(0.0) * 1e6).round() as u64;
    key(b'p', &[&repository.to_bytes(), &time.to_be_bytes(), &digest.to_hash()])
}

/// The prefix of the indexes that name a manifest.
pub fn parents(repository: RepositoryId, child: &Digest) -> Key {
    key(b'c', &[&repository.to_bytes(), &child.to_hash()])
}

pub fn parent(repository: RepositoryId, child: &Digest, index: &Digest) -> Key {
    key(b'c', &[&repository.to_bytes(), &child.to_hash(), &index.to_hash()])
}

/// The prefix of the artifacts that are attached to an image.
pub fn referrers(repository: RepositoryId, subject: &Digest) -> Key {
    key(b's', &[&repository.to_bytes(), &subject.to_hash()])
}

pub fn referrer(repository: RepositoryId, subject: &Digest, artifact: &Digest) -> Key {
    key(b's', &[&repository.to_bytes(), &subject.to_hash(), &artifact.to_hash()])
}

/// The prefix of the manifests that name a blob.
pub fn users(repository: RepositoryId, layer: &Digest) -> Key {
    key(b'l', &[&repository.to_bytes(), &layer.to_hash()])
}

pub fn user(repository: RepositoryId, layer: &Digest, image: &Digest) -> Key {
    key(b'l', &[&repository.to_bytes(), &layer.to_hash(), &image.to_hash()])
}

/// The prefix of the repositories that have a blob.
pub fn holders(layer: &Digest) -> Key {
    key(b'b', &[&layer.to_hash()])
}

pub fn holder(layer: &Digest, repository: RepositoryId) -> Key {
    key(b'b', &[&layer.to_hash(), &repository.to_bytes()])
}

/// The prefix of the blobs that were uploaded without a manifest that names them.
pub const LOOSE: &[u8] = b"o";

/// `uploaded_at` is in seconds since 1970.
pub fn loose(uploaded_at: u64, repository: RepositoryId, layer: &Digest) -> Key {
    key(b'o', &[&uploaded_at.to_be_bytes(), &repository.to_bytes(), &layer.to_hash()])
}

/// The prefix of the blobs that were uploaded before a time.
pub fn loose_before(time: u64) -> Key {
    key(b'o', &[&time.to_be_bytes()])
}

/// The prefixes of all rows of a repository but its own, its blobs and the manifests that name them.
pub fn parts(repository: RepositoryId) -> impl Iterator<Item = Key> {
    b"NICTaupcsl".iter().map(move |kind| key(*kind, &[&repository.to_bytes()]))
}

/// Reads the parts of a key from its end.
pub struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    pub fn of(key: &'a [u8]) -> Self {
        Self(key)
    }

    /// The digest at the end of the key.
    pub fn digest(&mut self) -> Result<Digest> {
        let (rest, hash) = self.0.split_last_chunk::<32>().context("a key has no digest")?;
        self.0 = rest;
        Ok(Digest::from_hash(hash))
    }

    /// The repository at the end of the key.
    pub fn repository(&mut self) -> Result<RepositoryId> {
        let (rest, number) = self.0.split_last_chunk::<8>().context("a key has no repository")?;
        self.0 = rest;
        Ok(RepositoryId::from_bytes(*number))
    }
}

/// The text of a key after a prefix.
pub fn text_after<'a>(key: &'a [u8], prefix: &[u8]) -> Result<&'a str> {
    let text = key.strip_prefix(prefix).context("a key has another prefix")?;
    std::str::from_utf8(text).context("a key is not text")
}

/// The digest of a key after a prefix.
pub fn digest_after(key: &[u8], prefix: &[u8]) -> Result<Digest> {
    let rest = key.strip_prefix(prefix).context("a key has another prefix")?;
    let hash = rest.first_chunk::<32>().context("a key has no digest")?;
    Ok(Digest::from_hash(hash))
}
