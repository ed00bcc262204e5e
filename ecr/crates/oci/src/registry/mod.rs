//! Clients of the OCI distribution API: [`RegistryClient`] pushes to ECR, [`RemoteRepository`] pulls base images from any
//! registry.
//!
//! [`RegistryClient`] follows the behaviour of ECR: it sends Basic credentials with the first request, checks for a blob with
//! HEAD, uploads it with POST and one PUT (ECR returns an outdated `Range` for chunked PATCH requests), and puts the manifest
//! last.

use std::fmt;

use ecr_types::{Digest, Manifest, RepositoryName, media_type};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, StatusCode};
use tokio::time::Instant;

mod challenge;
mod copy;
mod credentials;
mod endpoint;
mod error;
mod location;
mod partial;
mod pull;
mod push;
mod source;
mod token;

pub use copy::{Copied, ImageCopy};
pub use credentials::{Authorization, Renew};
pub use error::{RegistryError, RegistryErrorKind};
pub use pull::RemoteRepository;
pub use push::{BlobUpload, OnSent};

use crate::http::{HttpClient, HttpError, Response, empty};
use credentials::Credentials;
use endpoint::Endpoint;
use error::Cause;

/// The maximum size of a manifest in bytes (ECR's service model, `ImageManifest`).
const MAX_MANIFEST: usize = 4_194_304;
/// The header with the digest of a manifest or blob.
const CONTENT_DIGEST: &str = "docker-content-digest";

type Result<T> = std::result::Result<T, RegistryError>;

/// A client of the registry at one host, with credentials that are renewed when needed.
///
/// Requests are retried as in [`HttpClient::retry`]. After a response with the status 401 or 403 the credentials are renewed,
/// once.
pub struct RegistryClient {
    endpoint: Endpoint,
    credentials: Credentials,
}

/// The image or index to which a tag or digest refers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteImage {
    /// The digest of the manifest or index.
    pub digest: Digest,
    /// The digest of the config, which Docker calls the image ID; `None` for an index.
    pub config: Option<Digest>,
}

impl fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryClient {{ {} }}", self.endpoint.host)
    }
}

impl RegistryClient {
    /// A client of the registry at `host`, which is the part of `repositoryUri` before the slash. Requests to a host on loopback
    /// use plain HTTP. `first` is used until it expires or is rejected, then `renew` is called.
    ///
    /// # Errors
    /// The host cannot be part of a URL.
    pub fn new(http: HttpClient, host: &str, first: Authorization, renew: Renew) -> Result<Self> {
        Ok(Self { endpoint: Endpoint::new(http, host)?, credentials: Credentials::new(first, renew) })
    }

    /// The same client, for a registry that names itself by `alias`, too: uploads that it begins there are continued at the host
    /// of this client. A private registry of ECR has further hosts for FIPS and for dual-stack.
    #[must_use]
    pub fn with_alias(mut self, alias: &str) -> Self {
        self.endpoint.alias = Some(alias.to_owned()).filter(|it| *it != self.endpoint.host);
        self
    }

    /// The digest of the manifest to which `reference`, a tag or a digest, refers (HEAD request); `None` if there is no such
    /// image. If the response has no `Docker-Content-Digest`, which the specification does not require, the manifest is read.
    ///
    /// # Errors
    /// The registry returns an error other than 404 or another manifest than that of the digest, or there is no response.
    pub async fn digest(&self, name: &RepositoryName, reference: &str) -> Result<Option<Digest>> {
        let action = format!("look up `{name}:{reference}`");
        let response = self.ask_for_manifest(&action, Method::HEAD, name, reference).await?;
        match response.status() {
            StatusCode::OK => match content_digest(&response) {
                Some(found) => require_digest(&action, reference, &found).map(|()| Some(found)),
                None => Ok(self.image(name, reference).await?.map(|it| it.digest)),
            },
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(RegistryError::of(&action, response).await),
        }
    }

