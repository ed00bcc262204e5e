//! A client of the OCI distribution API, with ECR's manners: Basic credentials up front, HEAD before upload,
//! POST and then one PUT with the body (ECR answers chunked PATCHes with a stale Range), the manifest last.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::BodyExt;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use hyper::{Method, StatusCode};

mod credentials;
mod error;
mod http;
mod pull;

use credentials::Credentials;
pub use credentials::{Authorization, Renew};
pub use error::RegistryError;
use http::{Answer, Body, Http, empty, file_body, full};
pub use pull::Repository;

use crate::image::blob::{Blob, Content, Manifest};
use crate::name::{Digest, RepositoryName};

/// The registry of one host.
pub struct Registry {
    http: Http,
    host: String,
    credentials: Credentials,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry {{ {} }}", self.host)
    }
}

/// How a blob came into a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// Its bytes were sent.
    Uploaded,
    /// The registry had it in another repository.
    Mounted,
}

/// Called with the number of bytes that were just sent.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// What a manifest may be.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                        application/vnd.docker.distribution.manifest.v2+json, \
                        application/vnd.docker.distribution.manifest.list.v2+json";

/// The most bytes of a manifest (ECR's service model, `ImageManifest`).
const MAX_MANIFEST: usize = 4_194_304;

type Result<T> = std::result::Result<T, RegistryError>;

impl Registry {
    /// The registry at `host` (as in `repositoryUri`, before the slash). A loopback registry is spoken to in plain HTTP.
    pub fn new(host: &str, first: Authorization, renew: Renew) -> std::io::Result<Self> {
        Ok(Self {
            http: Http::new(host)?,
            host: host.to_owned(),
            credentials: Credentials::new(first, renew),
        })
    }

