//! Base images: pulled by digest into a folder of their own, each blob once.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::time::Duration;

use ecr_types::{Descriptor, Digest, ImageIndex, ImageManifest, InvalidManifest, Manifest, Platform};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value;
use thiserror::Error;

mod cache;
mod select;

pub use cache::BaseCache;

use crate::credentials::{Credentials, Lookup, credentials_for};
use crate::files;
use crate::http::HttpClient;
use crate::image::base::{BaseImage, LayersDiffer};
use crate::reference::Reference;
use crate::registry::{RegistryError, RegistryErrorKind, RemoteRepository};
use select::{Choice, choose, is_config, is_index, parse, platform, platforms};

/// Pulls base images through a cache on disk.
pub struct BaseImages {
    cache: BaseCache,
    http: HttpClient,
    login: Option<Login>,
    source: Source,
}

/// Where an image is pulled from: the reference itself, or that of a mirror.
pub type Source = Box<dyn Fn(&Reference) -> Reference + Send + Sync>;

impl fmt::Debug for BaseImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BaseImages").field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// Credentials for one registry, which are used instead of those in the user's files.
#[derive(Debug, Clone)]
pub struct Login {
    /// The host of the registry, with its port if it has one.
    pub host: String,
    /// The credentials.
    pub credentials: Credentials,
}

