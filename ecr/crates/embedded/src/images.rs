//! The rules for images on both planes: which manifests are valid, and which tags may be moved.

use ecr_types::media_type::is_index;
use ecr_types::policy::is_caller;
use ecr_types::{Descriptor, Digest, ImageTag, InvalidManifest, Manifest, RepositoryName};

use super::contents::describe;
use super::model::{Image, Registry, RegistryKey, Replication, Repository, StorageClass};
use super::replication::{Pushed, replicate};
use super::schema1;
use super::store::{Queries, Rows, Store, Transaction};

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
    /// The image has more than the maximum number of layers.
    TooManyLayers,
    /// The image has the maximum number of tags already.
    TooManyTags(ImageTag),
    /// The state cannot be read or written.
    Internal(anyhow::Error),
}

impl From<anyhow::Error> for PutError {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

/// Stores a manifest and its tag in one transaction. `now` is in seconds since 1970.
pub fn put(
    store: &Store,
    key: &RegistryKey,
    name: &RepositoryName,
    new: NewImage,
    now: f64,
) -> Result<Stored, PutError> {
    let digest = schema1::digest_of(&new.bytes);
    if let Some(expected) = new.digest.as_ref().filter(|it| **it != digest) {
        return Err(PutError::DigestMismatch { expected: expected.clone(), found: digest });
    }
    store.write(|transaction| {
        let repository = transaction.repository(key, name)?.ok_or(PutError::RepositoryNotFound)?;
        let registry = transaction.registry(key)?;
        let mut image = describe(transaction, store.blobs(), &repository, &new)?;
        image.manifest_size = new.bytes.len() as u64;
        image.pushed_at = now;
        image.scan_requested_at = is_scanned(&registry, name, &repository, &image).then_some(now);
        let (media_type, subject) = (image.media_type.clone(), image.subject.clone());
        let known = transaction.image(repository.id, &digest)?;
        // A push restores an archived image at once (Amazon ECR user guide, "Restoring an image").
        let is_pushed = known.is_none_or(|it| it.storage_class == StorageClass::Archive);
        if !transaction.has_image(repository.id, &digest)? {
            transaction.add_image(repository.id, &digest, &image, &new.bytes)?;
        }
        let is_tagged = match &new.tag {
            Some(tag) => point(transaction, &repository, tag, &digest)?,
            None => false,
        };
        if is_pushed || is_tagged {
            let (tag, repository) = (new.tag.as_ref(), &repository);
            let pushed = Pushed { registry: key, name, repository, digest: &digest, tag, now };
            let replications = replicate(transaction, &pushed)?;
            restore(transaction, repository, &digest, replications)?;
        }
        Ok(Stored { digest, media_type, subject, existed: !(is_pushed || is_tagged) })
    })
}

/// Records the copies of an image that was pushed, and that it is not archived.
fn restore(
    transaction: &mut Transaction<'_>,
    repository: &Repository,
    digest: &Digest,
    replications: Vec<Replication>,
) -> anyhow::Result<()> {
    let Some(before) = transaction.image(repository.id, digest)? else { return Ok(()) };
    let replications = if replications.is_empty() { before.replications.clone() } else { replications };
    let image = Image { storage_class: StorageClass::Standard, replications, ..before.clone() };
    if image == before { Ok(()) } else { transaction.put_image(repository.id, digest, &image) }
}

fn is_scanned(registry: &Registry, name: &RepositoryName, repository: &Repository, image: &Image) -> bool {
    (repository.settings.scan_on_push || registry.scans(name)) && !is_index(&image.media_type)
}

/// The interval in which pulls are recorded, in seconds. ECR refreshes `lastRecordedPullTime` "at least once every 24 hours".
const PULL_INTERVAL: f64 = 60.0 * 60.0;

/// Records the reading of manifests, which ECR counts as a pull on both planes (aws/containers-roadmap#2390), unless the
/// caller is excluded (`RegisterPullTimeUpdateExclusion`).
pub fn pulled<'a>(
    store: &Store,
    (key, repository): (&RegistryKey, &Repository),
    caller: &str,
    images: impl IntoIterator<Item = (&'a Digest, &'a Image)>,
    now: f64,
) -> anyhow::Result<()> {
    let is_stale = |image: &Image| image.last_pulled_at.is_none_or(|it| now - it >= PULL_INTERVAL);
    let stale: Vec<_> = images.into_iter().filter(|(_, image)| is_stale(image)).collect();
    if stale.is_empty() {
        return Ok(());
    }
    let exclusions = store.read()?.registry(key)?.pull_time_exclusions;
    if exclusions.keys().any(|it| is_caller(it, caller)) {
        return Ok(());
    }
    store.write(|transaction| {
        for (digest, _) in stale {
            // It may have been deleted since.
            if let Some(image) = transaction.image(repository.id, digest)? {
                transaction.put_image(
                    repository.id,
                    digest,
                    &Image { last_pulled_at: Some(now), ..image },
                )?;
            }
        }
        Ok(())
    })
}

