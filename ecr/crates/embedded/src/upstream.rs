//! Pull-through cache: images of an upstream registry that are fetched when they are pulled by tag (Amazon ECR user guide,
//! "Pull through cache"). Only an upstream on loopback that wants no credentials is asked, such as `127.0.0.1:5000`: this
//! server contacts nothing else.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ecr_types::media_type::MANIFESTS;
use ecr_types::{Descriptor, Digest, Manifest, RepositoryName, namespace};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::access::{Access, Target};
use super::creation::{self, Scenario};
use super::distribution::Registry;
use super::images::{self, MAX_MANIFEST, NewImage, PutError};
use super::model::{Image, Repository};
use super::store::{Queries, Store};
use super::uploads::{self, PartRules};

/// The time for which a cached image is served without asking the upstream registry, in seconds.
const FRESH: f64 = 24.0 * 60.0 * 60.0;
/// The maximum time of an answer of the upstream registry.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Fetches an image that a rule is about, if it is not cached or was not looked for within a day. What cannot be fetched is not
/// an error: then the cached image is served, or none is found.
pub async fn refresh(registry: &Registry, name: &RepositoryName, tag: &str) {
    // An image is not fetched by digest (aws/containers-roadmap#2837).
    if tag.parse::<Digest>().is_ok() {
        return;
    }
    let fetched = async {
        match Upstream::of(registry, name)? {
            Some(upstream) if upstream.is_due(tag)? => {
                tokio::time::timeout(TIMEOUT, upstream.fetch(tag)).await?
            }
            _ => Ok(()),
        }
    };
    let _: Result<()> = fetched.await;
}

/// A repository of an upstream registry, and where it is cached.
struct Upstream<'a> {
    registry: &'a Registry,
    name: &'a RepositoryName,
    /// The URL of the repository: `http://HOST/v2/NAME`.
    url: String,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl<'a> Upstream<'a> {
    fn of(registry: &'a Registry, name: &'a RepositoryName) -> Result<Option<Self>> {
        let rules = registry.shared.store.read()?.registry(&registry.key)?.cache_rules;
        let Some(rule) =
            namespace::longest(rules.iter().map(|(prefix, it)| (prefix.as_str(), it)), name.as_str())
        else {
            return Ok(None);
        };
        let host = rule["upstreamRegistryUrl"].as_str().unwrap_or_default();
        if !is_here(&format!("http://{host}")) {
            return Ok(None);
        }
        let url = format!("http://{host}/v2/{}", upstream_name(rule, name.as_str()));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Some(Self { registry, name, url, client }))
    }

    /// Whether the upstream registry is to be asked for a tag.
    fn is_due(&self, tag: &str) -> Result<bool> {
        let rows = self.registry.shared.store.read()?;
        let Some(repository) = rows.repository(&self.registry.key, self.name)? else { return Ok(true) };
        let Ok(tag) = tag.parse() else { return Ok(false) };
        let Some(digest) = rows.tagged(repository.id, &tag)? else { return Ok(true) };
        let checked_at = rows.image(repository.id, &digest)?.and_then(|it| it.checked_at);
        Ok(checked_at.is_some_and(|it| self.registry.shared.now() - it >= FRESH))
    }

    /// Fetches a tag with everything that its manifest names.
    async fn fetch(&self, tag: &str) -> Result<()> {
        self.permit("BatchImportUpstreamImage")?;
        let (text, media_type) = self.manifest(tag).await?;
        let repository = self.repository()?;
        let manifest = Manifest::parse(&text, Some(&media_type))?;
        for child in manifest.children() {
            let (text, media_type) = self.manifest(child.digest.as_str()).await?;
            ensure!(Digest::of(&text) == child.digest, "the upstream registry sent another manifest");
            self.store(&repository, text, media_type, None).await?;
        }
        self.store(&repository, text, media_type, Some(tag)).await
    }

    fn permit(&self, operation: &str) -> Result<()> {
        let Registry { shared, key, caller, .. } = self.registry;
        let rows = shared.store.read()?;
        let (record, repository) = (rows.registry(key)?, rows.repository(key, self.name)?);
        let target = Some(Target { name: self.name, repository: repository.as_ref() });
        match (Access { registry: key, record: &record, caller, operation, target }).denial(shared) {
            Some(message) => bail!(message),
            None => Ok(()),
        }
    }

    /// The repository of the cache, which is created.
    fn repository(&self) -> Result<Repository> {
        let Registry { shared, key, .. } = self.registry;
        let found = shared.store.read()?.repository(key, self.name)?;
        if let Some(repository) = found {
            return Ok(repository);
        }
        self.permit("CreateRepository")?;
        let created = shared.store.write(|it| match it.repository(key, self.name)? {
            Some(repository) => Ok(Some(repository)),
            None => creation::create(it, key, self.name, Scenario::Cache, shared.now()),
        });
        created?.context("the template of the repository cannot be applied")
    }

    /// Stores a manifest with its blobs.
    async fn store(
        &self,
        repository: &Repository,
        text: Vec<u8>,
        media_type: String,
        tag: Option<&str>,
    ) -> Result<()> {
        let Registry { shared, key, .. } = self.registry;
        for blob in Manifest::parse(&text, Some(&media_type))?.blobs().filter(|it| !it.is_nondistributable())
        {
            if shared.store.read()?.layer(repository.id, &blob.digest)?.is_none() {
                self.blob(blob).await?;
            }
        }
        let (digest, now) = (Digest::of(&text), shared.now());
        let new = NewImage {
            tag: tag.map(str::parse).transpose()?,
            digest: None,
            media_type: Some(media_type),
            bytes: text,
        };
        match images::put(&shared.store, key, self.name, new, now) {
            // An immutable tag keeps its image.
            Ok(_) | Err(PutError::TagImmutable { .. }) => {}
            Err(PutError::Internal(error)) => return Err(error),
            Err(error) => bail!("the upstream registry's manifest is refused: {error:?}"),
        }
        shared.store.write(|transaction| match transaction.image(repository.id, &digest)? {
            Some(image) => {
                let image = Image { checked_at: Some(now), ..image };
                transaction.put_image(repository.id, &digest, &image)
            }
            None => Ok(()),
        })
    }

    /// The text and the media type of a manifest.
    async fn manifest(&self, reference: &str) -> Result<(Vec<u8>, String)> {
        let response = self.get(&format!("{}/manifests/{reference}", self.url)).await?;
        let media_type = response.headers().get("content-type").and_then(|it| it.to_str().ok());
        let media_type = media_type.unwrap_or_default().to_owned();
        let body = Limited::new(response.into_body(), MAX_MANIFEST).collect().await;
        let body = body.map_err(|it| anyhow::anyhow!(it))?;
        Ok((body.to_bytes().to_vec(), media_type))
    }

    /// Fetches a blob to the repository of the cache.
    async fn blob(&self, blob: &Descriptor) -> Result<()> {
        let Registry { shared, key, .. } = self.registry;
        let mut body = self.get(&format!("{}/blobs/{}", self.url, blob.digest)).await?.into_body();
        let id = shared.begin_upload(key, self.name)?;
        let guard = shared.take_upload(key, self.name, &id).context("the upload is gone")?;
        let mut upload = guard.into_upload();
        // Also if this future is dropped, because it takes too long.
        let unfinished = Unfinished { store: &shared.store, id: &id };
        let mut file = upload.open()?;
        while let Some(frame) = body.frame().await {
            if let Ok(bytes) = frame?.into_data() {
                upload.write(&mut file, &bytes)?;
                ensure!(upload.size() <= blob.size, "{} is larger than its descriptor says", blob.digest);
            }
        }
        std::mem::forget(unfinished);
        let is_wanted = |it: &Digest| *it == blob.digest;
        match uploads::complete(&shared.store, (&id, &upload), PartRules::Oci, is_wanted) {
            Ok(_) => Ok(()),
            Err(error) => bail!(error.sentence(self.name.as_str(), &id, key.account.as_str())),
        }
    }

    /// Follows one redirect, to loopback only.
    async fn get(&self, url: &str) -> Result<Response<Incoming>> {
        let mut url = url.to_owned();
        for _ in 0..2 {
            let request = Request::get(&url).header("accept", MANIFESTS.join(", ")).body(Empty::new())?;
            let response = self.client.request(request).await?;
            let location = response.headers().get("location").and_then(|it| it.to_str().ok());
            match location.filter(|_| response.status().is_redirection()) {
                Some(location) => location.clone_into(&mut url),
                None if response.status().is_success() => return Ok(response),
                None => bail!("{url} was answered with {}", response.status()),
            }
            ensure!(is_here(&url), "{url} is not on loopback");
        }
        bail!("{url} redirects again")
    }
}

