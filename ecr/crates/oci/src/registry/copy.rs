//! Copies of images from one repository to another, by digest: the same bytes or an error.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ecr_types::{Descriptor, Digest, ImageTag, Manifest, RepositoryName, lock};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use super::source::{Download, body};
use super::{BlobUpload, OnSent, RegistryClient, RegistryError, RegistryErrorKind, RemoteRepository, Result};
use crate::image::bundle::RawManifest;

/// The number of blobs of an image that are copied side by side.
const CONCURRENCY: usize = 4;

/// The number of chunks of a blob that have arrived and not been sent. A chunk is what a connection gives at once.
const CHUNKS: usize = 4;

/// The suffixes of the tags `sha256-HEX.SUFFIX` under which cosign keeps what belongs to an image, where it does not use
/// referrers (sigstore/cosign, "Registry details").
const SUFFIXES: [&str; 3] = ["sig", "att", "sbom"];

/// A copy of images from one repository to another.
///
/// What the target has already is not sent again, so that a copy that was interrupted is completed by another one. An image
/// comes after what it lists, and before what refers to it.
pub struct ImageCopy<'a> {
    /// The repository that is read.
    pub source: Arc<RemoteRepository>,
    /// The registry that is written to.
    pub target: &'a RegistryClient,
    /// The repository there.
    pub name: &'a RepositoryName,
    /// The name of the source, if it is in the same registry, so that blobs can be mounted from it.
    pub mount_from: Option<&'a RepositoryName>,
    /// Called with the number of bytes of each chunk that is sent.
    pub on_sent: OnSent,
}

/// What a copy has done. The sizes are those of blobs, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Sent to the target.
    pub uploaded_bytes: u64,
    /// Mounted from the source, without being sent.
    pub mounted_bytes: u64,
    /// In the target before.
    pub skipped_bytes: u64,
    /// The number of artifacts that refer to the image, those of artifacts among them.
    pub artifacts: u64,
    /// Whether the source has no list of referrers, so that artifacts may be missing in the target.
    pub is_without_referrers: bool,
}

/// The running totals of a copy.
#[derive(Default)]
struct Totals {
    uploaded: AtomicU64,
    mounted: AtomicU64,
    skipped: AtomicU64,
    artifacts: AtomicU64,
    is_without_referrers: AtomicU64,
    /// The manifests that were copied.
    seen: Mutex<BTreeSet<Digest>>,
}

type Copying<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

