//! Pushes one image: compares its tags, uploads missing blobs, and puts the manifest last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ecr_oci::image::bundle::Blob;
use ecr_oci::registry::{BlobUpload, OnSent, RegistryClient, RegistryError, RegistryErrorKind};
use ecr_types::{Digest, ImageTag, RepositoryName};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::connect::RegistryJob;
use super::existing::Existing;
use super::mount::{MountSources, Turn};
use super::outcome::ServiceResult;
use super::repositories::Refusal;
use crate::build::image::NativeImage;
use crate::cli::commands::session::Session;
use crate::cli::report::{PushEntry, PushOutcome};

/// The maximum number of blobs of one image that are uploaded concurrently.
const CONCURRENCY: usize = 4;

/// The push of one image.
pub(super) struct Upload<'a> {
    pub client: &'a RegistryClient,
    pub session: &'a Session<'a>,
    pub job: &'a RegistryJob,
    pub image: &'a NativeImage,
    pub tags: &'a [ImageTag],
    pub sources: &'a MountSources,
    /// What was looked up during the build.
    pub existing: &'a Existing,
}

/// The sizes of the blobs that were uploaded and mounted, in bytes.
#[derive(Debug, Default)]
struct ByteCounts {
    uploaded: AtomicU64,
    mounted: AtomicU64,
}

/// The image that a tag points to.
enum TagState {
    Absent,
    SameImage,
    OtherImage(Digest),
    /// The permission to look it up is missing.
    Unknown,
}

/// Why an image was not pushed.
enum UploadError {
    Conflict(String),
    Failed(RegistryError),
    /// The repository must not be written to.
    Refused(Refusal),
}

impl From<RegistryError> for UploadError {
    fn from(error: RegistryError) -> Self {
        Self::Failed(error)
    }
}

