//! Pulling images from any registry, with anonymous, Basic or Bearer authentication.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ecr_types::url::redacted;
use ecr_types::{Descriptor, Digest, media_type};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, RANGE, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::challenge::{self, Challenge};
use super::endpoint::Endpoint;
use super::error::Cause;
use super::location::redirection;
use super::partial::PartialBlob;
use super::token::TokenRequest;
use super::{MAX_MANIFEST, RegistryError, Result};
use crate::credentials::Credentials;
use crate::http::{HttpClient, HttpError, Response, empty};
use crate::reference::Reference;

/// A client that reads one repository of any registry. It authenticates as the registry's challenge requires.
#[derive(Debug)]
pub struct RemoteRepository {
    endpoint: Endpoint,
    name: String,
    credentials: Option<Credentials>,
    /// The header `Authorization` for each origin that has required it: the registry, and where it redirects to.
    authorizations: tokio::sync::Mutex<BTreeMap<String, String>>,
    /// What it reads, for messages.
    noun: &'static str,
}

/// A GET request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Get<'a> {
    pub(super) url: &'a Url,
    pub(super) accept: &'a str,
    /// The first byte of the body that is wanted.
    pub(super) from: u64,
    /// Whether the content is verified by a digest, so that it may come from anywhere.
    pub(super) is_verified: bool,
    /// Whether the address comes from a manifest and not from the registry. Its host gets no authorization at all: whoever writes a
    /// base image could otherwise ask for the password (CVE-2020-15157).
    pub(super) is_foreign: bool,
}

impl<'a> Get<'a> {
    /// A request to the registry for content that is not verified.
    pub(super) fn new(url: &'a Url, accept: &'a str) -> Self {
        Self { url, accept, from: 0, is_verified: false, is_foreign: false }
    }

    /// A request for content that is verified by a digest, from its byte `from` on.
    pub(super) fn verified(url: &'a Url, accept: &'a str, from: u64) -> Self {
        Self { from, is_verified: true, ..Self::new(url, accept) }
    }
}

/// The maximum number of redirects, as in Go's client (`net/http`, `defaultCheckRedirect`).
pub(super) const REDIRECTIONS: u32 = 10;
/// The maximum number of origins that may require authorization for one request.
const ORIGINS: usize = 3;

impl RemoteRepository {
    /// A client of the repository of `reference`. Without credentials, access is anonymous.
    ///
    /// # Errors
    /// The host of the reference cannot be part of a URL.
    pub fn new(http: HttpClient, reference: &Reference, credentials: Option<Credentials>) -> Result<Self> {
        let endpoint = Endpoint::new(http, &reference.host)?;
        let (name, authorizations) = (reference.name.clone(), Default::default());
        Ok(Self { endpoint, name, credentials, authorizations, noun: "base image" })
    }

    /// The same client, for images that are no bases.
    #[must_use]
    pub fn of_images(self) -> Self {
        Self { noun: "image", ..self }
    }

    /// The HTTP client of its requests.
    pub(super) fn http(&self) -> &HttpClient {
        &self.endpoint.http
    }

    /// Reading a manifest, for messages.
    pub(super) fn reading(&self, version: &str) -> String {
        let Self { endpoint, name, noun, .. } = self;
        format!("read the {noun} `{name}:{version}` of {}", endpoint.host)
    }

    /// Reads the manifest of a tag or digest. Returns its digest, computed from the bytes, and the bytes.
    ///
    /// # Errors
    /// The registry returns an error or requires credentials, there is no response, or the content does not have the requested
    /// digest.
    pub async fn manifest(&self, version: &str) -> Result<(Digest, Bytes)> {
        let action = self.reading(version);
        let wanted = version.parse::<Digest>().ok();
        let url = self.url(&format!("manifests/{version}"));
        let accept = media_type::MANIFESTS.join(", ");
        let get = Get { is_verified: wanted.is_some(), ..Get::new(&url, &accept) };
        let (_, bytes) = self.read(&action, get).await?;
        let digest = Digest::of(&bytes);
        match wanted {
            Some(wanted) if wanted != digest => {
                Err(RegistryError::unexpected(&action, format!("the content has the digest {digest}")))
            }
            _ => Ok((digest, bytes)),
        }
    }

