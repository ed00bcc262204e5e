//! Pushing blobs and manifests (OCI distribution specification, "Push").

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ecr_types::{Digest, RepositoryName};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::{Method, StatusCode};
use url::Url;

use super::location::location;
use super::{RegistryClient, RegistryError, Result, content_digest};
use crate::http::{HttpError, RequestBody, Response, empty, file, full};
use crate::image::bundle::{Blob, Content, RawManifest};

/// The way in which a blob was added to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobUpload {
    /// The content was uploaded.
    Uploaded,
    /// The registry mounted the blob from another repository, without an upload.
    Mounted,
}

/// A callback for progress. It is called with the number of bytes of each chunk that is sent from a file; a blob in memory is
/// not reported.
pub type OnSent = Arc<dyn Fn(u64) + Send + Sync>;

impl RegistryClient {
    /// Adds a blob to a repository. With `source` the registry is asked to mount the blob from that repository; if it does not,
    /// or without `source`, the content is uploaded. Whether the repository has the blob already is not checked; see
    /// [`RegistryClient::has_blob`].
    ///
    /// # Errors
    /// The registry returns an error or the digest of another blob, there is no response, or the file of the blob cannot be
    /// read.
    pub async fn upload(
        &self,
        name: &RepositoryName,
        blob: &Blob,
        source: Option<&RepositoryName>,
        on_sent: &OnSent,
    ) -> Result<BlobUpload> {
        let body = || body(&blob.content, on_sent);
        self.put_blob(name, (&blob.digest, blob.size), source, body).await
    }

    /// Adds a blob, whose digest and size are given, with a body that is made for each attempt.
    pub(super) async fn put_blob(
        &self,
        name: &RepositoryName,
        blob: (&Digest, u64),
        source: Option<&RepositoryName>,
        body: impl Fn() -> std::result::Result<RequestBody, HttpError>,
    ) -> Result<BlobUpload> {
        let (digest, size) = blob;
        let action = format!("upload the blob {} to `{name}`", digest.short());
        let has_sent = AtomicBool::new(false);
        let response = self.retry(&action, async |authorization| {
            let mount = source.map(|it| (digest, it));
            let begun = self.begin_upload(name, mount, authorization).await?;
            if begun.status() != StatusCode::ACCEPTED {
                return Ok(begun);
            }
            has_sent.store(true, Ordering::Relaxed);
            let upload = self.upload_url(name, digest, &begun)?;
            let finished = self.finish_upload(&upload, size, body()?, authorization).await?;
            match finished.status() {
                StatusCode::NOT_FOUND => {
                    Err(HttpError::Unexpected("the registry does not know the upload any more".to_owned()))
                }
                _ => Ok(finished),
            }
        });
        let response = response.await?;
        let has_sent = has_sent.into_inner();
        // Only a request to mount ends without an upload (OCI distribution specification, "Mounting a blob").
        if response.status() != StatusCode::CREATED || (!has_sent && source.is_none()) {
            return Err(RegistryError::of(&action, response).await);
        }
        match content_digest(&response).filter(|it| it != digest) {
            Some(found) => {
                Err(RegistryError::unexpected(&action, format!("the registry stored the blob {found}")))
            }
            None if has_sent => Ok(BlobUpload::Uploaded),
            None => Ok(BlobUpload::Mounted),
        }
    }

    /// Pushes a manifest under `reference`, a tag or its digest. The blobs and manifests that it references must exist in the
    /// repository.
    ///
    /// # Errors
    /// The registry returns an error ([`super::RegistryErrorKind::ImmutableTag`] if the tag exists and is immutable), there is no
    /// response, or the registry does not name the digest of the manifest, neither in its response nor when asked.
    pub async fn put_manifest(
        &self,
        name: &RepositoryName,
        reference: &str,
        manifest: &RawManifest,
    ) -> Result<()> {
        let action = format!("push `{name}:{reference}`");
        let url = self.endpoint.url(&format!("/v2/{name}/manifests/{reference}"));
        let response = self.retry(&action, async |authorization| {
            let request = self.endpoint.request(Method::PUT, &url, Some(authorization));
            let request = request.header(CONTENT_TYPE, manifest.media_type);
            let request = request.header(CONTENT_LENGTH, manifest.bytes.len());
            self.endpoint.http.send(request.body(full(manifest.bytes.clone()))).await
        });
        let response = response.await?;
        match response.status() {
            // ECR sends no `Location`.
            StatusCode::CREATED => self.require_stored(&action, name, reference, manifest, &response).await,
            _ => Err(RegistryError::of(&action, response).await),
        }
    }

    /// Checks that a manifest is in the repository, by the digest in the response to its PUT. Where the response has none, as
    /// the specification allows, the registry is asked.
    async fn require_stored(
        &self,
        action: &str,
        name: &RepositoryName,
        reference: &str,
        manifest: &RawManifest,
        response: &Response,
    ) -> Result<()> {
        let found = match content_digest(response) {
            Some(found) => Some(found),
            None => self.digest(name, reference).await?,
        };
        match found {
            Some(found) if found == Digest::of(&manifest.bytes) => Ok(()),
            Some(found) => {
                Err(RegistryError::unexpected(action, format!("the registry stored the manifest {found}")))
            }
            None => Err(RegistryError::unexpected(action, "the registry does not have the manifest")),
        }
    }

    /// Begins an upload. With `mount` the same request tries to mount the blob from another repository (OCI distribution
    /// specification, "Mounting a blob from another repository").
    async fn begin_upload(
        &self,
        name: &RepositoryName,
        mount: Option<(&Digest, &RepositoryName)>,
        authorization: &str,
    ) -> std::result::Result<Response, HttpError> {
        let query = mount.map(|(digest, from)| format!("?mount={digest}&from={from}")).unwrap_or_default();
        let url = self.endpoint.url(&format!("/v2/{name}/blobs/uploads/{query}"));
        let request = self.endpoint.request(Method::POST, &url, Some(authorization));
        self.endpoint.http.send(request.header(CONTENT_LENGTH, 0).body(empty())).await
    }

    /// The URL of the PUT request that ends an upload (OCI distribution specification, "POST then PUT").
    fn upload_url(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        begun: &Response,
    ) -> std::result::Result<Url, HttpError> {
        let from = self.endpoint.url(&format!("/v2/{name}/blobs/uploads/"));
        let bad = |it| HttpError::Invalid(format!("the registry began an upload, but {it}"));
        let mut url = self.endpoint.on_own_host(location(&from, begun.headers()).map_err(bad)?);
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        Ok(url)
    }

    async fn finish_upload(
        &self,
        url: &Url,
        size: u64,
        body: RequestBody,
        authorization: &str,
    ) -> std::result::Result<Response, HttpError> {
        let request = self
            .endpoint
            .request(Method::PUT, url, Some(authorization))
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size);
        self.endpoint.http.send(request.body(body)).await
    }
}

fn body(content: &Content, on_sent: &OnSent) -> std::result::Result<RequestBody, HttpError> {
    match content {
        Content::Bytes(bytes) => Ok(full(bytes.clone())),
        Content::File(path) => {
            let on_sent = on_sent.clone();
            Ok(file(File::open(path)?, move |bytes| on_sent(bytes)))
        }
    }
}
