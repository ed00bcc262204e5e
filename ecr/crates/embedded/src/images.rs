//! The rules for images, one set for both planes: what a manifest may name, and which tags may move.

use ecr_types::media_type::is_index;
use ecr_types::{Digest, ImageTag, RepositoryName};
use serde_json::{Value, json};

use super::model::{Change, Image, RegistryKey, Repository};
use super::store::Store;

/// Media types of a single image's manifest.
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// The most tags of an image (service quotas, "Tags per image").
const MAX_TAGS: usize = 1000;
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
    /// The image that it is attached to.
    pub subject: Option<Digest>,
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
    /// The image has as many tags as it may have.
    TooManyTags(ImageTag),
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
    let mut image = read_manifest(store, repository, &new.bytes, new.media_type, now)?;
    let registry = store.model().registry(key);
    let is_scanned = repository.settings.scan_on_push || registry.is_some_and(|it| it.scans(name));
    image.scan_requested_at = (is_scanned && !is_index(&image.media_type)).then_some(now);
    let (media_type, subject) = (image.media_type.clone(), image.subject.clone());
    let mut changes = Vec::new();
    if !repository.images.contains_key(&digest) {
        changes.push(Change::PutImage(key.clone(), name.clone(), digest.clone(), image));
    }
    if let Some(tag) = new.tag {
        changes.extend(tag_change(repository, key, name, tag, &digest)?);
    }
    let existed = changes.is_empty();
    // A file that somebody removed comes back with the next push.
    if !existed || !store.blobs().has(&digest) {
        store.blobs().write(&digest, &new.bytes).map_err(|it| PutError::Internal(it.into()))?;
    }
    if !existed {
        store.commit(changes).map_err(PutError::Internal)?;
    }
    Ok(Stored { digest, media_type, subject, existed })
}

/// How often a pull is recorded, in seconds: `lastRecordedPullTime` is refreshed "at least once every 24 hours".
const PULL_INTERVAL: f64 = 60.0 * 60.0;

/// Records that manifests were read, which ECR takes for a pull on either plane (aws/containers-roadmap#2390).
pub fn pulled<'a>(
    store: &mut Store,
    key: &RegistryKey,
    name: &RepositoryName,
    digests: impl IntoIterator<Item = &'a Digest>,
    now: f64,
) -> anyhow::Result<()> {
    let Some(repository) = store.model().repository(key, name) else { return Ok(()) };
    let images = digests.into_iter().filter_map(|it| repository.images.get_key_value(it));
    let stale = images.filter(|(_, image)| image.last_pulled_at.is_none_or(|it| now - it >= PULL_INTERVAL));
    let change = |(digest, image): (&Digest, &Image)| {
        let image = Image { last_pulled_at: Some(now), ..image.clone() };
        Change::PutImage(key.clone(), name.clone(), digest.clone(), image)
    };
    let changes: Vec<_> = stale.map(change).collect();
    if changes.is_empty() { Ok(()) } else { store.commit(changes) }
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
        _ if repository.tags_of(digest).count() >= MAX_TAGS => Err(PutError::TooManyTags(tag)),
        _ => Ok(Some(Change::PutTag(key.clone(), name.clone(), tag, digest.clone()))),
    }
}

/// Reads what the registry has to know of a manifest, and refuses one that names what is not there.
fn read_manifest(
    store: &Store,
    repository: &Repository,
    bytes: &[u8],
    named_type: Option<String>,
    now: f64,
) -> Result<Image, PutError> {
    let manifest: Value =
        serde_json::from_slice(bytes).map_err(|it| PutError::Invalid(format!("not JSON: {it}")))?;
    if !manifest.is_object() || manifest["schemaVersion"] != 2 {
        return Err(PutError::Invalid("the schemaVersion is not 2".to_owned()));
    }
    let media_type = media_type(&manifest, named_type)?;
    check_annotations(&manifest["annotations"])?;
    let subject = match &manifest["subject"] {
        Value::Null => None,
        subject => Some(descriptor(subject)?),
    };
    let (size, children, layers) = if is_index(&media_type) {
        let (size, children) = check_children(store, repository, &manifest)?;
        (size, children, Vec::new())
    } else {
        let (size, layers) = check_layers(store, repository, &manifest)?;
        (size, Vec::new(), layers)
    };
    // "If the artifactType is empty or missing in the image manifest, the value of artifactType MUST be set to the
    // config descriptor mediaType value" (OCI distribution specification, "Listing Referrers").
    let text = |value: &Value| value.as_str().filter(|it| !it.is_empty()).map(str::to_owned);
    Ok(Image {
        pushed_at: now,
        size,
        manifest_size: bytes.len() as u64,
        artifact_media_type: text(&manifest["artifactType"]).or(text(&manifest["config"]["mediaType"])),
        subject,
        media_type,
        children,
        layers,
        last_pulled_at: None,
        scan_requested_at: None,
    })
}