    /// Downloads a blob into the file `to`, which is created atomically after size and digest were verified. A download that
    /// breaks off is resumed where it ended (RFC 9110, section 14.2), or begun anew if the server does not support that.
    /// `on_received` is called with the number of bytes of each chunk.
    ///
    /// # Errors
    /// The registry returns an error or requires credentials, there is no response, the content does not have the size or the
    /// digest, or the file cannot be written.
    pub async fn blob(&self, blob: &Descriptor, to: &Path, on_received: &(dyn Fn(u64) + Sync)) -> Result<()> {
        let url = self.url(&format!("blobs/{}", blob.digest));
        self.download(&self.fetching(blob), Get::verified(&url, "*/*", 0), blob, to, on_received).await
    }

    /// Downloads a blob from one of the addresses of its descriptor, in their order, as [`RemoteRepository::blob`] does
    /// (OCI image specification, "Content Descriptors", `urls`).
    ///
    /// # Errors
    /// No address has the content. The error is that of the last one.
    pub async fn blob_elsewhere(
        &self,
        blob: &Descriptor,
        to: &Path,
        on_received: &(dyn Fn(u64) + Sync),
    ) -> Result<()> {
        let action = self.fetching(blob);
        let mut result = Err(RegistryError::unexpected(&action, "its descriptor names no HTTP address"));
        for url in blob.urls.iter().filter_map(|it| Url::parse(it).ok()) {
            if !matches!(url.scheme(), "http" | "https") {
                continue;
            }
            let get = Get { is_foreign: true, ..Get::verified(&url, "*/*", 0) };
            let action = format!("{action} from {}", redacted(url.as_str()));
            result = self.download(&action, get, blob, to, on_received).await;
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Fetching a blob, for messages.
    pub(super) fn fetching(&self, blob: &Descriptor) -> String {
        let Self { endpoint, name, noun, .. } = self;
        format!("fetch {} of the {noun} `{name}` of {}", blob.digest.short(), endpoint.host)
    }

    pub(super) fn url(&self, path: &str) -> Url {
        self.endpoint.url(&format!("/v2/{}/{path}", self.name))
    }

    async fn download(
        &self,
        action: &str,
        get: Get<'_>,
        blob: &Descriptor,
        to: &Path,
        on_received: &(dyn Fn(u64) + Sync),
    ) -> Result<()> {
        let mut attempts = self.endpoint.http.attempts();
        let mut part = PartialBlob::new(action, blob, to)?;
        let mut furthest = 0;
        loop {
            let began = Instant::now();
            let response = self.get(action, Get { from: part.received(), ..get }).await?;
            let error = match part.receive(response, on_received).await? {
                None => return part.finish(to),
                Some(error) => error,
            };
            let mut idle = began.elapsed();
            if part.received() > furthest {
                furthest = part.received();
                attempts.renew();
                idle = error.idle().unwrap_or_default();
            }
            if !attempts.again(&error, idle).await {
                return Err(RegistryError::new(action, error));
            }
        }
    }

    /// Reads a whole body, with the headers of its response. A body that breaks off is read anew.
    pub(super) async fn read(&self, action: &str, get: Get<'_>) -> Result<(HeaderMap, Bytes)> {
        let mut attempts = self.endpoint.http.attempts();
        loop {
            let began = Instant::now();
            let (parts, body) = self.get(action, get).await?.into_parts();
            let error = match body.read(MAX_MANIFEST).await {
                Ok(bytes) => return Ok((parts.headers, bytes)),
                Err(error) => error,
            };
            if !attempts.again(&error, began.elapsed()).await {
                return Err(RegistryError::new(action, error));
            }
        }
    }

    /// A GET request. If the registry, or where it redirects to, requires authorization, it is requested and sent, once.
    pub(super) async fn get(&self, action: &str, get: Get<'_>) -> Result<Response> {
        let mut renewed = BTreeSet::new();
        loop {
            let (url, response) = self.follow(action, get).await?;
            match response.status() {
                StatusCode::OK => return Ok(response),
                StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if get.from > 0 => {
                    return Ok(response);
                }
                StatusCode::UNAUTHORIZED
                    if !get.is_foreign && renewed.len() < ORIGINS && renewed.insert(origin(&url)) =>
                {
                    let fresh = self.authorize(action, &url, response).await?;
                    self.authorizations.lock().await.insert(origin(&url), fresh);
                }
                _ => return Err(RegistryError::of(action, response).await),
            }
        }
    }

    /// Follows redirects, with the authorization for each origin. Returns the last address and its response.
    async fn follow(&self, action: &str, get: Get<'_>) -> Result<(Url, Response)> {
        let mut url = get.url.clone();
        for _ in 0..=REDIRECTIONS {
            let authorization = match get.is_foreign {
                true => None,
                false => self.authorizations.lock().await.get(&origin(&url)).cloned(),
            };
            let response = self.attempt(&url, get, authorization.as_deref()).await;
            let response = response.map_err(|it| RegistryError::new(action, it))?;
            if !is_redirection(response.status()) {
                return Ok((url, response));
            }
            let status = response.status();
            let next = redirection(&url, response.headers(), get.is_verified);
            url = next.map_err(|reason| RegistryError::new(action, Cause::Location { status, reason }))?;
        }
        Err(RegistryError::unexpected(action, format!("more than {REDIRECTIONS} redirects")))
    }

    async fn attempt(
        &self,
        url: &Url,
        get: Get<'_>,
        authorization: Option<&str>,
    ) -> std::result::Result<Response, HttpError> {
        let http = &self.endpoint.http;
        let send = async || {
            let mut request = self.endpoint.request(Method::GET, url, None).header(ACCEPT, get.accept);
            if let Some(authorization) = authorization {
                request = request.header(AUTHORIZATION, authorization);
            }
            if get.from > 0 {
                request = request.header(RANGE, format!("bytes={}-", get.from));
            }
            http.send(request.body(empty())).await
        };
        http.retry(send).await
    }

    /// The authorization for the challenges of a response of `url` with the status 401. The credentials are used for the registry
    /// itself only; elsewhere the access is anonymous.
    async fn authorize(&self, action: &str, url: &Url, response: Response) -> Result<String> {
        let is_own = self.endpoint.is_own(url);
        let credentials = self.credentials.as_ref().filter(|_| is_own);
        if let Some(Credentials::RegistryToken(token)) = credentials {
            return Ok(format!("Bearer {token}"));
        }
        let challenges = challenges(response.headers());
        // Bearer is preferred, because docker does so.
        if let Some(bearer) = challenges.iter().find(|it| it.scheme == "bearer") {
            // Elsewhere the repository may have another name.
            let request = TokenRequest::new(bearer, url, Some(self.name.as_str()).filter(|_| is_own));
            let request = request.map_err(|it| RegistryError::unexpected(action, it))?;
            return request.send(action, &self.endpoint.http, credentials).await;
        }
        match credentials.and_then(Credentials::basic) {
            Some(basic) => Ok(basic),
            None if challenges.is_empty() => Err(RegistryError::of(action, response).await),
            None => Err(RegistryError::new(action, Cause::NoCredentials)),
        }
    }
}

/// Scheme, host and port of a URL.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    let values: Vec<_> = values.map(|it| String::from_utf8_lossy(it.as_bytes())).collect();
    challenge::parse(values.iter().map(AsRef::as_ref))
}

/// The statuses that redirect a GET request (RFC 9110, section 15.4).
pub(super) fn is_redirection(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
