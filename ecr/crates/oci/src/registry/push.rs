//! Sending blobs and manifests.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ecr_types::{Digest, RepositoryName};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use hyper::{Method, StatusCode};

use super::{RegistryClient, RegistryError, Result};
use crate::http::{Answer, HttpError, empty, file, full};
use crate::image::bundle::{Blob, Content, RawManifest};

/// How a blob came into a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobUpload {
    /// Its bytes were sent.
    Uploaded,
    /// The registry had the blob in another repository.
    Mounted,
}

/// Called with the number of bytes that were just sent.
pub type OnSent = Arc<dyn Fn(u64) + Send + Sync>;

impl RegistryClient {
    /// Brings a blob into a repository: mounted from `source` if that is given and the registry does it, else uploaded.
    /// The blob is not known to be there.
    ///
    /// # Errors
    /// The registry refuses the blob, or cannot be reached.
    pub async fn upload(
        &self,
        name: &RepositoryName,
        blob: &Blob,
        source: Option<&RepositoryName>,
        on_sent: &OnSent,
    ) -> Result<BlobUpload> {
        let action = format!("upload the blob {} to `{name}`", blob.digest.short());
        let has_sent = AtomicBool::new(false);
        let answer = self.retry(&action, async |authorization| {
            let mount = source.map(|it| (&blob.digest, it));
            let begun = self.begin_upload(name, mount, authorization).await?;
            if begun.status() != StatusCode::ACCEPTED {
                return Ok(begun);
            }
            has_sent.store(true, Ordering::Relaxed);
            let location = begun.headers().get(LOCATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
            let finished = self.finish_upload(location, blob, on_sent, authorization).await?;
            match finished.status() {
                StatusCode::NOT_FOUND => {
                    Err(HttpError::Unexpected("the registry has forgotten the upload".to_owned()))
                }
                _ => Ok(finished),
            }
        });
        let answer = answer.await?;
        match (answer.status(), has_sent.into_inner()) {
            (StatusCode::CREATED | StatusCode::NO_CONTENT, true) => Ok(BlobUpload::Uploaded),
            (StatusCode::CREATED | StatusCode::NO_CONTENT, false) => Ok(BlobUpload::Mounted),
            _ => Err(RegistryError::of(&action, answer).await),
        }
    }

    /// Puts a manifest under a tag or its digest. The blobs and manifests that it names must be there.
    ///
    /// # Errors
    /// The registry refuses the manifest, or cannot be reached.
    pub async fn put_manifest(
        &self,
        name: &RepositoryName,
        reference: &str,
        manifest: &RawManifest,
    ) -> Result<()> {
        let action = format!("push `{name}:{reference}`");
        let path = format!("/v2/{name}/manifests/{reference}");
        let answer = self.retry(&action, async |authorization| {
            let request = self.endpoint.request(Method::PUT, &path, Some(authorization));
            let request = request.header(CONTENT_TYPE, manifest.media_type);
            let request = request.header(CONTENT_LENGTH, manifest.bytes.len());
            self.endpoint.http.send(request.body(full(manifest.bytes.clone()))).await
        });
        let answer = answer.await?;
        match answer.status() {
            // ECR sends no Location; the digest is ours to know.
            StatusCode::CREATED | StatusCode::OK => Ok(()),
            _ => Err(RegistryError::of(&action, answer).await),
        }
    }

    /// Begins an upload. With `mount` the same request asks for the blob of another repository (OCI distribution
    /// specification, "Mounting a blob from another repository").
    async fn begin_upload(
        &self,
        name: &RepositoryName,
        mount: Option<(&Digest, &RepositoryName)>,
        authorization: &str,
    ) -> std::result::Result<Answer, HttpError> {
        let query = mount.map(|(digest, from)| format!("?mount={digest}&from={from}")).unwrap_or_default();
        let path = format!("/v2/{name}/blobs/uploads/{query}");
        let request = self.endpoint.request(Method::POST, &path, Some(authorization));
        self.endpoint.http.send(request.header(CONTENT_LENGTH, 0).body(empty())).await
    }

    async fn finish_upload(
        &self,
        location: &str,
        blob: &Blob,
        on_sent: &OnSent,
        authorization: &str,
    ) -> std::result::Result<Answer, HttpError> {
        let separator = if location.contains('?') { '&' } else { '?' };
        let location = format!("{location}{separator}digest={}", blob.digest);
        let body = match &blob.content {
            Content::Bytes(bytes) => full(bytes.clone()),
            Content::File(path) => {
                let on_sent = on_sent.clone();
                file(File::open(path)?, move |bytes| on_sent(bytes))
            }
        };
        let request = self
            .endpoint
            .request(Method::PUT, &location, Some(authorization))
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, blob.size);
        self.endpoint.http.send(request.body(body)).await
    }
}