/// The type that the manifest itself names, else the client's. "Clients SHOULD set the Content-Type header to the type
/// of the manifest being pushed": two types that differ would let an image pass for an index, unchecked.
fn media_type(manifest: &Value, named: Option<String>) -> Result<String, PutError> {
    let own = match &manifest["mediaType"] {
        Value::Null => None,
        Value::String(own) => Some(own.clone()),
        _ => return Err(PutError::Invalid("the mediaType is no string".to_owned())),
    };
    let named = named.filter(|it| is_known(it));
    if let (Some(own), Some(named)) = (&own, &named)
        && own != named
    {
        return Err(PutError::Invalid(format!("its mediaType is {own}, and it is sent as {named}")));
    }
    own.or(named).filter(|it| is_known(it)).ok_or_else(|| PutError::Invalid("unknown media type".to_owned()))
}

fn is_known(media_type: &str) -> bool {
    MANIFESTS.contains(&media_type) || is_index(media_type)
}

/// Layers of these types are fetched from their URLs and need not be pushed (OCI image specification,
/// "Non-Distributable Layers"; docker's "foreign" layers).
fn is_fetched_elsewhere(layer: &Value) -> bool {
    let media_type = layer["mediaType"].as_str().unwrap_or_default();
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

fn check_layers(
    store: &Store,
    repository: &Repository,
    manifest: &Value,
) -> Result<(u64, Vec<Digest>), PutError> {
    let layers = list(manifest, "layers")?;
    let config = descriptor(&manifest["config"])?;
    let (mut named, mut missing) = (vec![config], Vec::new());
    let has = |it: &Digest| repository.layers.contains_key(it) && store.blobs().has(it);
    if !has(&named[0]) {
        missing.push(named[0].clone());
    }
    for layer in layers {
        let digest = descriptor(layer)?;
        match has(&digest) {
            true => named.push(digest),
            false if is_fetched_elsewhere(layer) => {}
            false => missing.push(digest),
        }
    }
    if !missing.is_empty() {
        return Err(PutError::LayersMissing(missing));
    }
    let size = named.iter().filter_map(|it| repository.layers.get(it)).sum();
    Ok((size, named))
}

/// The size of an index is that of its largest image (ECR API, `imageSizeInBytes`).
fn check_children(
    store: &Store,
    repository: &Repository,
    manifest: &Value,
) -> Result<(u64, Vec<Digest>), PutError> {
    let named = list(manifest, "manifests")?.iter().map(descriptor).collect::<Result<Vec<_>, _>>()?;
    let has = |it: &&Digest| !(repository.images.contains_key(it) && store.blobs().has(it));
    let missing: Vec<_> = named.iter().filter(has).cloned().collect();
    if !missing.is_empty() {
        return Err(PutError::ChildrenMissing(missing));
    }
    let sizes = named.iter().filter_map(|it| repository.images.get(it)).map(|it| it.size);
    Ok((sizes.max().unwrap_or_default(), named))
}

fn list<'a>(manifest: &'a Value, key: &str) -> Result<&'a [Value], PutError> {
    manifest[key]
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| PutError::Invalid(format!("`{key}` is no list")))
}

/// The digest of a descriptor (OCI image specification, "Content Descriptors").
fn descriptor(value: &Value) -> Result<Digest, PutError> {
    let is_size = value["size"].is_u64() || value["size"].is_null();
    if !value.is_object() || !is_size || !(value["mediaType"].is_string() || value["mediaType"].is_null()) {
        return Err(PutError::Invalid("a descriptor needs a mediaType, a digest and a size".to_owned()));
    }
    let text = value["digest"].as_str().unwrap_or_default();
    text.parse().map_err(|it: ecr_types::InvalidName| PutError::Invalid(it.to_string()))
}