/// What happens during a pull.
#[derive(Debug)]
pub enum PullEvent<'a> {
    /// The download of a blob begins.
    Fetching(&'a Descriptor),
    /// So many bytes of a blob have arrived.
    Received(u64),
    /// The credential helper of the registry takes its time.
    WaitingForHelper,
    /// A file with credentials or a credential helper cannot be used. The sentence names it.
    Problem(&'a str),
}

/// A callback for events.
pub type OnPull<'a> = &'a (dyn Fn(PullEvent<'_>) + Sync);

/// The reason for which a base image could not be pulled.
#[derive(Debug, Error)]
pub enum PullError {
    /// The registry returned an error or cannot be reached.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The manifest is not valid.
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    /// The config is not JSON.
    #[error("the base's config is not JSON")]
    Config(#[source] serde_json::Error),
    /// The config is larger than a config can be.
    #[error("the base's config has {0} bytes; at most {MAX_CONFIG} are read")]
    ConfigSize(u64),
    /// The config and the manifest list different numbers of layers.
    #[error(transparent)]
    Layers(#[from] LayersDiffer),
    /// The index has no image for the platform.
    #[error("it has no image for {wanted}, only for {}", listed(.found))]
    NoPlatform {
        /// The requested platform.
        wanted: Platform,
        /// The platforms in the index.
        found: Vec<String>,
    },
    /// The index lists an index for the platform.
    #[error(
        "its index lists another index ({digest}), and not an image, for {wanted}: name an image or an index of images"
    )]
    NestedIndex {
        /// The requested platform.
        wanted: Platform,
        /// The index in the index.
        digest: Digest,
    },
    /// The image is for another platform.
    #[error("it is built for {found}, and the image is for {wanted}")]
    OtherPlatform {
        /// The requested platform.
        wanted: Platform,
        /// The platform in the image's config.
        found: Platform,
    },
    /// The folder of base images cannot be read or written.
    #[error("failed to access the cache of base images")]
    Cache(#[from] io::Error),
}

type Result<T> = std::result::Result<T, PullError>;

/// The maximum size of a config in bytes. Those of real images have a few kilobytes.
const MAX_CONFIG: u64 = 8 * 1024 * 1024;
/// The time after which [`PullEvent::WaitingForHelper`] is sent.
const PATIENCE: Duration = Duration::from_secs(5);
/// The maximum number of layers of one image that are downloaded at the same time, as in docker.
const CONCURRENCY: usize = 3;

impl BaseImages {
    /// Base images that are stored in `cache` and fetched with `http`. `login` is used for its registry; for others the
    /// credentials come from the user's files; see [`credentials_for`].
    pub fn new(cache: BaseCache, http: HttpClient, login: Option<Login>) -> Self {
        Self { cache, http, login, source: Box::new(Reference::clone) }
    }

    /// The same, but each image is pulled from where `source` says. It is still called by its own reference.
    #[must_use]
    pub fn with_source(self, source: Source) -> Self {
        Self { source, ..self }
    }

    /// The digest of the manifest or index that the tag of a reference names now; a digest in the reference is ignored.
    ///
    /// # Errors
    /// The registry returns an error or cannot be reached.
    pub async fn digest(&self, reference: &Reference, on_event: OnPull<'_>) -> Result<Digest> {
        let remote = self.remote(reference, on_event).await?;
        let (digest, _) = remote.manifest(reference.tag.as_deref().unwrap_or("latest")).await?;
        Ok(digest)
    }

    async fn remote(&self, reference: &Reference, on_event: OnPull<'_>) -> Result<RemoteRepository> {
        let source = (self.source)(reference);
        let credentials = self.credentials(&source, on_event).await;
        Ok(RemoteRepository::new(self.http.clone(), &source, credentials)?)
    }

    /// Pulls the image for a platform. Content in the cache is not fetched again.
    ///
    /// # Errors
    /// The registry returns an error or cannot be reached, the image is not valid or not for the platform, or the cache
    /// cannot be written.
    pub async fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        on_event: OnPull<'_>,
    ) -> Result<BaseImage> {
        let remote = self.remote(reference, on_event).await?;
        let pull = Pull { cache: &self.cache, remote, platform, on_event };
        let (digest, manifest, config) = pull.image(reference).await?;
        let base = BaseImage::new(&reference.to_string(), digest, manifest, config)?;
        pull.layers(&base.layers).await?;
        Ok(base)
    }

    async fn credentials(&self, reference: &Reference, on_event: OnPull<'_>) -> Option<Credentials> {
        if let Some(login) = self.login.as_ref().filter(|it| it.host == reference.host) {
            return Some(login.credentials.clone());
        }
        // A credential helper is a program, which may block.
        let reference = reference.clone();
        let mut lookup = tokio::task::spawn_blocking(move || credentials_for(&reference));
        let soon = tokio::time::timeout(PATIENCE, &mut lookup).await;
        let found = match soon {
            Ok(found) => found,
            Err(_) => {
                on_event(PullEvent::WaitingForHelper);
                lookup.await
            }
        };
        let Lookup { credentials, problems } = found.unwrap_or_default();
        problems.iter().for_each(|it| on_event(PullEvent::Problem(it)));
        credentials
    }
}

/// The pull of one image.
struct Pull<'a> {
    cache: &'a BaseCache,
    remote: RemoteRepository,
    platform: &'a Platform,
    on_event: OnPull<'a>,
}

/// The digest of an image, its manifest, and its config.
type Image = (Digest, ImageManifest, Value);

impl Pull<'_> {
    async fn image(&self, reference: &Reference) -> Result<Image> {
        match self.manifest(reference).await? {
            (_, Manifest::Index(index)) => self.of_index(&index).await,
            (digest, Manifest::Image(manifest)) => {
                let config = self.config(&manifest.config).await?;
                let (wanted, found) = (self.platform.clone(), platform(&config, self.platform));
                match wanted.distance(&found) {
                    Some(_) => Ok((digest, manifest, config)),
                    None => Err(PullError::OtherPlatform { wanted, found }),
                }
            }
        }
    }

    async fn of_index(&self, index: &ImageIndex) -> Result<Image> {
        match choose(index, self.platform) {
            Choice::Named(entry) => self.named(entry).await,
            Choice::Unnamed(entries) => {
                let found = self.unnamed(&entries).await?;
                let (wanted, found_platforms) = (self.platform.clone(), platforms(index));
                found.ok_or(PullError::NoPlatform { wanted, found: found_platforms })
            }
        }
    }

    /// The image of an entry that names its platform. The config may leave out what the entry says, and may not contradict it.
    async fn named(&self, entry: &Descriptor) -> Result<Image> {
        let (manifest, config) = self.entry(entry).await?;
        let (wanted, found) = (self.platform.clone(), platform(&config, self.platform));
        let is_same =
            found.normalized().architecture == wanted.normalized().architecture && found.os == wanted.os;
        if is_same {
            Ok((entry.digest.clone(), manifest, config))
        } else {
            Err(PullError::OtherPlatform { wanted, found })
        }
    }

    /// The image of the entry whose config fits best. What is no image is an error only if nothing fits.
    async fn unnamed(&self, entries: &[&Descriptor]) -> Result<Option<Image>> {
        let (mut best, mut no_image) = (None::<(usize, Image)>, None);
        for entry in entries {
            let (manifest, config) = match self.entry(entry).await {
                Ok((manifest, _)) if !is_config(&manifest.config.media_type) => continue,
                Ok(found) => found,
                Err(error @ (PullError::NestedIndex { .. } | PullError::Manifest(_))) => {
                    no_image.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let distance = self.platform.distance(&platform(&config, self.platform));
            let is_better = |it: &usize| best.as_ref().is_none_or(|(least, _)| it < least);
            if let Some(distance) = distance.filter(is_better) {
                best = Some((distance, (entry.digest.clone(), manifest, config)));
            }
        }
        match (best, no_image) {
            (None, Some(error)) => Err(error),
            (best, _) => Ok(best.map(|(_, image)| image)),
        }
    }

    async fn entry(&self, entry: &Descriptor) -> Result<(ImageManifest, Value)> {
        let nested =
            || PullError::NestedIndex { wanted: self.platform.clone(), digest: entry.digest.clone() };
        if is_index(entry) {
            return Err(nested());
        }
        let Manifest::Image(manifest) = self.by_digest(&entry.digest).await? else { return Err(nested()) };
        let config = self.config(&manifest.config).await?;
        Ok((manifest, config))
    }

    /// The manifest of the reference. A digest is first looked up in the cache, because its content cannot change.
    async fn manifest(&self, reference: &Reference) -> Result<(Digest, Manifest)> {
        if let Some(digest) = &reference.digest {
            return Ok((digest.clone(), self.by_digest(digest).await?));
        }
        let (digest, bytes) = self.remote.manifest(reference.version()).await?;
        Ok((digest, parse(&bytes)?))
    }

    async fn by_digest(&self, digest: &Digest) -> Result<Manifest> {
        if let Some(bytes) = self.cache.read(digest) {
            return Ok(parse(&bytes)?);
        }
        let (_, bytes) = self.remote.manifest(digest.as_str()).await?;
        files::write(&self.cache.path(digest), &bytes)?;
        Ok(parse(&bytes)?)
    }

    async fn config(&self, config: &Descriptor) -> Result<Value> {
        if config.size > MAX_CONFIG {
            return Err(PullError::ConfigSize(config.size));
        }
        self.fetch(config).await?;
        let bytes = fs::read(self.cache.path(&config.digest))?;
        serde_json::from_slice(&bytes).map_err(PullError::Config)
    }

    async fn layers(&self, layers: &[Descriptor]) -> Result<()> {
        // An image may have a layer twice.
        let mut seen = BTreeSet::new();
        let layers = layers.iter().filter(|it| seen.insert(&it.digest)).map(|it| self.fetch(it));
        stream::iter(layers).buffer_unordered(CONCURRENCY).try_collect().await
    }

    /// Fetches a blob that is not in the cache. A layer that the registry does not hold is fetched from the addresses of its
    /// descriptor (OCI image specification, "Non-Distributable Layers").
    async fn fetch(&self, blob: &Descriptor) -> Result<()> {
        if self.cache.has(blob) {
            return Ok(());
        }
        (self.on_event)(PullEvent::Fetching(blob));
        let (path, on_event) = (self.cache.path(&blob.digest), self.on_event);
        let on_received = move |bytes| on_event(PullEvent::Received(bytes));
        match self.remote.blob(blob, &path, &on_received).await {
            Err(error) if error.kind() == RegistryErrorKind::NotFound && !blob.urls.is_empty() => {
                Ok(self.remote.blob_elsewhere(blob, &path, &on_received).await?)
            }
            result => Ok(result?),
        }
    }
}

fn listed(platforms: &[String]) -> String {
    if platforms.is_empty() { "platforms that it does not name".to_owned() } else { platforms.join(", ") }
}