    /// Reads the manifest to which `reference`, a tag or a digest, refers; `None` if there is no such image. ECR counts this as a
    /// pull.
    ///
    /// # Errors
    /// The registry returns an error other than 404, the manifest is not valid, larger than 4 MiB or another one than that of
    /// the digest, or there is no response.
    pub async fn image(&self, name: &RepositoryName, reference: &str) -> Result<Option<RemoteImage>> {
        let action = format!("read `{name}:{reference}`");
        let Some(bytes) = self.manifest(&action, name, reference).await? else { return Ok(None) };
        let manifest = Manifest::parse(&bytes, None).map_err(|it| RegistryError::new(&action, it))?;
        let config = match manifest {
            Manifest::Image(image) => Some(image.config.digest),
            Manifest::Index(_) => None,
        };
        let digest = Digest::of(&bytes);
        require_digest(&action, reference, &digest)?;
        Ok(Some(RemoteImage { digest, config }))
    }

    /// The bytes of a manifest; `None` if there is no such image. A body that breaks off is read anew.
    async fn manifest(&self, action: &str, name: &RepositoryName, reference: &str) -> Result<Option<Bytes>> {
        let mut attempts = self.endpoint.http.attempts();
        loop {
            let began = Instant::now();
            let response = self.ask_for_manifest(action, Method::GET, name, reference).await?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(None),
                _ => return Err(RegistryError::of(action, response).await),
            }
            match response.into_body().read(MAX_MANIFEST).await {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(error) if attempts.again(&error, began.elapsed()).await => {}
                Err(error) => return Err(RegistryError::new(action, error)),
            }
        }
    }

    /// Whether the repository has a blob (HEAD request). The result is `false`, too, if the response is not about the blob, so
    /// that the blob is uploaded.
    ///
    /// # Errors
    /// The registry returns an error ([`RegistryErrorKind::Denied`] if the permission is missing), or there is no response.
    pub async fn has_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<bool> {
        let action = format!("look up the blob {} in `{name}`", digest.short());
        let url = self.endpoint.url(&format!("/v2/{name}/blobs/{digest}"));
        let response = self.retry(&action, async |authorization| {
            let request = self.endpoint.request(Method::HEAD, &url, Some(authorization));
            self.endpoint.http.send(request.body(empty())).await
        });
        let response = response.await?;
        match response.status() {
            // ECR redirects to the URL of an existing blob.
            status if status.is_redirection() => Ok(true),
            StatusCode::OK => {
                let is_other = content_digest(&response).is_some_and(|it| it != *digest);
                Ok(!is_other && !is_page(&response))
            }
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(RegistryError::of(&action, response).await),
        }
    }

    async fn ask_for_manifest(
        &self,
        action: &str,
        method: Method,
        name: &RepositoryName,
        reference: &str,
    ) -> Result<Response> {
        let url = self.endpoint.url(&format!("/v2/{name}/manifests/{reference}"));
        let attempt = async |authorization: &str| {
            let request = self.endpoint.request(method.clone(), &url, Some(authorization));
            let request = request.header(ACCEPT, media_type::MANIFESTS.join(", "));
            self.endpoint.http.send(request.body(empty())).await
        };
        self.retry(action, attempt).await
    }

    /// Makes attempts with the current authorization. If it is rejected, it may have expired or have been revoked: it is renewed,
    /// once.
    async fn retry(
        &self,
        action: &str,
        attempt: impl AsyncFn(&str) -> std::result::Result<Response, HttpError>,
    ) -> Result<Response> {
        let unauthorized = |it| RegistryError::new(action, Cause::Credentials(it));
        let mut authorization = self.credentials.get().await.map_err(unauthorized)?;
        loop {
            let response = self.endpoint.http.retry(async || attempt(&authorization).await).await;
            let response = response.map_err(|it| RegistryError::new(action, it))?;
            if !matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                return Ok(response);
            }
            match self.credentials.instead_of(&authorization).await.map_err(unauthorized)? {
                Some(renewed) => authorization = renewed,
                None => return Ok(response),
            }
        }
    }
}

/// The digest in the headers of a response, if it has one.
fn content_digest(response: &Response) -> Option<Digest> {
    response.headers().get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

/// Whether a response is a page for people, such as that of a proxy. No registry answers with one.
fn is_page(response: &Response) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    content_type.is_some_and(|it| it.starts_with("text/html"))
}

/// Checks the digest of a manifest that was asked for by `reference`, if that is a digest.
fn require_digest(action: &str, reference: &str, found: &Digest) -> Result<()> {
    match reference.parse::<Digest>() {
        Ok(asked) if asked != *found => {
            Err(RegistryError::unexpected(action, format!("the digest is {found}, not {asked}")))
        }
        _ => Ok(()),
    }
}
