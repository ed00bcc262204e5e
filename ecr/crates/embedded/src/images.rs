//! The rules for images on both planes: which manifests are valid, and which tags may be moved.

use ecr_types::media_type::is_index;
use ecr_types::{Digest, ImageTag, RepositoryName};
use serde_json::{Value, json};

use super::model::{Change, Image, RegistryKey, Repository};
use super::store::Store;

/// Media types of a single image's manifest.
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// The maximum number of tags of an image (service quotas, "Tags per image").
const MAX_TAGS_PER_IMAGE: usize = 1000;
/// The maximum size of a manifest in bytes (service model, `ImageManifest`).
pub const MAX_MANIFEST: usize = 4_194_304;

/// A manifest to be stored.
#[derive(Debug)]
pub struct NewImage {
    /// The tag to be pointed to the manifest.
    pub tag: Option<ImageTag>,
    /// The digest that the client expects.
    pub digest: Option<Digest>,
    /// The media type that the client declares. It is used if the manifest has no `mediaType`.
    pub media_type: Option<String>,
    pub bytes: Vec<u8>,
}

/// A manifest that was accepted.
#[derive(Debug)]
pub struct Stored {
    pub digest: Digest,
    pub media_type: String,
    /// The image to which the manifest is attached.
    pub subject: Option<Digest>,
    /// Whether both manifest and tag existed already.
    pub existed: bool,
}

/// The reason for which a manifest was rejected.
#[derive(Debug)]
pub enum PutError {
    RepositoryNotFound,
    /// The text is not a valid manifest; the reason.
    Invalid(String),
    /// The digest of the client is not that of the text.
    DigestMismatch {
        expected: Digest,
        found: Digest,
    },
    /// Blobs that the manifest references are not in the repository.
    LayersMissing(Vec<Digest>),
    /// Manifests that the index references are not in the repository.
    ChildrenMissing(Vec<Digest>),
    /// The tag exists and is immutable.
    TagImmutable {
        tag: ImageTag,
        /// The image that has the tag.
        holder: Digest,
        /// The image that was to be tagged.
        digest: Digest,
    },
    /// The image has the maximum number of tags already.
    TooManyTags(ImageTag),
    /// The state cannot be read or written.
    Internal(anyhow::Error),
}

/// Stores a manifest and its tag in one transaction. `now` is in seconds since 1970.
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
    // A file that was removed from outside is restored by the next push.
    if !existed || !store.blobs().has(&digest) {
        store.blobs().write(&digest, &new.bytes).map_err(|it| PutError::Internal(it.into()))?;
    }
    if !existed {
        store.commit(changes).map_err(PutError::Internal)?;
    }
    Ok(Stored { digest, media_type, subject, existed })
}

/// The interval in which pulls are recorded, in seconds. ECR refreshes `lastRecordedPullTime` "at least once every 24 hours".
const PULL_INTERVAL: f64 = 60.0 * 60.0;

/// Records the reading of manifests, which ECR counts as a pull on both planes (aws/containers-roadmap#2390).
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

/// The change that points a tag to an image, if one is needed. All tags are written with this function, so that immutability
/// is enforced for every request.
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
        _ if repository.tags_of(digest).count() >= MAX_TAGS_PER_IMAGE => Err(PutError::TooManyTags(tag)),
        _ => Ok(Some(Change::PutTag(key.clone(), name.clone(), tag, digest.clone()))),
    }
}

/// Reads the fields of a manifest that the registry uses. A manifest with missing blobs or manifests is rejected.
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

/// The media type of the manifest, else that of the client. "Clients SHOULD set the Content-Type header to the type of the
/// manifest being pushed" (OCI distribution specification, "Pushing Manifests"). Two different media types are an error, as an
/// image could otherwise be stored as an index without its layers being checked.
fn media_type(manifest: &Value, named: Option<String>) -> Result<String, PutError> {
    let own = match &manifest["mediaType"] {
        Value::Null => None,
        Value::String(own) => Some(own.clone()),
        _ => return Err(PutError::Invalid("the mediaType is not a string".to_owned())),
    };
    let named = named.filter(|it| is_known(it));
    if let (Some(own), Some(named)) = (&own, &named)
        && own != named
    {
        return Err(PutError::Invalid(format!("its mediaType is `{own}`, but it was sent as `{named}`")));
    }
    own.or(named).filter(|it| is_known(it)).ok_or_else(|| PutError::Invalid("unknown media type".to_owned()))
}

fn is_known(media_type: &str) -> bool {
    MANIFESTS.contains(&media_type) || is_index(media_type)
}

/// Whether a layer is fetched from its URLs and need not be pushed (OCI image specification, "Non-Distributable Layers";
/// Docker's "foreign" layers).
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

/// The size and the manifests of an index. Its size is that of its largest image (ECR API, `imageSizeInBytes`).
fn check_children(
    store: &Store,
    repository: &Repository,
    manifest: &Value,
) -> Result<(u64, Vec<Digest>), PutError> {
    let named = list(manifest, "manifests")?.iter().map(descriptor).collect::<Result<Vec<_>, _>>()?;
    let is_missing = |it: &&Digest| !(repository.images.contains_key(it) && store.blobs().has(it));
    let missing: Vec<_> = named.iter().filter(is_missing).cloned().collect();
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
        .ok_or_else(|| PutError::Invalid(format!("`{key}` is not a list")))
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
    if is_good { Ok(()) } else { Err(PutError::Invalid("`annotations` is not a map of strings".to_owned())) }
}

/// ECR's message for an immutable tag, on both planes.
pub fn immutable_sentence(name: &RepositoryName, tag: &ImageTag) -> String {
    format!(
        "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten \
         because the tag is immutable."
    )
}

/// ECR's message for too many tags, on both planes.
pub fn too_many_tags(name: &RepositoryName, tag: &ImageTag, account: &str) -> String {
    format!(
        "Adding tag '{tag}' to an image in the repository with name '{name}' in registry with id '{account}' \
         exceeds the maximum allowed number of tags per image which is '{MAX_TAGS_PER_IMAGE}'"
    )
}

/// The artifacts that are attached to an image, even if the image does not exist.
pub fn referrers<'a>(
    repository: &'a Repository,
    subject: &'a Digest,
) -> impl Iterator<Item = (&'a Digest, &'a Image)> {
    repository.images.iter().filter(move |(_, it)| it.subject.as_ref() == Some(subject))
}

/// The descriptor of an artifact with the annotations of its manifest, in the form of both planes.
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

/// The reason for which an image was not deleted.
#[derive(Debug)]
pub enum DeleteError {
    /// The image was deleted, or its tag was moved, after it was looked up.
    Gone,
    /// This index references the image.
    Referenced(Digest),
    /// The state cannot be read or written.
    Internal(anyhow::Error),
}

/// Deletes a tag, and the image with its last tag. Without a tag, the image is deleted with all of its tags. An image that an
/// index references loses its tag only. Returns the deleted tags.
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