/// Points a tag to an image. It is `false` if it does so already. All tags are written with this function, so that
/// immutability is enforced for every request.
fn point(
    transaction: &mut Transaction<'_>,
    repository: &Repository,
    tag: &ImageTag,
    digest: &Digest,
) -> Result<bool, PutError> {
    let Repository { id, settings } = repository;
    let holder = transaction.tagged(*id, tag)?;
    let is_protected = settings.image_tag_mutability.protects(&settings.exclusion_filters, tag.as_str());
    match holder {
        Some(holder) if is_protected => {
            Err(PutError::TagImmutable { tag: tag.clone(), holder, digest: digest.clone() })
        }
        Some(holder) if holder == *digest => Ok(false),
        _ if transaction.tags_of(*id, digest, MAX_TAGS_PER_IMAGE)?.len() >= MAX_TAGS_PER_IMAGE => {
            Err(PutError::TooManyTags(tag.clone()))
        }
        _ => {
            transaction.put_tag(*id, tag, digest)?;
            Ok(true)
        }
    }
}

/// What ECR says of a text that is no manifest it takes, also for want of a media type (aws/aws-sdk#193, ko-build/ko#928).
pub fn invalid_constraint(error: &InvalidManifest) -> String {
    match error {
        InvalidManifest::NotJson(_) | InvalidManifest::NoMediaType => "Invalid JSON syntax".to_owned(),
        error => format!("Invalid image manifest provided: {error}"),
    }
}

/// ECR's message for layers or images that a manifest names and that are not there, on both planes (oras-project/oras-py#54).
pub fn absent(what: &str, digests: &[Digest], name: &str, account: &str) -> String {
    let digests = digests.iter().map(Digest::as_str).collect::<Vec<_>>().join(", ");
    format!(
        "{what} with digests '[{digests}]' required for pushing image into repository with name '{name}' \
         in the registry with id '{account}' do not exist"
    )
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

/// The descriptor of an artifact with the annotations of its manifest, in the form of both planes.
pub fn referrer(
    rows: &impl Rows,
    repository: &Repository,
    digest: &Digest,
    image: &Image,
) -> anyhow::Result<Descriptor> {
    let text = rows.manifest(repository.id, digest)?.unwrap_or_default();
    let manifest = Manifest::parse(&text, Some(&image.media_type)).ok();
    let annotations = manifest.map(|it| it.annotations().clone()).unwrap_or_default();
    let artifact_type = image.artifact_media_type.clone();
    let descriptor = Descriptor::new(image.media_type.clone(), digest.clone(), image.manifest_size);
    Ok(Descriptor { artifact_type, annotations, ..descriptor })
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

impl From<anyhow::Error> for DeleteError {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

/// Deletes a tag, and the image with its last tag. Without a tag, the image is deleted with all of its tags. An image that an
/// index references loses its tag only. Returns the deleted tags.
pub fn delete(
    transaction: &mut Transaction<'_>,
    repository: &Repository,
    digest: &Digest,
    tag: Option<&ImageTag>,
) -> Result<Vec<ImageTag>, DeleteError> {
    let id = repository.id;
    let image = transaction.image(id, digest)?.ok_or(DeleteError::Gone)?;
    let index = transaction.parent(id, digest)?;
    if let Some(tag) = tag {
        if transaction.tagged(id, tag)?.as_ref() != Some(digest) {
            return Err(DeleteError::Gone);
        }
        if index.is_some() || transaction.tags_of(id, digest, 2)?.len() > 1 {
            transaction.delete_tag(id, tag)?;
            return Ok(vec![tag.clone()]);
        }
    }
    if let Some(index) = index {
        return Err(DeleteError::Referenced(index));
    }
    let tags = transaction.tags_of(id, digest, usize::MAX)?;
    transaction.delete_image(id, digest, &image)?;
    Ok(tags)
}
