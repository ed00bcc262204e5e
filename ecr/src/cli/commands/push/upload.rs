//! One image -> the registry: compare tags, send what is missing, the manifest last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ecr_oci::registry::{BlobUpload, OnSent, RegistryClient, RegistryError, RegistryErrorKind};
use ecr_types::error::one_line;
use ecr_types::{Digest, ImageTag};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::Job;
use super::build::Built;
use super::lookups::Answers;
use super::outcome::Done;
use super::repositories::Place;
use super::siblings::Siblings;
use crate::aws::Denials;
use crate::build::advice::advice;
use crate::cli::error::Exit;
use crate::cli::report::{PushEntry, PushOutcome};
use crate::cli::shell::Shell;

/// Blobs of one image that are sent side by side.
const PARALLEL: usize = 4;

/// The push of one image.
pub(super) struct Upload<'a> {
    pub registry: &'a RegistryClient,
    pub shell: &'a Shell,
    pub denials: Option<&'a Denials>,
    pub job: &'a Job,
    pub place: &'a Place,
    pub built: &'a Built,
    pub tags: &'a [ImageTag],
    pub siblings: &'a Siblings,
    /// What was found meanwhile.
    pub held: &'a Answers,
}

/// Bytes that were sent, and that were mounted.
#[derive(Debug, Default)]
struct Sent {
    uploaded: AtomicU64,
    mounted: AtomicU64,
}

/// What to do about a tag that is taken.
pub(super) fn advice_about(job: &Job) -> String {
    let folder = &job.service.package.folder;
    let manifest = if folder.is_empty() { "Cargo.toml".to_owned() } else { format!("{folder}/Cargo.toml") };
    format!(
        "bump the version in {manifest}, or push another tag: `--tag '{{version}}-{{digest}}'` is never in conflict"
    )
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
        let (outcome, exit, error, help) = match result {
            Ok(outcome) => (outcome, Exit::Done, None, None),
            Err(Stopped::Conflict(reason)) => {
                (PushOutcome::Conflict, Exit::Conflict, Some(reason), Some(advice_about(self.job)))
            }
            Err(Stopped::Failed(error)) => {
                // A login is of no use here: the token is this command's own.
                let help = advice(&one_line(&error))
                    .filter(|_| error.kind() != RegistryErrorKind::Denied)
                    .map(str::to_owned);
                (PushOutcome::Failed, Exit::Failed, Some(one_line(&error)), help)
            }
        };
        if exit == Exit::Done {
            entry.skipped_bytes = entry.compressed_bytes - entry.uploaded_bytes - entry.mounted_bytes;
        }
        let exit = Exit::of_parts([exit, self.place.exit()]);
        Done { entry: PushEntry { outcome, error, ..entry }, exit, help }
    }

    async fn push(&self, sent: &Sent) -> Result<PushOutcome, Stopped> {
        let outcome = self.bring(sent).await?;
        // A manifest names the blobs there now, also where nothing had to be sent.
        self.siblings.add(self.built.blobs.iter().map(|it| &it.digest), &self.job.service.repository);
        Ok(outcome)
    }

    async fn bring(&self, sent: &Sent) -> Result<PushOutcome, Stopped> {
        let name = &self.job.service.repository;
        let mut missing = Vec::new();
        for tag in self.tags {
            match self.first_holder(tag).await? {
                Holder::Us => {}
                Holder::Other(digest) if self.place.protects(tag.as_str()) => {
                    return Err(Stopped::Conflict(self.conflict(tag, Some(&digest))));
                }
                Holder::Other(_) | Holder::Nothing | Holder::Unknown => missing.push(tag),
            }
        }
        if missing.is_empty() && !self.tags.is_empty() {
            return Ok(PushOutcome::Unchanged);
        }
        if self.tags.is_empty() && self.is_there().await? {
            return Ok(PushOutcome::Unchanged);
        }
        self.send_blobs(sent).await?;
        for (digest, manifest) in self.built.parts() {
            self.registry.put_manifest(name, digest.as_str(), &manifest).await?;
        }
        let mut has_written = false;
        for tag in &missing {
            has_written |= self.put(tag).await?;
        }
        if self.tags.is_empty() {
            let digest = self.built.digest();
            self.registry.put_manifest(name, digest.as_str(), &self.built.manifest()).await?;
            has_written = true;
        }
        Ok(if has_written { PushOutcome::Pushed } else { PushOutcome::Unchanged })
    }

    /// Whether the image is there, under whatever tag.
    async fn is_there(&self) -> Result<bool, RegistryError> {
        let digest = self.built.digest();
        let found = self.registry.digest(&self.job.service.repository, digest.as_str()).await;
        match found {
            Err(error) if error.kind() == RegistryErrorKind::Denied => Ok(false),
            found => Ok(found?.is_some()),
        }
    }

    /// What a tag held while the image was built, else what it holds.
    async fn first_holder(&self, tag: &ImageTag) -> Result<Holder, RegistryError> {
        match self.held.get(&(self.job.service.repository.clone(), tag.clone())) {
            Some(found) => Ok(self.compared(found.clone())),
            None => self.holder(tag).await,
        }
    }

    fn compared(&self, found: Option<Digest>) -> Holder {
        match found {
            None => Holder::Nothing,
            Some(digest) if digest == *self.built.digest() => Holder::Us,
            Some(digest) => Holder::Other(digest),
        }
    }

    async fn holder(&self, tag: &ImageTag) -> Result<Holder, RegistryError> {
        match self.registry.digest(&self.job.service.repository, tag.as_str()).await {
            Ok(found) => Ok(self.compared(found)),
            Err(error) if error.kind() == RegistryErrorKind::Denied => {
                let name = self.job.service.repository.as_str();
                let skipped = "tags were not compared before the push";
                self.denials.iter().for_each(|it| it.add("ecr:BatchGetImage", skipped, name));
                Ok(Holder::Unknown)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends the blobs that the repository does not have.
    async fn send_blobs(&self, sent: &Sent) -> Result<(), RegistryError> {
        let name = &self.job.service.repository;
        let total = self.built.blobs.iter().map(|it| it.size).sum();
        let bar = Arc::new(self.shell.bar(total));
        let progress: OnSent = {
            let bar = bar.clone();
            Arc::new(move |bytes| bar.advance(bytes))
        };
        let uploads = self.built.blobs.iter().map(|blob| {
            let (bar, progress) = (&bar, &progress);
            async move {
                if self.registry.has_blob(name, &blob.digest).await? {
                    bar.advance(blob.size);
                    return Ok(());
                }
                let is_inherited = self.built.inherited.contains(&blob.digest);
                let sibling = self.siblings.of(self.registry, &blob.digest, name, is_inherited).await?;
                match self.registry.upload(name, blob, sibling.as_ref(), progress).await? {
                    BlobUpload::Uploaded => {
                        if sibling.is_some() {
                            self.siblings.give_up();
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
        match self.registry.put_manifest(name, tag.as_str(), &self.built.manifest()).await {
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
        let ours = self.built.digest();
        match holder {
            Some(theirs) => format!("tag `{tag}` is immutable and holds {theirs}; this image is {ours}"),
            None => format!(
                "tag `{tag}` is immutable and taken; without ecr:BatchGetImage it cannot be compared \
                 with this image, which is {ours}"
            ),
        }
    }
}
