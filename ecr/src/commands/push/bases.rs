//! Base images: pulled once by digest into a cache below `target/`, before anything is built.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::distribution::Repository;
use crate::docker::credentials_for;
use crate::image::is_index;
use crate::image::parent::Parent;
use crate::image::reference::Reference;
use crate::metadata::Platform;
use crate::name::Digest;
use crate::shell::Shell;

/// The base images of a push, by reference and platform.
#[derive(Default)]
pub(super) struct Bases {
    pulled: BTreeMap<(String, Platform), Result<Parent, String>>,
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
    pub(super) fn get(&self, name: &str, platform: &Platform) -> Result<Option<&Parent>> {
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
) -> Result<Parent> {
    let reference: Reference = name.parse().map_err(anyhow::Error::msg)?;
    let credentials = match own.filter(|it| it.host == reference.host) {
        Some(login) => Some(login.credentials.clone()),
        None => {
            let key = reference.credential_key().to_owned();
            tokio::task::spawn_blocking(move || credentials_for(&key)).await.unwrap_or_default()
        }
    };
    let repository = Repository::new(&reference, credentials);
    let repository = repository.with_context(|| format!("failed to set up TLS for {}", reference.host))?;
    let (mut digest, mut manifest) = manifest(&repository, cache, &reference).await?;
    if manifest["mediaType"].as_str().is_some_and(is_index) || manifest["manifests"].is_array() {
        digest = of_platform(&manifest, platform)?;
        manifest = by_digest(&repository, cache, &digest).await?;
    }
    let config: Digest = manifest["config"]["digest"].as_str().unwrap_or_default().parse()?;
    fetch(&repository, cache, &config, shell, name).await?;
    let config = cache.read(&config).context("its config has gone from the cache")?;
    let config: Value = serde_json::from_slice(&config).context("its config is no JSON")?;
    let built_for = config["architecture"].as_str().unwrap_or_default();
    if built_for != platform.architecture {
        bail!("it is built for linux/{built_for}, and the image is for {platform}");
    }
    let parent = Parent::read(name, digest, &manifest, config).map_err(anyhow::Error::msg)?;
    for layer in &parent.layers {
        fetch(&repository, cache, &layer.digest, shell, name).await?;
    }
    Ok(parent)
}

/// What the reference names: from the cache if it names a digest, as that can hold nothing else.
async fn manifest(
    repository: &Repository,
    cache: &BaseCache,
    reference: &Reference,
) -> Result<(Digest, Value)> {
    if let Some(digest) = &reference.digest {
        return Ok((digest.clone(), by_digest(repository, cache, digest).await?));
    }
    let (digest, bytes) = repository.manifest(reference.version()).await?;
    Ok((digest, serde_json::from_slice(&bytes).context("its manifest is no JSON")?))
}

async fn by_digest(repository: &Repository, cache: &BaseCache, digest: &Digest) -> Result<Value> {
    let bytes = match cache.read(digest) {
        Some(bytes) => bytes,
        None => {
            let (_, bytes) = repository.manifest(digest.as_str()).await?;
            crate::files::write(&cache.path(digest), &bytes).context("failed to write to the cache")?;
            bytes
        }
    };
    serde_json::from_slice(&bytes).context("its manifest is no JSON")
}

/// Fetches a blob that is not there.
async fn fetch(
    repository: &Repository,
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

/// The image of an index for a platform; a variant counts only where it is asked for.
fn of_platform(index: &Value, platform: &Platform) -> Result<Digest> {
    let listed = index["manifests"].as_array().into_iter().flatten();
    let fits = |it: &&Value| {
        let found = &it["platform"];
        let variant = platform.variant.as_deref();
        found["os"] == platform.os.as_str()
            && found["architecture"] == platform.architecture.as_str()
            && variant.is_none_or(|it| found["variant"] == it)
    };
    let digest = listed.clone().find(fits).and_then(|it| it["digest"].as_str());
    match digest {
        Some(digest) => Ok(digest.parse()?),
        None => {
            let name = |it: &Value| {
                let platform = &it["platform"];
                Some(format!("{}/{}", platform["os"].as_str()?, platform["architecture"].as_str()?))
            };
            let names: Vec<_> = listed.filter_map(name).collect();
            bail!("it has no image for {platform}, only for {}", names.join(", "))
        }
    }
}