    /// The digest that `reference` (a tag or digest) has there; `None` where there is no such image.
    pub async fn manifest(&self, name: &RepositoryName, reference: &str) -> Result<Option<Digest>> {
        let what = format!("look up `{name}:{reference}`");
        let path = format!("/v2/{name}/manifests/{reference}");
        let answer = self.retry(&what, async |authorization| {
            let request = self.request(Method::HEAD, &path, authorization).header("accept", ACCEPTED);
            self.http.ask(request.body(empty())).await
        });
        let answer = answer.await?;
        match answer.status() {
            StatusCode::OK => {
                let digest = answer.headers().get("docker-content-digest").and_then(|it| it.to_str().ok());
                digest.and_then(|it| it.parse().ok()).map(Some).ok_or_else(|| {
                    RegistryError::unexpected(&what, "an answer without Docker-Content-Digest")
                })
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(RegistryError::of(&what, answer).await),
        }
    }

    /// The digests of a manifest and of the config that it names; `None` where there is no such image. An index names no
    /// config.
    pub async fn image(
        &self,
        name: &RepositoryName,
        reference: &str,
    ) -> Result<Option<(Digest, Option<Digest>)>> {
        let what = format!("read `{name}:{reference}`");
        let path = format!("/v2/{name}/manifests/{reference}");
        let answer = self.retry(&what, async |authorization| {
            let request = self.request(Method::GET, &path, authorization).header("accept", ACCEPTED);
            self.http.ask(request.body(empty())).await
        });
        let answer = answer.await?;
        match answer.status() {
            StatusCode::OK => {
                let body = http_body_util::Limited::new(answer.into_body(), MAX_MANIFEST).collect().await;
                let bytes = body.map_err(|it| RegistryError::unexpected(&what, &it.to_string()))?.to_bytes();
                let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
                let config = json["config"]["digest"].as_str().and_then(|it| it.parse().ok());
                Ok(Some((Digest::of(&bytes), config)))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(RegistryError::of(&what, answer).await),
        }
    }

    /// Whether the repository has a blob. Where that may not be asked, the answer is no: it is uploaded then.
    pub async fn has_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<bool> {
        let what = format!("look up the blob {} in `{name}`", digest.short());
        let path = format!("/v2/{name}/blobs/{digest}");
        let answer = self.retry(&what, async |authorization| {
            self.http.ask(self.request(Method::HEAD, &path, authorization).body(empty())).await
        });
        let answer = answer.await?;
        match answer.status() {
            // ECR redirects to where the blob can be fetched from: it is there.
            StatusCode::OK | StatusCode::TEMPORARY_REDIRECT => Ok(true),
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(false),
            _ => Err(RegistryError::of(&what, answer).await),
        }
    }

    /// Brings a blob into a repository: from `sibling`, where the registry mounts blobs of other repositories (ECR's account
    /// setting BLOB_MOUNTING) and a manifest there names it; else as an upload, which the refused mount has begun already.
    /// An attempt that breaks off, or that the registry has forgotten, begins anew with an upload of its own.
    pub async fn upload(
        &self,
        name: &RepositoryName,
        blob: &Blob,
        sibling: Option<&RepositoryName>,
        progress: &Progress,
    ) -> Result<Brought> {
        let what = format!("upload the blob {} to `{name}`", blob.digest.short());
        let has_sent = AtomicBool::new(false);
        let answer = self.retry(&what, async |authorization| {
            let mount = sibling.map(|it| (&blob.digest, it));
            let begun = self.begin_upload(name, mount, authorization).await?;
            if begun.status() != StatusCode::ACCEPTED {
                return Ok(begun);
            }
            has_sent.store(true, Ordering::Relaxed);
            let location = begun.headers().get(LOCATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
            let finished = self.finish_upload(location, blob, progress, authorization).await?;
            match finished.status() {
                StatusCode::NOT_FOUND => Err(std::io::Error::other("the registry has forgotten the upload")),
                _ => Ok(finished),
            }
        });
        let answer = answer.await?;
        match answer.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT => match has_sent.into_inner() {
                true => Ok(Brought::Uploaded),
                false => Ok(Brought::Mounted),
            },
            _ => Err(RegistryError::of(&what, answer).await),
        }
    }

    /// Puts a manifest of a media type under a tag or its digest. All that it names must be there.
    pub async fn put_manifest(
        &self,
        name: &RepositoryName,
        reference: &str,
        manifest: &Manifest,
    ) -> Result<()> {
        let what = format!("push `{name}:{reference}`");
        let path = format!("/v2/{name}/manifests/{reference}");
        let answer = self.retry(&what, async |authorization| {
            let request = self.request(Method::PUT, &path, authorization);
            let request = request.header(CONTENT_TYPE, manifest.media_type);
            let request = request.header(CONTENT_LENGTH, manifest.bytes.len());
            self.http.send(request.body(full(manifest.bytes.clone()))).await
        });
        let answer = answer.await?;
        match answer.status() {
            // ECR sends no Location; the digest is ours to know.
            StatusCode::CREATED | StatusCode::OK => Ok(()),
            _ => Err(RegistryError::of(&what, answer).await),
        }
    }

    /// Attempts with the authorization of the moment. One that is refused may have run out, or have been withdrawn: it
    /// is renewed, once.
    async fn retry(
        &self,
        what: &str,
        attempt: impl AsyncFn(&str) -> std::io::Result<Answer>,
    ) -> Result<Answer> {
        let unauthorized = |reason: String| RegistryError::unexpected(what, &reason);
        let mut authorization = self.credentials.get().await.map_err(unauthorized)?;
        loop {
            let answer = self.http.retry(what, async || attempt(&authorization).await).await?;
            if !matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                return Ok(answer);
            }
            match self.credentials.instead_of(&authorization).await.map_err(unauthorized)? {
                Some(renewed) => authorization = renewed,
                None => return Ok(answer),
            }
        }
    }

    /// Begins an upload, and asks for a blob of another repository by the way (specification, "Mounting a blob from another
    /// repository").
    async fn begin_upload(
        &self,
        name: &RepositoryName,
        mount: Option<(&Digest, &RepositoryName)>,
        authorization: &str,
    ) -> std::io::Result<Answer> {
        let query = mount.map(|(digest, from)| format!("?mount={digest}&from={from}")).unwrap_or_default();
        let request = self.request(Method::POST, &format!("/v2/{name}/blobs/uploads/{query}"), authorization);
        self.http.ask(request.header(CONTENT_LENGTH, 0).body(empty())).await
    }

    async fn finish_upload(
        &self,
        location: &str,
        blob: &Blob,
        progress: &Progress,
        authorization: &str,
    ) -> std::io::Result<Answer> {
        let separator = if location.contains('?') { '&' } else { '?' };
        let location = format!("{location}{separator}digest={}", blob.digest);
        let body: Body = match &blob.content {
            Content::Bytes(bytes) => full(bytes.clone()),
            Content::File(path) => file_body(std::fs::File::open(path)?, progress.clone()),
        };
        let request = self
            .request(Method::PUT, &location, authorization)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, blob.size);
        self.http.send(request.body(body)).await
    }

    /// A request to a path of this registry, or to an absolute URL that it named. Credentials go to its own host
    /// only.
    fn request(&self, method: Method, location: &str, authorization: &str) -> hyper::http::request::Builder {
        let is_path = location.starts_with('/');
        let url = if is_path { self.http.url(&self.host, location) } else { location.to_owned() };
        let is_ours = is_path || url.starts_with(&self.http.url(&self.host, "/"));
        let request = hyper::Request::builder().method(method).uri(url);
        let request = request.header("user-agent", concat!("xtask-ecr/", env!("CARGO_PKG_VERSION")));
        if is_ours { request.header("authorization", authorization) } else { request }
    }
}

/// The whole body of an answer, for errors.
async fn text_of(answer: Answer) -> String {
    let body = http_body_util::Limited::new(answer.into_body(), 64 * 1024).collect().await;
    body.map(|it| String::from_utf8_lossy(&it.to_bytes()).into_owned()).unwrap_or_default()
}
