//! The rules for images on both planes: which manifests are valid, and which tags may be moved.

use ecr_types::media_type::is_index;
use ecr_types::{
    Descriptor, Digest, ImageIndex, ImageManifest, ImageTag, InvalidManifest, Manifest, RepositoryName,
};

use super::model::{Change, Image, RegistryKey, Repository};
use super::store::Store;

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
    /// The text is not a valid manifest.
    Invalid(InvalidManifest),
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
    let mut image = read_manifest(store, repository, &new.bytes, new.media_type.as_deref(), now)?;
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
    named_type: Option<&str>,
    now: f64,
) -> Result<Image, PutError> {
    let manifest = Manifest::parse(bytes, named_type).map_err(PutError::Invalid)?;
    // A registry does not guess the type.
    let media_type = manifest.declared_media_type(named_type).map_err(PutError::Invalid)?.to_owned();
    let contents = match &manifest {
        Manifest::Image(image) => check_blobs(store, repository, image)?,
        Manifest::Index(index) => check_children(store, repository, index)?,
    };
    Ok(Image {
        pushed_at: now,
        size: contents.size,
        manifest_size: bytes.len() as u64,
        artifact_media_type: manifest.artifact_type().map(str::to_owned),
        subject: manifest.subject().map(|it| it.digest.clone()),
        media_type,
        children: contents.children,
        layers: contents.layers,
        last_pulled_at: None,
        scan_requested_at: None,
    })
}

/// What a manifest references. `size` is in bytes, as ECR shows it.
struct Contents {
    size: u64,
    children: Vec<Digest>,
    layers: Vec<Digest>,
}

/// The config and the layers of an image.
fn check_blobs(store: &Store, repository: &Repository, image: &ImageManifest) -> Result<Contents, PutError> {
    let has = |it: &Descriptor| repository.layers.contains_key(&it.digest) && store.blobs().has(&it.digest);
    let blobs = std::iter::once(&image.config).chain(&image.layers);
    let (present, absent): (Vec<_>, Vec<_>) = blobs.partition(|it| has(it));
    let missing = absent.into_iter().filter(|it| !it.is_nondistributable());
    let missing: Vec<_> = missing.map(|it| it.digest.clone()).collect();
    if !missing.is_empty() {
        return Err(PutError::LayersMissing(missing));
    }
    let layers: Vec<_> = present.into_iter().map(|it| it.digest.clone()).collect();
    let size = layers.iter().filter_map(|it| repository.layers.get(it)).sum();
    Ok(Contents { size, children: Vec::new(), layers })
}

/// The manifests of an index. Its size is that of its largest image (ECR API, `imageSizeInBytes`).
fn check_children(store: &Store, repository: &Repository, index: &ImageIndex) -> Result<Contents, PutError> {
    let children: Vec<_> = index.manifests.iter().map(|it| it.digest.clone()).collect();
    let is_missing = |it: &&Digest| !(repository.images.contains_key(it) && store.blobs().has(it));
    let missing: Vec<_> = children.iter().filter(is_missing).cloned().collect();
    if !missing.is_empty() {
        return Err(PutError::ChildrenMissing(missing));
    }
    let sizes = children.iter().filter_map(|it| repository.images.get(it)).map(|it| it.size);
    Ok(Contents { size: sizes.max().unwrap_or_default(), children, layers: Vec::new() })
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
pub fn referrer(store: &Store, digest: &Digest, image: &Image) -> Descriptor {
    let text = std::fs::read(store.blobs().path(digest)).unwrap_or_default();
    let manifest = Manifest::parse(&text, Some(&image.media_type)).ok();
    let annotations = manifest.map(|it| it.annotations().clone()).unwrap_or_default();
    let artifact_type = image.artifact_media_type.clone();
    let descriptor = Descriptor::new(image.media_type.clone(), digest.clone(), image.manifest_size);
    Descriptor { artifact_type, annotations, ..descriptor }
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