impl ImageCopy<'_> {
    /// Copies an image or index with what it lists, and with the artifacts that refer to any of these.
    ///
    /// # Errors
    /// The image is not in the source, or one of the registries returns an error or does not answer. What was copied so far
    /// stays; no tag of the image is written.
    pub async fn run(&self, digest: &Digest) -> Result<Copied> {
        let totals = Totals::default();
        self.manifest(digest.clone(), &totals).await?;
        let read = |it: &AtomicU64| it.load(Ordering::Relaxed);
        Ok(Copied {
            uploaded_bytes: read(&totals.uploaded),
            mounted_bytes: read(&totals.mounted),
            skipped_bytes: read(&totals.skipped),
            artifacts: read(&totals.artifacts),
            is_without_referrers: read(&totals.is_without_referrers) > 0,
        })
    }

    fn manifest<'a>(&'a self, digest: Digest, totals: &'a Totals) -> Copying<'a> {
        Box::pin(async move {
            if !lock(&totals.seen).insert(digest.clone()) {
                return Ok(());
            }
            let raw = self.source.raw_manifest(digest.as_str()).await?;
            let missing =
                || RegistryError::unexpected(&self.source.reading(digest.as_str()), "it does not exist");
            self.content(&raw.ok_or_else(missing)?, totals).await?;
            self.artifacts(&digest, totals).await
        })
    }

    /// Copies a manifest with what it lists.
    async fn content(&self, raw: &RawManifest, totals: &Totals) -> Result<()> {
        let digest = raw.digest();
        let manifest = Manifest::parse(&raw.bytes, Some(raw.media_type));
        let manifest =
            manifest.map_err(|it| RegistryError::new(&self.source.reading(digest.as_str()), it))?;
        for child in manifest.children() {
            self.manifest(child.digest.clone(), totals).await?;
        }
        let blobs: Vec<_> = distinct(manifest.blobs());
        if self.target.digest(self.name, digest.as_str()).await?.is_some() {
            totals.skipped.fetch_add(blobs.iter().map(|it| it.size).sum(), Ordering::Relaxed);
            return Ok(());
        }
        let copies = blobs.into_iter().map(|it| self.blob(it, totals));
        stream::iter(copies).buffer_unordered(CONCURRENCY).try_collect::<()>().await?;
        self.target.put_manifest(self.name, digest.as_str(), raw).await
    }

    async fn blob(&self, blob: &Descriptor, totals: &Totals) -> Result<()> {
        let has_it = match self.target.has_blob(self.name, &blob.digest).await {
            // Without the permission to ask, it is sent.
            Err(error) if error.kind() == RegistryErrorKind::Denied => false,
            found => found?,
        };
        let total = match has_it {
            true => &totals.skipped,
            false => match self.send(blob).await? {
                BlobUpload::Uploaded => &totals.uploaded,
                BlobUpload::Mounted => &totals.mounted,
            },
        };
        total.fetch_add(blob.size, Ordering::Relaxed);
        Ok(())
    }

    async fn send(&self, blob: &Descriptor) -> Result<BlobUpload> {
        if let Some(source) = self.mount_from {
            match self.upload(blob, Some(source), None).await {
                Err(error) if error.kind() == RegistryErrorKind::Denied => {}
                result => return result,
            }
        }
        // What the source refuses is told before the target waits for it.
        match self.source.open(blob).await {
            Ok(download) => self.upload(blob, None, Some(download)).await,
            // Such a layer is in no registry, and is pulled from the addresses in its descriptor.
            Err(error) if error.kind() == RegistryErrorKind::NotFound && blob.is_nondistributable() => {
                Ok(BlobUpload::Mounted)
            }
            Err(error) => Err(error),
        }
    }

    async fn upload(
        &self,
        blob: &Descriptor,
        source: Option<&RepositoryName>,
        download: Option<Download>,
    ) -> Result<BlobUpload> {
        let first = Mutex::new(download);
        let (requests, mut requested) = mpsc::unbounded_channel();
        let body = || {
            let (sender, chunks) = mpsc::channel(CHUNKS);
            // The other end is open as long as the upload is under way.
            let _ = requests.send(sender);
            Ok(body(chunks, self.on_sent.clone()))
        };
        // Each attempt to upload has a download of its own. Both are part of this future, so that they end together.
        let downloads = async {
            while let Some(chunks) = requested.recv().await {
                let download = lock(&first).take();
                let download = download.unwrap_or_else(|| Download::new(self.source.clone(), blob.clone()));
                download.send_to(&chunks).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            uploaded = self.target.put_blob(self.name, (&blob.digest, blob.size), source, body) => uploaded,
            never = downloads => never,
        }
    }

    /// Copies what refers to an image.
    async fn artifacts(&self, digest: &Digest, totals: &Totals) -> Result<()> {
        match self.source.referrers(digest).await? {
            Some(referrers) => {
                for referrer in referrers {
                    totals.artifacts.fetch_add(1, Ordering::Relaxed);
                    self.manifest(referrer.digest, totals).await?;
                }
            }
            None => drop(totals.is_without_referrers.fetch_add(1, Ordering::Relaxed)),
        }
        for suffix in SUFFIXES {
            self.tagged(&format!("sha256-{}.{suffix}", digest.hex()), totals).await?;
        }
        Ok(())
    }

    /// Copies an artifact under its tag, if there is one.
    async fn tagged(&self, tag: &str, totals: &Totals) -> Result<()> {
        let Some(raw) = self.source.raw_manifest(tag).await? else { return Ok(()) };
        let Ok(tag) = tag.parse::<ImageTag>() else { return Ok(()) };
        totals.artifacts.fetch_add(1, Ordering::Relaxed);
        self.content(&raw, totals).await?;
        match self.target.put_manifest(self.name, tag.as_str(), &raw).await {
            // The target has one of its own, which may have further signatures.
            Err(error) if error.kind() == RegistryErrorKind::ImmutableTag => Ok(()),
            result => result,
        }
    }
}

/// Each blob once: a manifest may list one several times.
fn distinct<'a>(blobs: impl Iterator<Item = &'a Descriptor>) -> Vec<&'a Descriptor> {
    let mut seen = BTreeSet::new();
    blobs.filter(|it| seen.insert(&it.digest)).collect()
}
