//! One image -> the registry: compare tags, send what is missing, the manifest last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ecr_oci::registry::{BlobUpload, OnSent, RegistryClient, RegistryError, RegistryErrorKind};
use ecr_types::{Digest, ImageTag};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::Job;
use super::existing_tags::ExistingTags;
use super::mount::MountSources;
use super::outcome::Done;
use super::repositories::TargetRepository;
use crate::aws::Denials;
use crate::build::image::NativeImage;
use crate::cli::report::{PushEntry, PushOutcome};
use crate::cli::shell::Shell;

/// Blobs of one image that are sent side by side.
const PARALLEL: usize = 4;

/// The push of one image.
pub(super) struct Upload<'a> {
    pub client: &'a RegistryClient,
    pub shell: &'a Shell,
    pub denials: &'a Denials,
    pub job: &'a Job,
    pub repository: &'a TargetRepository,
    pub image: &'a NativeImage,
    pub tags: &'a [ImageTag],
    pub sources: &'a MountSources,
    /// What was found while images were built.
    pub existing: &'a ExistingTags,
}

/// Bytes that were sent, and that were mounted.
#[derive(Debug, Default)]
struct Sent {
    uploaded: AtomicU64,
    mounted: AtomicU64,
}

/// What a tag holds.
enum Holder {
    Nothing,
    Us,
    Other(Digest),
    /// It may not be looked up.
    Unknown,
}

/// Why an image was not pushed.
enum Stopped {
    Conflict(String),
    Failed(RegistryError),
}

impl From<RegistryError> for Stopped {
    fn from(error: RegistryError) -> Self {
        Self::Failed(error)
    }
}

impl Upload<'_> {
    /// Pushes, and fills in `entry` with what became of it.
    pub(super) async fn run(&self, mut entry: PushEntry) -> Done {
        let sent = Sent::default();
        let result = self.push(&sent).await;
        entry.uploaded_bytes = sent.uploaded.into_inner();
        entry.mounted_bytes = sent.mounted.into_inner();
        match result {
            Ok(outcome) => {
                entry.skipped_bytes = entry.compressed_bytes - entry.uploaded_bytes - entry.mounted_bytes;
                let done = Done::good(self.job, PushEntry { outcome, ..entry });
                Done { exit: self.repository.exit(), ..done }
            }
            Err(Stopped::Conflict(reason)) => Done::conflict(self.job, entry, reason),
            Err(Stopped::Failed(error)) => Done::failed_with(self.job, entry, &error.into()),
        }
    }

    async fn push(&self, sent: &Sent) -> Result<PushOutcome, Stopped> {
        let outcome = self.send(sent).await?;
        // A manifest names the blobs there now, also where nothing had to be sent.
        self.sources.add(self.image.blobs.iter().map(|it| &it.digest), &self.job.service.repository);
        Ok(outcome)
    }

    async fn send(&self, sent: &Sent) -> Result<PushOutcome, Stopped> {
        let name = &self.job.service.repository;
        let mut missing = Vec::new();
        for tag in self.tags {
            match self.first_holder(tag).await? {
                Holder::Us => {}
                Holder::Other(digest) if self.repository.protects(tag) => {
                    return Err(Stopped::Conflict(self.conflict(tag, Some(&digest))));
                }
                Holder::Other(_) | Holder::Nothing | Holder::Unknown => missing.push(tag),
            }
        }
        if missing.is_empty() && !self.tags.is_empty() {
            return Ok(PushOutcome::Unchanged);
        }
        if self.tags.is_empty() && self.exists().await? {
            return Ok(PushOutcome::Unchanged);
        }
        self.send_blobs(sent).await?;
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

    /// Whether the image is there, under whatever tag.
    async fn exists(&self) -> Result<bool, RegistryError> {
        let digest = self.image.digest();
        let found = self.client.digest(&self.job.service.repository, digest.as_str()).await;
        match found {
            Err(error) if error.kind() == RegistryErrorKind::Denied => Ok(false),
            found => Ok(found?.is_some()),
        }
    }

    /// What a tag held while the image was built, else what it holds.
    async fn first_holder(&self, tag: &ImageTag) -> Result<Holder, RegistryError> {
        match self.existing.get(&(self.job.service.repository.clone(), tag.clone())) {
            Some(found) => Ok(self.compared(found.clone())),
            None => self.holder(tag).await,
        }
    }

    fn compared(&self, found: Option<Digest>) -> Holder {
        match found {
            None => Holder::Nothing,
            Some(digest) if digest == *self.image.digest() => Holder::Us,
            Some(digest) => Holder::Other(digest),
        }
    }

    async fn holder(&self, tag: &ImageTag) -> Result<Holder, RegistryError> {
        match self.client.digest(&self.job.service.repository, tag.as_str()).await {
            Ok(found) => Ok(self.compared(found)),
            Err(error) if error.kind() == RegistryErrorKind::Denied => {
                let name = self.job.service.repository.as_str();
                let skipped = "tags were not compared before the push";
                self.denials.add("ecr:BatchGetImage", skipped, name);
                Ok(Holder::Unknown)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends the blobs that the repository does not have.
    async fn send_blobs(&self, sent: &Sent) -> Result<(), RegistryError> {
        let name = &self.job.service.repository;
        let bar = Arc::new(self.shell.bar(self.image.size()));
        let progress: OnSent = {
            let bar = bar.clone();
            Arc::new(move |bytes| bar.advance(bytes))
        };
        let uploads = self.image.blobs.iter().map(|blob| {
            let (bar, progress) = (&bar, &progress);
            async move {
                if self.client.has_blob(name, &blob.digest).await? {
                    bar.advance(blob.size);
                    return Ok(());
                }
                let is_inherited = self.image.inherited.contains(&blob.digest);
                let source = self.sources.find(self.client, &blob.digest, name, is_inherited).await?;
                match self.client.upload(name, blob, source.as_ref(), progress).await? {
                    BlobUpload::Uploaded => {
                        if source.is_some() {
                            self.sources.give_up();
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
        stream::iter(uploads).buffer_unordered(PARALLEL).try_collect::<()>().await
    }

    /// Points a tag to the image. Another run may have been faster: with the same image that is as good.
    async fn put(&self, tag: &ImageTag) -> Result<bool, Stopped> {
        let name = &self.job.service.repository;
        match self.client.put_manifest(name, tag.as_str(), &self.image.manifest()).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == RegistryErrorKind::ImmutableTag => match self.holder(tag).await? {
                Holder::Us => Ok(false),
                Holder::Other(digest) => Err(Stopped::Conflict(self.conflict(tag, Some(&digest)))),
                Holder::Nothing | Holder::Unknown => Err(Stopped::Conflict(self.conflict(tag, None))),
            },
            Err(error) => Err(error.into()),
        }
    }

    fn conflict(&self, tag: &ImageTag, holder: Option<&Digest>) -> String {
        let ours = self.image.digest();
        match holder {
            Some(theirs) => format!("tag `{tag}` is immutable and holds {theirs}; this image is {ours}"),
            None => format!(
                "tag `{tag}` is immutable and taken; without ecr:BatchGetImage it cannot be compared \
                 with this image, which is {ours}"
            ),
        }
    }
}
