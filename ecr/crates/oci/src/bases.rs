//! Base images: pulled by digest into a folder of their own, each blob once.

use std::fs;
use std::io;
use std::path::PathBuf;

use ecr_types::{Digest, ImageIndex, InvalidManifest, Manifest, Platform};
use serde_json::Value;
use thiserror::Error;

use crate::credentials::{Credentials, credentials_for};
use crate::files;
use crate::http::HttpClient;
use crate::image::base::{BaseImage, LayersDiffer};
use crate::reference::Reference;
use crate::registry::{RegistryError, RemoteRepository};

/// Pulls base images through a cache on disk.
#[derive(Debug)]
pub struct BaseImages {
    cache: BaseCache,
    http: HttpClient,
    login: Option<Login>,
}

/// Manifests, configs and layers of base images, each in a file named by its digest.
#[derive(Debug, Clone)]
pub struct BaseCache(PathBuf);

/// Credentials for one registry, which are used instead of those in the configuration of Docker.
#[derive(Debug, Clone)]
pub struct Login {
    /// The host of the registry, with its port if it has one.
    pub host: String,
    /// User and password.
    pub credentials: Credentials,
}

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
    /// The config and the manifest list different numbers of layers.
    #[error(transparent)]
    Layers(#[from] LayersDiffer),
    /// The index has no image for the platform.
    #[error("it has no image for {wanted}, only for {}", .found.join(", "))]
    NoPlatform {
        /// The requested platform.
        wanted: Platform,
        /// The platforms in the index.
        found: Vec<String>,
    },
    /// The index lists an index for the platform.
    #[error("its index lists another index for {0}")]
    NestedIndex(Platform),
    /// The image is for another platform.
    #[error("it is built for linux/{found}, and the image is for {wanted}")]
    OtherPlatform {
        /// The requested platform.
        wanted: Platform,
        /// The architecture in the image's config.
        found: String,
    },
    /// The folder of base images cannot be read or written.
    #[error("failed to access the cache of base images")]
    Cache(#[from] io::Error),
}

type Result<T> = std::result::Result<T, PullError>;

impl BaseCache {
    /// The cache in `folder`, which is created when the first file is stored.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The path of the manifest, config or layer with this digest, whether or not it is stored.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.0.join(digest.hex())
    }

    /// The content with this digest; `None` if it is not stored or damaged.
    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = fs::read(self.path(digest)).ok()?;
        (Digest::of(&bytes) == *digest).then_some(bytes)
    }
}

impl BaseImages {
    /// Base images that are stored in `cache` and fetched with `http`. `login` is used for its registry; for others the
    /// credentials come from the configuration of Docker.
    pub fn new(cache: BaseCache, http: HttpClient, login: Option<Login>) -> Self {
        Self { cache, http, login }
    }

    /// Pulls the image for a platform. Content in the cache is not fetched again. `on_fetch` is called before each blob that
    /// is fetched.
    ///
    /// # Errors
    /// The registry returns an error or cannot be reached, the image is not valid or not for the platform, or the cache
    /// cannot be written.
    pub async fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        on_fetch: impl Fn(&Digest),
    ) -> Result<BaseImage> {
        let credentials = self.credentials(reference).await;
        let remote = RemoteRepository::new(self.http.clone(), reference, credentials);
        let (mut digest, mut manifest) = self.manifest(&remote, reference).await?;
        if let Manifest::Index(index) = &manifest {
            digest = of_platform(index, platform)?;
            manifest = self.by_digest(&remote, &digest).await?;
        }
        let Manifest::Image(manifest) = manifest else {
            return Err(PullError::NestedIndex(platform.clone()));
        };
        let config = self.config(&remote, &manifest.config.digest, &on_fetch).await?;
        let found = config["architecture"].as_str().unwrap_or_default();
        if found != platform.architecture {
            let (wanted, found) = (platform.clone(), found.to_owned());
            return Err(PullError::OtherPlatform { wanted, found });
        }
        let base = BaseImage::new(&reference.to_string(), digest, manifest, config)?;
        for layer in &base.layers {
            self.fetch(&remote, &layer.digest, &on_fetch).await?;
        }
        Ok(base)
    }

    async fn credentials(&self, reference: &Reference) -> Option<Credentials> {
        if let Some(login) = self.login.as_ref().filter(|it| it.host == reference.host) {
            return Some(login.credentials.clone());
        }
        // A credential helper is a program, which may block.
        let key = reference.credential_key().to_owned();
        tokio::task::spawn_blocking(move || credentials_for(&key)).await.unwrap_or_default()
    }

    /// The manifest of the reference. A digest is first looked up in the cache, because its content cannot change.
    async fn manifest(&self, remote: &RemoteRepository, reference: &Reference) -> Result<(Digest, Manifest)> {
        if let Some(digest) = &reference.digest {
            return Ok((digest.clone(), self.by_digest(remote, digest).await?));
        }
        let (digest, bytes) = remote.manifest(reference.version()).await?;
        Ok((digest, Manifest::parse(&bytes, None)?))
    }

    async fn by_digest(&self, remote: &RemoteRepository, digest: &Digest) -> Result<Manifest> {
        let bytes = match self.cache.read(digest) {
            Some(bytes) => bytes,
            None => {
                let (_, bytes) = remote.manifest(digest.as_str()).await?;
                files::write(&self.cache.path(digest), &bytes)?;
                bytes
            }
        };
        Ok(Manifest::parse(&bytes, None)?)
    }

    async fn config(
        &self,
        remote: &RemoteRepository,
        digest: &Digest,
        on_fetch: &impl Fn(&Digest),
    ) -> Result<Value> {
        self.fetch(remote, digest, on_fetch).await?;
        let bytes = fs::read(self.cache.path(digest))?;
        serde_json::from_slice(&bytes).map_err(PullError::Config)
    }

    /// Fetches a blob that is not in the cache.
    async fn fetch(
        &self,
        remote: &RemoteRepository,
        digest: &Digest,
        on_fetch: &impl Fn(&Digest),
    ) -> Result<()> {
        let path = self.cache.path(digest);
        if !path.exists() {
            on_fetch(digest);
            remote.blob(digest, &path).await?;
        }
        Ok(())
    }
}

/// The image of an index for a platform. Variants are compared only if `wanted` has one.
fn of_platform(index: &ImageIndex, wanted: &Platform) -> Result<Digest> {
    let fits = |found: &Platform| {
        found.os == wanted.os
            && found.architecture == wanted.architecture
            && (wanted.variant.is_none() || found.variant == wanted.variant)
    };
    let image = index.manifests.iter().find(|it| it.platform.as_ref().is_some_and(fits));
    match image {
        Some(descriptor) => Ok(descriptor.digest.clone()),
        None => {
            let platforms = index.manifests.iter().filter_map(|it| it.platform.as_ref());
            let found = platforms.map(|it| format!("{}/{}", it.os, it.architecture)).collect();
            Err(PullError::NoPlatform { wanted: wanted.clone(), found })
        }
    }
}
