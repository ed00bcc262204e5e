//! A blob that is being downloaded: its size and digest are checked while it arrives.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;

use ecr_types::{Descriptor, Digest};
use hyper::StatusCode;
use hyper::body::Body;
use hyper::header::CONTENT_RANGE;
use sha2::{Digest as _, Sha256};

use super::error::Cause;
use super::{RegistryError, Result};
use crate::files::Temporary;
use crate::http::{HttpError, Response};

/// The part of a blob that has arrived, in a temporary file.
pub(super) struct PartialBlob<'a> {
    action: &'a str,
    blob: &'a Descriptor,
    file: Temporary,
    hash: Sha256,
    received: u64,
}

impl<'a> PartialBlob<'a> {
    /// Nothing yet of `blob`, in the folder of `to`. `action` is that of errors.
    ///
    /// # Errors
    /// The temporary file cannot be created.
    pub(super) fn new(action: &'a str, blob: &'a Descriptor, to: &Path) -> Result<Self> {
        let file = Temporary::beside(to).map_err(|it| RegistryError::new(action, Cause::File(it)))?;
        Ok(Self { action, blob, file, hash: Sha256::new(), received: 0 })
    }

    /// The number of bytes that have arrived.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Adds the body of a response, which is the rest of the blob or all of it. Returns the error if the body breaks off; it can
    /// be resumed after that.
    ///
    /// # Errors
    /// The blob does not have its size, or the file cannot be written.
    pub(super) async fn receive(
        &mut self,
        response: Response,
        on_received: &(dyn Fn(u64) + Sync),
    ) -> Result<Option<HttpError>> {
        if !self.is_continued_by(&response) {
            self.restart().map_err(|it| self.not_written(it))?;
            // Another range, or none: the next attempt asks for all of the content.
            if response.status() != StatusCode::OK {
                let reason = "the server does not continue the content where it broke off";
                return Ok(Some(HttpError::Unexpected(reason.to_owned())));
            }
        }
        let mut body = response.into_body();
        // Without a length, a body that breaks off looks like one that ends.
        let has_length = body.size_hint().exact().is_some();
        loop {
            match body.next().await {
                Ok(Some(bytes)) => self.add(&bytes, on_received)?,
                Ok(None) if self.received == self.blob.size => return Ok(None),
                Ok(None) if has_length => return Err(self.too_short()),
                Ok(None) => return Ok(Some(HttpError::Unexpected("the response ended early".to_owned()))),
                Err(error) => return Ok(Some(error)),
            }
        }
    }

    /// Verifies the digest, and gives the file its name.
    ///
    /// # Errors
    /// The content has another digest, or the file cannot be renamed.
    pub(super) fn finish(self, to: &Path) -> Result<()> {
        let (action, found) = (self.action, Digest::from_hash(&self.hash.finalize()));
        if found != self.blob.digest {
            return Err(RegistryError::unexpected(action, format!("the content has the digest {found}")));
        }
        self.file.persist(to).map_err(|it| RegistryError::new(action, Cause::File(it)))
    }

    /// Whether the body of the response begins where the received part ends (RFC 9110, section 14.4, `Content-Range`).
    fn is_continued_by(&self, response: &Response) -> bool {
        let range = response.headers().get(CONTENT_RANGE).and_then(|it| it.to_str().ok());
        let first = range.and_then(|it| it.strip_prefix("bytes ")?.split_once('-'));
        let is_next = first.is_some_and(|(first, _)| first.parse() == Ok(self.received));
        response.status() == StatusCode::PARTIAL_CONTENT && is_next
    }

    fn add(&mut self, bytes: &[u8], on_received: &(dyn Fn(u64) + Sync)) -> Result<()> {
        self.received += bytes.len() as u64;
        if self.received > self.blob.size {
            let reason = format!("the content is longer than the {} bytes of its descriptor", self.blob.size);
            return Err(RegistryError::unexpected(self.action, reason));
        }
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(|it| self.not_written(it))?;
        on_received(bytes.len() as u64);
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        (self.hash, self.received) = (Sha256::new(), 0);
        let mut file: &File = self.file.file();
        file.rewind()?;
        file.set_len(0)
    }

    fn too_short(&self) -> RegistryError {
        let (received, size) = (self.received, self.blob.size);
        let reason = format!("the content has {received} bytes, and its descriptor says {size}");
        RegistryError::unexpected(self.action, reason)
    }

    fn not_written(&self, error: io::Error) -> RegistryError {
        RegistryError::new(self.action, Cause::File(error))
    }
}