/// An upload that is discarded when it is dropped.
struct Unfinished<'a> {
    store: &'a Store,
    id: &'a str,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.store.discard(self.id);
    }
}

/// Whether a URL is one of plain HTTP whose host is this machine: `localhost` or an address on loopback. Names below `localhost`
/// are not, as the resolver of the system may look for them elsewhere.
pub fn is_here(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let is_plain = uri.authority().is_some_and(|it| !it.as_str().contains('@'));
    let host = uri.host().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    is_plain
        && uri.scheme_str() == Some("http")
        && (host == "localhost" || address.is_ok_and(|it| it.is_loopback()))
}

/// The name of a repository in the upstream registry (Amazon ECR user guide, "Customizing repository prefixes").
fn upstream_name(rule: &Value, name: &str) -> String {
    let prefix = rule["ecrRepositoryPrefix"].as_str().unwrap_or_default();
    let rest = name.strip_prefix(prefix).and_then(|it| it.strip_prefix('/')).unwrap_or(name);
    match rule["upstreamRepositoryPrefix"].as_str() {
        None | Some("ROOT") => rest.to_owned(),
        Some(upstream) => format!("{}/{rest}", upstream.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn upstream_is_on_this_machine() {
        for url in ["http://127.0.0.1:5000/v2/", "http://localhost:5000", "http://[::1]:5000/"] {
            assert!(is_here(url), "{url}");
        }
        for url in [
            "http://169.254.169.254/latest?.localhost",
            "http://evil.example/.localhost",
            "http://evil.example?.localhost/",
            "http://localhost@evil.example/",
            "http://registry.localhost:5000/",
            "https://127.0.0.1/",
            "127.0.0.1:5000",
        ] {
            assert!(!is_here(url), "{url}");
        }
    }

    #[test]
    fn upstream_name_has_the_prefix_of_the_rule() {
        for (prefix, upstream, name, wanted) in [
            ("ecr-public", "ROOT", "ecr-public/my-app/image1", "my-app/image1"),
            ("ROOT", "ROOT", "my-app/image1", "my-app/image1"),
            ("team-a", "team-a", "team-a/myapp/image1", "team-a/myapp/image1"),
            ("my-app", "upstream-app", "my-app/image1", "upstream-app/image1"),
        ] {
            let rule = json!({"ecrRepositoryPrefix": prefix, "upstreamRepositoryPrefix": upstream});
            assert_eq!(upstream_name(&rule, name), wanted);
        }
    }
}
