//! What a copy of an image reads: manifests as they are, blobs as streams, and what refers to an image.

use std::sync::Arc;

use ecr_types::{Descriptor, Digest, ImageIndex, Manifest, media_type};
use futures_util::stream::unfold;
use hyper::StatusCode;
use hyper::body::{Bytes, Frame};
use hyper::header::{CONTENT_TYPE, HeaderMap, LINK};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::pull::Get;
use super::{OnSent, RegistryError, RegistryErrorKind, RemoteRepository, Result};
use crate::http::{Attempts, BoxError, HttpError, RequestBody, ResponseBody, stream};
use crate::image::bundle::RawManifest;

/// The maximum number of pages of a list of referrers. ECR has 50 on a page.
const MAX_PAGES: usize = 1000;

impl RemoteRepository {
    /// The manifest of a tag or digest, as it is; `None` if there is no such image.
    ///
    /// # Errors
    /// The registry returns an error or requires credentials, there is no response, the content does not have the requested
    /// digest, or its media type is not that of an image or an index.
    pub async fn raw_manifest(&self, version: &str) -> Result<Option<RawManifest>> {
        let action = self.reading(version);
        let wanted = version.parse::<Digest>().ok();
        let (url, accept) = (self.url(&format!("manifests/{version}")), media_type::MANIFESTS.join(", "));
        let get = Get { is_verified: wanted.is_some(), ..Get::new(&url, &accept) };
        let (headers, bytes) = match self.read(&action, get).await {
            Ok(read) => read,
            Err(error) if error.kind() == RegistryErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let digest = Digest::of(&bytes);
        if wanted.is_some_and(|it| it != digest) {
            return Err(RegistryError::unexpected(&action, format!("the content has the digest {digest}")));
        }
        let named = content_type(&headers);
        let manifest = Manifest::parse(&bytes, named).map_err(|it| RegistryError::new(&action, it))?;
        let declared = manifest.declared_media_type(named).map_err(|it| RegistryError::new(&action, it))?;
        let known = media_type::MANIFESTS.into_iter().find(|it| *it == declared);
        let unknown = || RegistryError::unexpected(&action, format!("the media type is `{declared}`"));
        Ok(Some(RawManifest { media_type: known.ok_or_else(unknown)?, bytes: bytes.to_vec() }))
    }

    /// The artifacts that refer to an image (OCI distribution specification, "Listing Referrers"); `None` if the registry has
    /// no such list.
    ///
    /// # Errors
    /// The registry returns another error than 404, or there is no response.
    pub async fn referrers(&self, digest: &Digest) -> Result<Option<Vec<Descriptor>>> {
        let action = format!("list what refers to {}", digest.short());
        let mut url = self.url(&format!("referrers/{digest}"));
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let get = Get::new(&url, media_type::OCI_INDEX);
            let (headers, bytes) = match self.read(&action, get).await {
                Ok(read) => read,
                Err(error) if error.kind() == RegistryErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let page: ImageIndex = serde_json::from_slice(&bytes)
                .map_err(|it| RegistryError::unexpected(&action, it.to_string()))?;
            found.extend(page.manifests);
            match next_page(&headers).and_then(|it| url.join(it).ok()) {
                Some(next) if next.origin() == url.origin() => url = next,
                _ => return Ok(Some(found)),
            }
        }
        Err(RegistryError::unexpected(&action, format!("more than {MAX_PAGES} pages")))
    }

    /// Begins to read a blob.
    ///
    /// # Errors
    /// The registry returns an error or requires credentials, or there is no response.
    pub(super) async fn open(self: &Arc<Self>, blob: &Descriptor) -> Result<Download> {
        let mut download = Download::new(self.clone(), blob.clone());
        download.connect().await?;
        Ok(download)
    }
}

/// The target of `rel="next"` (RFC 8288).
fn next_page(headers: &HeaderMap) -> Option<&str> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let (target, parameters) = link.split_once('>')?;
    parameters.contains("next").then(|| target.trim_start_matches('<'))
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

/// A blob that is being read, a chunk at a time. A download that breaks off is resumed where it ended (RFC 9110, section 14.2).
pub(super) struct Download {
    source: Arc<RemoteRepository>,
    blob: Descriptor,
    /// The rest of the response; `None` before the request.
    body: Option<ResponseBody>,
    /// The number of bytes that have arrived and were taken.
    received: u64,
    /// The number of bytes that arrive once more, because the server does not continue where it broke off.
    skipped: u64,
    attempts: Attempts,
}

impl Download {
    pub(super) fn new(source: Arc<RemoteRepository>, blob: Descriptor) -> Self {
        let attempts = source.http().attempts();
        Self { source, blob, body: None, received: 0, skipped: 0, attempts }
    }

    /// Requests what is missing.
    async fn connect(&mut self) -> Result<()> {
        let action = self.source.fetching(&self.blob);
        let url = self.source.url(&format!("blobs/{}", self.blob.digest));
        let get = Get::verified(&url, "*/*", self.received);
        let response = self.source.get(&action, get).await?;
        self.skipped = match response.status() {
            StatusCode::PARTIAL_CONTENT => 0,
            _ => self.received,
        };
        self.body = Some(response.into_body());
        Ok(())
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> std::result::Result<Option<Bytes>, BoxError> {
        loop {
            if self.body.is_none() {
                self.connect().await?;
            }
            let began = Instant::now();
            let Some(body) = &mut self.body else { continue };
            let error = match body.next().await {
                Ok(Some(bytes)) => match self.take(bytes) {
                    Some(bytes) => return Ok(Some(bytes)),
                    None => continue,
                },
                Ok(None) if self.received == self.blob.size => return Ok(None),
                Ok(None) => HttpError::Unexpected("the response ended early".to_owned()),
                Err(error) => error,
            };
            self.body = None;
            if !self.attempts.again(&error, error.idle().unwrap_or(began.elapsed())).await {
                return Err(Box::new(RegistryError::new(&self.source.fetching(&self.blob), error)));
            }
        }
    }

    /// Takes a chunk, but for what has arrived before.
    fn take(&mut self, mut bytes: Bytes) -> Option<Bytes> {
        let again = self.skipped.min(bytes.len() as u64);
        self.skipped -= again;
        // It is at most the length of the chunk.
        let fresh = bytes.split_off(again as usize);
        self.received += fresh.len() as u64;
        if !fresh.is_empty() {
            self.attempts.renew();
        }
        (!fresh.is_empty()).then_some(fresh)
    }

    /// Sends the blob through a channel, until it is closed.
    pub(super) async fn send_to(mut self, chunks: &mpsc::Sender<Chunk>) {
        loop {
            let next = tokio::select! {
                next = self.next() => next,
                () = chunks.closed() => return,
            };
            let is_last = !matches!(next, Ok(Some(_)));
            let Some(chunk) = next.transpose() else { return };
            if chunks.send(chunk).await.is_err() || is_last {
                return;
            }
        }
    }
}

/// A part of a blob, or why there is none.
pub(super) type Chunk = std::result::Result<Bytes, BoxError>;

/// A body whose data comes from a channel. `sent` is called with the number of bytes of each chunk.
pub(super) fn body(chunks: mpsc::Receiver<Chunk>, sent: OnSent) -> RequestBody {
    stream(unfold((chunks, sent), async |(mut chunks, sent)| {
        let chunk = chunks.recv().await?;
        let frame = chunk.map(|bytes| {
            sent(bytes.len() as u64);
            Frame::data(bytes)
        });
        Some((frame, (chunks, sent)))
    }))
}
