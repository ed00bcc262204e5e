//! The rules for images, one set for both planes: what a manifest may name, and which tags may move.

use serde_json::Value;

use super::model::{Change, Image, RegistryKey, Repository};
use super::store::Store;
use crate::image::is_index;
use crate::name::{Digest, ImageTag, RepositoryName};

/// Media types of a single image's manifest.
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// The most bytes of a manifest (service model, `ImageManifest`).
pub const MAX_MANIFEST: usize = 4_194_304;

/// A manifest on its way in.
#[derive(Debug)]
pub struct NewImage {
    /// The tag to point to it.
    pub tag: Option<ImageTag>,
    /// The digest that the client expects.
    pub digest: Option<Digest>,
    /// The media type that the client names; else the manifest's own counts.
    pub media_type: Option<String>,
    /// The manifest.
    pub bytes: Vec<u8>,
}

/// What became of a manifest that was taken.
#[derive(Debug)]
pub struct Stored {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Whether manifest and tag were there already.
    pub existed: bool,
}

/// Why a manifest was refused.
#[derive(Debug)]
pub enum PutError {
    /// No such repository.
    RepositoryNotFound,
    /// The text is no manifest; why.
    Invalid(String),
    /// The digest is not that of the text.
    DigestMismatch {
        /// What the client named.
        expected: Digest,
        /// What the bytes have.
        found: Digest,
    },
    /// Blobs that the manifest names are not in the repository.
    LayersMissing(Vec<Digest>),
    /// Manifests that the index names are not in the repository.
    ChildrenMissing(Vec<Digest>),
    /// The tag is taken and must stay where it is.
    TagImmutable {
        /// The tag.
        tag: ImageTag,
        /// The image that has it.
        holder: Digest,
        /// The image that wanted it.
        digest: Digest,
    },
    /// The disk failed.
    Internal(anyhow::Error),
}

/// Stores a manifest and its tag, as a whole or not at all. `now` is in seconds since 1970.
pub fn put(
    store: &mut Store,
    key: &RegistryKey,
    name: &RepositoryName,
    new: NewImage,
    now: f64,
) -> Result<Stored, PutError> {
    let repository = store.model().repository(key, name).ok_or(PutError::RepositoryNotFound)?;
    let digest = Digest::of(&new.bytes);
    if let Some(expected) = new.digest.filter(|it| *it != digest) {
        return Err(PutError::DigestMismatch { expected, found: digest });
    }
    let image = read_manifest(repository, &new.bytes, new.media_type, now)?;
    let media_type = image.media_type.clone();
    let mut changes = Vec::new();
    if !repository.images.contains_key(&digest) {
        changes.push(Change::PutImage(key.clone(), name.clone(), digest.clone(), image));
    }
    if let Some(tag) = new.tag {
        changes.extend(tag_change(repository, key, name, tag, &digest)?);
    }
    let existed = changes.is_empty();
    if !existed {
        store.write_blob(&digest, &new.bytes).map_err(PutError::Internal)?;
        store.commit(changes).map_err(PutError::Internal)?;
    }
    Ok(Stored { digest, media_type, existed })
}

/// The one place where a tag is written: immutability holds for every way in because there is no other.
fn tag_change(
    repository: &Repository,
    key: &RegistryKey,
    name: &RepositoryName,
    tag: ImageTag,
    digest: &Digest,
) -> Result<Option<Change>, PutError> {
    let settings = &repository.settings;
    let holder = repository.image_tags.get(&tag);
    let is_protected = settings.image_tag_mutability.protects(&settings.exclusion_filters, tag.as_str());
    match holder {
        Some(holder) if is_protected => {
            Err(PutError::TagImmutable { tag, holder: holder.clone(), digest: digest.clone() })
        }
        Some(holder) if holder == digest => Ok(None),
        _ => Ok(Some(Change::PutTag(key.clone(), name.clone(), tag, digest.clone()))),
    }
}

/// Reads what the registry has to know of a manifest, and refuses one that names what is not there.
fn read_manifest(
    repository: &Repository,
    bytes: &[u8],
    media_type: Option<String>,
    now: f64,
) -> Result<Image, PutError> {
    let manifest: Value =
        serde_json::from_slice(bytes).map_err(|it| PutError::Invalid(format!("not JSON: {it}")))?;
    let own_type = manifest["mediaType"].as_str().map(str::to_owned);
    let media_type = media_type
        .filter(|it| is_known(it))
        .or(own_type)
        .filter(|it| is_known(it))
        .ok_or_else(|| PutError::Invalid("unknown media type".to_owned()))?;
    let (size, children) = if is_index(&media_type) {
        check_children(repository, &manifest)?
    } else {
        (check_layers(repository, &manifest)?, Vec::new())
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(Image {
        pushed_at: now,
        size,
        manifest_size: bytes.len() as u64,
        artifact_media_type: text(&manifest["artifactType"]).or(text(&manifest["config"]["mediaType"])),
        subject: manifest["subject"]["digest"].as_str().and_then(|it| it.parse().ok()),
        media_type,
        children,
    })
}

fn is_known(media_type: &str) -> bool {
    MANIFESTS.contains(&media_type) || is_index(media_type)
}

fn check_layers(repository: &Repository, manifest: &Value) -> Result<u64, PutError> {
    let layers = manifest["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
    // Layers with URLs are fetched from there and never pushed (OCI image specification, "Non-distributable layers").
    let pushed = layers.iter().filter(|it| it["urls"].as_array().is_none_or(Vec::is_empty));
    let named = digests(std::iter::once(&manifest["config"]).chain(pushed))?;
    let missing: Vec<_> = named.iter().filter(|it| !repository.layers.contains_key(it)).cloned().collect();
    if !missing.is_empty() {
        return Err(PutError::LayersMissing(missing));
    }
    Ok(named.iter().filter_map(|it| repository.layers.get(it)).sum())
}

/// The size of an index is that of its largest image (ECR API, `imageSizeInBytes`).
fn check_children(repository: &Repository, manifest: &Value) -> Result<(u64, Vec<Digest>), PutError> {
    let children = manifest["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named = digests(children.iter())?;
    let missing: Vec<_> = named.iter().filter(|it| !repository.images.contains_key(it)).cloned().collect();
    if !missing.is_empty() {
        return Err(PutError::ChildrenMissing(missing));
    }
    let sizes = named.iter().filter_map(|it| repository.images.get(it)).map(|it| it.size);
    Ok((sizes.max().unwrap_or_default(), named))
}

fn digests<'a>(descriptors: impl Iterator<Item = &'a Value>) -> Result<Vec<Digest>, PutError> {
    let digest = |it: &Value| {
        let text = it["digest"].as_str().unwrap_or_default();
        text.parse().map_err(|it: crate::name::InvalidName| PutError::Invalid(it.to_string()))
    };
    descriptors.map(digest).collect()
}

/// ECR's sentence for a tag that may not move; both planes use it.
pub fn immutable_sentence(name: &RepositoryName, tag: &ImageTag) -> String {
    format!(
        "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten \
         because the tag is immutable."
    )
}
