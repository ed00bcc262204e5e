//! Base images: pulled once by digest into a cache below `target/`, before anything is built.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use ecr_oci::http::HttpClient;
use ecr_oci::image::base::BaseImage;
use ecr_oci::reference::Reference;
use ecr_oci::registry::RemoteRepository;
use ecr_types::{Digest, ImageIndex, Manifest, Platform};
use serde_json::Value;

use crate::build::docker::credentials_for;
use crate::cli::shell::Shell;

/// The base images of a push, by reference and platform.
#[derive(Default)]
pub(super) struct Bases {
    pulled: BTreeMap<(String, Platform), Result<BaseImage, String>>,
    own: Option<Login>,
}

/// User and password for one registry, in memory.
pub(super) struct Login {
    pub host: String,
    pub credentials: (String, String),
}

/// Where base images are kept.
#[derive(Debug, Clone)]
pub(super) struct BaseCache(pub PathBuf);

impl BaseCache {
    /// Where a manifest, config or layer is.
    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        self.0.join(digest.hex())
    }

    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = std::fs::read(self.path(digest)).ok()?;
        (Digest::of(&bytes) == *digest).then_some(bytes)
    }
}

impl Bases {
    /// None yet. `own` is the login to the registry that is pushed to, which docker's configuration need not know.
    pub(super) fn new(own: Option<Login>) -> Self {
        Self { own, ..Self::default() }
    }

    /// The base of a service; `None` for `scratch`.
    ///
    /// # Errors
    /// Why it could not be pulled.
    pub(super) fn get(&self, name: &str, platform: &Platform) -> Result<Option<&BaseImage>> {
        if name == "scratch" {
            return Ok(None);
        }
        match self.pulled.get(&(name.to_owned(), platform.clone())) {
            Some(Ok(parent)) => Ok(Some(parent)),
            Some(Err(reason)) => bail!("base `{name}`: {reason}"),
            None => bail!("base `{name}` was not pulled for {platform}"),
        }
    }

    /// Pulls what is wanted, each base once. One that fails stops only the services that stand on it.
    pub(super) async fn pull(
        &mut self,
        wanted: impl IntoIterator<Item = (String, Platform)>,
        cache: &BaseCache,
        shell: &Shell,
    ) {
        for (name, platform) in wanted {
            if name != "scratch" && !self.pulled.contains_key(&(name.clone(), platform.clone())) {
                let pulled = pull(&name, &platform, self.own.as_ref(), cache, shell).await;
                self.pulled.insert((name, platform), pulled.map_err(|it| format!("{it:#}")));
            }
        }
    }
}

async fn pull(
    name: &str,
    platform: &Platform,
    own: Option<&Login>,
    cache: &BaseCache,
    shell: &Shell,
) -> Result<BaseImage> {
    let reference: Reference = name.parse().map_err(anyhow::Error::msg)?;
    let credentials = match own.filter(|it| it.host == reference.host) {
        Some(login) => Some(login.credentials.clone()),
        None => {
            let key = reference.credential_key().to_owned();
            tokio::task::spawn_blocking(move || credentials_for(&key)).await.unwrap_or_default()
        }
    };
    let repository = RemoteRepository::new(HttpClient::default(), &reference, credentials);
    let (mut digest, mut manifest) = manifest(&repository, cache, &reference).await?;
    if let Manifest::Index(index) = &manifest {
        digest = of_platform(index, platform)?;
        manifest = by_digest(&repository, cache, &digest).await?;
    }
    let Manifest::Image(manifest) = manifest else { bail!("its index lists an index for {platform}") };
    let config = manifest.config.digest.clone();
    fetch(&repository, cache, &config, shell, name).await?;
    let config = cache.read(&config).context("its config has gone from the cache")?;
    let config: Value = serde_json::from_slice(&config).context("its config is not JSON")?;
    let built_for = config["architecture"].as_str().unwrap_or_default();
    if built_for != platform.architecture {
        bail!("it is built for linux/{built_for}, and the image is for {platform}");
    }
    let parent = BaseImage::new(name, digest, manifest, config)?;
    for layer in &parent.layers {
        fetch(&repository, cache, &layer.digest, shell, name).await?;
    }
    Ok(parent)
}

/// What the reference names: from the cache if it names a digest, as that can hold nothing else.
async fn manifest(
    repository: &RemoteRepository,
    cache: &BaseCache,
    reference: &Reference,
) -> Result<(Digest, Manifest)> {
    if let Some(digest) = &reference.digest {
        return Ok((digest.clone(), by_digest(repository, cache, digest).await?));
    }
    let (digest, bytes) = repository.manifest(reference.version()).await?;
    Ok((digest, Manifest::parse(&bytes, None)?))
}

async fn by_digest(repository: &RemoteRepository, cache: &BaseCache, digest: &Digest) -> Result<Manifest> {
    let bytes = match cache.read(digest) {
        Some(bytes) => bytes,
        None => {
            let (_, bytes) = repository.manifest(digest.as_str()).await?;
            ecr_oci::files::write(&cache.path(digest), &bytes).context("failed to write to the cache")?;
            bytes
        }
    };
    Ok(Manifest::parse(&bytes, None)?)
}

/// Fetches a blob that is not there.
async fn fetch(
    repository: &RemoteRepository,
    cache: &BaseCache,
    digest: &Digest,
    shell: &Shell,
    name: &str,
) -> Result<()> {
    let path = cache.path(digest);
    if !path.exists() {
        shell.status("Pulling", format!("{} of base {name}", digest.short()));
        repository.blob(digest, &path).await?;
    }
    Ok(())
}

/// The image of an index for a platform. A variant counts only where it is asked for.
fn of_platform(index: &ImageIndex, wanted: &Platform) -> Result<Digest> {
    let fits = |found: &Platform| {
        found.os == wanted.os
            && found.architecture == wanted.architecture
            && (wanted.variant.is_none() || found.variant == wanted.variant)
    };
    let found = index.manifests.iter().find(|it| it.platform.as_ref().is_some_and(fits));
    match found {
        Some(descriptor) => Ok(descriptor.digest.clone()),
        None => {
            let platforms = index.manifests.iter().filter_map(|it| it.platform.as_ref());
            let names: Vec<_> = platforms.map(|it| format!("{}/{}", it.os, it.architecture)).collect();
            bail!("it has no image for {wanted}, only for {}", names.join(", "))
        }
    }
}