/// "Annotations MUST be a key-value map where both the key and value MUST be strings."
fn check_annotations(annotations: &Value) -> Result<(), PutError> {
    let is_good = match annotations {
        Value::Null => true,
        Value::Object(map) => map.values().all(Value::is_string),
        _ => false,
    };
    if is_good { Ok(()) } else { Err(PutError::Invalid("`annotations` is no map of strings".to_owned())) }
}

/// ECR's sentence for a tag that may not move; both planes use it.
pub fn immutable_sentence(name: &RepositoryName, tag: &ImageTag) -> String {
    format!(
        "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten \
         because the tag is immutable."
    )
}

/// ECR's sentence for one tag too many; both planes use it.
pub fn too_many_tags(name: &RepositoryName, tag: &ImageTag, account: &str) -> String {
    format!(
        "Adding tag '{tag}' to an image in the repository with name '{name}' in registry with id '{account}' \
         exceeds the maximum allowed number of tags per image which is '{MAX_TAGS}'"
    )
}

/// The artifacts that are attached to an image, whether or not that is there.
pub fn referrers<'a>(
    repository: &'a Repository,
    subject: &'a Digest,
) -> impl Iterator<Item = (&'a Digest, &'a Image)> {
    repository.images.iter().filter(move |(_, it)| it.subject.as_ref() == Some(subject))
}

/// The descriptor of an artifact, with the annotations of its manifest; the same on both planes.
pub fn referrer(store: &Store, digest: &Digest, image: &Image) -> Value {
    let text = std::fs::read(store.blobs().path(digest)).unwrap_or_default();
    let manifest: Value = serde_json::from_slice(&text).unwrap_or_default();
    let mut descriptor =
        json!({"mediaType": image.media_type, "size": image.manifest_size, "digest": digest});
    if let Some(artifact_type) = &image.artifact_media_type {
        descriptor["artifactType"] = json!(artifact_type);
    }
    if manifest["annotations"].is_object() {
        descriptor["annotations"] = manifest["annotations"].clone();
    }
    descriptor
}

/// Why an image was not deleted.
#[derive(Debug)]
pub enum DeleteError {
    /// It was deleted, or its tag moved, since it was looked up.
    Gone,
    /// This index lists it.
    Referenced(Digest),
    /// The disk failed.
    Internal(anyhow::Error),
}

/// Deletes a tag, and with the last tag the image; without a tag, the image with all of its tags. Gives the tags that
/// went. An image that an index lists loses its tag and stays.
pub fn delete(
    store: &mut Store,
    key: &RegistryKey,
    name: &RepositoryName,
    digest: &Digest,
    tag: Option<&ImageTag>,
) -> Result<Vec<ImageTag>, DeleteError> {
    let Some(repository) = store.model().repository(key, name) else { return Err(DeleteError::Gone) };
    let is_moved = tag.is_some_and(|it| repository.image_tags.get(it) != Some(digest));
    if is_moved || !repository.images.contains_key(digest) {
        return Err(DeleteError::Gone);
    }
    let tags: Vec<_> = repository.tags_of(digest).cloned().collect();
    let mut indexes = repository.images.iter().filter(|(_, it)| it.children.contains(digest));
    let index = indexes.next().map(|(index, _)| index.clone());
    let (gone, change) = match (tag, index) {
        (Some(tag), index) if tags.len() > 1 || index.is_some() => {
            (vec![tag.clone()], Change::DeleteTag(key.clone(), name.clone(), tag.clone()))
        }
        (_, Some(index)) => return Err(DeleteError::Referenced(index)),
        _ => (tags, Change::DeleteImage(key.clone(), name.clone(), digest.clone())),
    };
    let layers = repository.images.get(digest).map(|it| it.layers.clone()).unwrap_or_default();
    store.commit(vec![change]).map_err(DeleteError::Internal)?;
    store.collect(layers.into_iter().chain([digest.clone()]));
    Ok(gone)
}