impl Upload<'_> {
    /// The name of the repository.
    fn name(&self) -> &RepositoryName {
        &self.job.job.service.repository
    }

    /// Pushes the image and completes `entry`.
    pub(super) async fn run(&self, mut entry: PushEntry) -> ServiceResult {
        let sent = ByteCounts::default();
        let result = self.push(&sent).await;
        entry.uploaded_bytes = sent.uploaded.into_inner();
        entry.mounted_bytes = sent.mounted.into_inner();
        match result {
            Ok(outcome) => {
                entry.skipped_bytes = entry.compressed_bytes - entry.uploaded_bytes - entry.mounted_bytes;
                let done = ServiceResult::succeeded(&self.job.job, PushEntry { outcome, ..entry });
                ServiceResult { exit: self.job.repository.exit(), ..done }
            }
            Err(UploadError::Conflict(reason)) => ServiceResult::conflict(&self.job.job, entry, reason),
            Err(UploadError::Failed(error)) => {
                ServiceResult::failed_with(&self.job.job, entry, &error.into())
            }
            Err(UploadError::Refused(refusal)) => refusal.result(&self.job.job),
        }
    }

    async fn push(&self, sent: &ByteCounts) -> Result<PushOutcome, UploadError> {
        let turn = self.sources.begin(&self.image.blobs);
        let outcome = self.send(sent, &turn).await?;
        // A manifest in the repository lists the blobs now, even if no blob was uploaded.
        self.sources.add(self.image.blobs.iter().map(|it| &it.digest), self.name());
        Ok(outcome)
    }

    async fn send(&self, sent: &ByteCounts, turn: &Turn) -> Result<PushOutcome, UploadError> {
        let name = self.name();
        let mut missing = Vec::new();
        for tag in self.tags {
            match self.initial_tag_state(tag).await? {
                TagState::SameImage => {}
                TagState::OtherImage(digest) if self.job.repository.protects(tag) => {
                    return Err(UploadError::Conflict(self.conflict(tag, Some(&digest))));
                }
                TagState::OtherImage(_) | TagState::Absent | TagState::Unknown => missing.push(tag),
            }
        }
        if missing.is_empty() && !self.tags.is_empty() {
            return Ok(PushOutcome::Unchanged);
        }
        if self.tags.is_empty() && self.exists().await? {
            return Ok(PushOutcome::Unchanged);
        }
        self.existing.require_own(self.session, self.job).await.map_err(UploadError::Refused)?;
        self.send_blobs(sent, turn).await?;
        for (digest, manifest) in self.image.parts() {
            self.client.put_manifest(name, digest.as_str(), &manifest).await?;
        }
        let mut has_written = false;
        for tag in &missing {
            has_written |= self.put(tag).await?;
        }
        if self.tags.is_empty() {
            let digest = self.image.digest();
            self.client.put_manifest(name, digest.as_str(), &self.image.manifest()).await?;
            has_written = true;
        }
        Ok(if has_written { PushOutcome::Pushed } else { PushOutcome::Unchanged })
    }

    /// Whether the repository has the image, with or without tags.
    async fn exists(&self) -> Result<bool, RegistryError> {
        let digest = self.image.digest();
        let found = self.client.digest(self.name(), digest.as_str()).await;
        match found {
            Err(error) if error.kind() == RegistryErrorKind::Denied => Ok(false),
            found => Ok(found?.is_some()),
        }
    }

    /// The image that the tag pointed to during the build or, if it was not looked up then, points to now. That nothing is to
    /// be done for a tag that can be moved is not concluded from an old answer.
    async fn initial_tag_state(&self, tag: &ImageTag) -> Result<TagState, RegistryError> {
        let found = self.existing.tag(self.name(), tag);
        let Some(found) = found else { return self.tag_state(tag).await };
        match self.compare(found.digest.clone()) {
            TagState::SameImage if !self.job.repository.protects(tag) && found.is_old() => {
                self.tag_state(tag).await
            }
            state => Ok(state),
        }
    }

    fn compare(&self, found: Option<Digest>) -> TagState {
        match found {
            None => TagState::Absent,
            Some(digest) if digest == *self.image.digest() => TagState::SameImage,
            Some(digest) => TagState::OtherImage(digest),
        }
    }

    async fn tag_state(&self, tag: &ImageTag) -> Result<TagState, RegistryError> {
        match self.client.digest(self.name(), tag.as_str()).await {
            Ok(found) => Ok(self.compare(found)),
            Err(error) if error.kind() == RegistryErrorKind::Denied => {
                let name = self.job.job.service.repository.as_str();
                let skipped = "tags were not compared before the push";
                self.session.aws.denials().add("ecr:BatchGetImage", skipped, name);
                Ok(TagState::Unknown)
            }
            Err(error) => Err(error),
        }
    }

    /// Uploads or mounts the blobs that the repository does not have.
    async fn send_blobs(&self, sent: &ByteCounts, turn: &Turn) -> Result<(), RegistryError> {
        let name = self.name();
        let bar = Arc::new(self.session.shell.bar("Uploading", self.image.size()));
        let progress: OnSent = {
            let bar = bar.clone();
            Arc::new(move |bytes| bar.advance(bytes))
        };
        let uploads = self.image.blobs.iter().map(|blob| {
            let (bar, progress) = (&bar, &progress);
            async move {
                if self.image.is_elsewhere(&blob.digest) || self.has_blob(&blob.digest).await? {
                    bar.advance(blob.size);
                    return Ok(());
                }
                turn.wait_for(blob).await;
                let is_inherited = self.image.inherited.contains(&blob.digest);
                let source = self.sources.find(self.client, &blob.digest, name, is_inherited).await?;
                match self.upload(blob, source.as_ref(), progress).await? {
                    BlobUpload::Uploaded => {
                        if source.is_some() {
                            self.sources.stop_search();
                        }
                        sent.uploaded.fetch_add(blob.size, Ordering::Relaxed)
                    }
                    BlobUpload::Mounted => {
                        bar.advance(blob.size);
                        sent.mounted.fetch_add(blob.size, Ordering::Relaxed)
                    }
                };
                Ok(())
            }
        });
        stream::iter(uploads).buffer_unordered(CONCURRENCY).try_collect::<()>().await
    }

    /// Whether the repository has a blob. Without the permission to ask, blobs are uploaded.
    async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let name = self.name();
        match self.client.has_blob(name, digest).await {
            Err(error) if error.kind() == RegistryErrorKind::Denied => {
                let skipped = "layers were uploaded without asking which of them exist";
                self.session.aws.denials().add("ecr:BatchCheckLayerAvailability", skipped, name.as_str());
                Ok(false)
            }
            found => found,
        }
    }

    /// Mounts or uploads a blob. Without the permission to mount it, it is uploaded.
    async fn upload(
        &self,
        blob: &Blob,
        source: Option<&RepositoryName>,
        progress: &OnSent,
    ) -> Result<BlobUpload, RegistryError> {
        let name = self.name();
        let denied = match (self.client.upload(name, blob, source, progress).await, source) {
            (Err(error), Some(source)) if error.kind() == RegistryErrorKind::Denied => source,
            (result, _) => return result,
        };
        // If the upload itself is denied, it is so again, and its error says what is missing.
        let uploaded = self.client.upload(name, blob, None, progress).await?;
        let skipped = "layers were uploaded and not mounted from other repositories";
        self.session.aws.denials().add("ecr:GetDownloadUrlForLayer", skipped, denied.as_str());
        Ok(uploaded)
    }

    /// Points a tag to the image. Returns `false` if another run did that first.
    async fn put(&self, tag: &ImageTag) -> Result<bool, UploadError> {
        let name = self.name();
        match self.client.put_manifest(name, tag.as_str(), &self.image.manifest()).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == RegistryErrorKind::ImmutableTag => match self.tag_state(tag).await?
            {
                TagState::SameImage => Ok(false),
                TagState::OtherImage(digest) => Err(UploadError::Conflict(self.conflict(tag, Some(&digest)))),
                TagState::Absent | TagState::Unknown => Err(UploadError::Conflict(self.conflict(tag, None))),
            },
            Err(error) => Err(error.into()),
        }
    }

    fn conflict(&self, tag: &ImageTag, other: Option<&Digest>) -> String {
        let ours = self.image.digest();
        match other {
            Some(theirs) => format!("tag `{tag}` is immutable and points to {theirs}; this image is {ours}"),
            None => format!(
                "tag `{tag}` is immutable and exists; without permission for ecr:BatchGetImage, its image \
                 cannot be compared with this image, {ours}"
            ),
        }
    }
}
