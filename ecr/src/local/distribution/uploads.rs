//! Blobs on their way in: hashed while they are written, so that memory does not grow with them.

use std::fs::File;
use std::io::Write;

use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use sha2::{Digest as _, Sha256};

use super::blobs::digest_invalid;
use super::{Answer, Call};
use crate::local::error::RegistryError;
use crate::local::http::{Response, builder, empty, query};
use crate::local::model::{Change, RegistryKey};
use crate::local::store::new_secret;
use crate::name::{Digest, RepositoryName};

/// An upload that has begun.
#[derive(Debug)]
pub struct Upload {
    registry: RegistryKey,
    name: RepositoryName,
    file: File,
    hash: Sha256,
    size: u64,
}

/// `POST /v2/NAME/blobs/uploads/`, with `?digest=` and the body in one request.
pub async fn start(call: &Call, request: Request<Incoming>) -> Answer {
    let id = new_secret().map_err(|it| RegistryError::internal(&it))?;
    let path = call.shared.store().upload_path(&id);
    let upload = Upload {
        registry: call.registry.clone(),
        name: call.name.clone(),
        file: File::create(path).map_err(|it| RegistryError::internal(&it))?,
        hash: Sha256::new(),
        size: 0,
    };
    let is_whole = query(&request, "digest").is_some();
    call.shared.uploads().insert(id.clone(), upload);
    if is_whole {
        return finish(call, &id, request).await;
    }
    progress(call, &id, 0)
}

/// `PATCH /v2/NAME/blobs/uploads/ID`.
pub async fn append(call: &Call, id: &str, request: Request<Incoming>) -> Answer {
    let size = receive(call, id, request.into_body()).await?;
    progress(call, id, size)
}

/// `PUT /v2/NAME/blobs/uploads/ID?digest=DIGEST`, with the rest of the body or without any.
pub async fn finish(call: &Call, id: &str, request: Request<Incoming>) -> Answer {
    let digest = query(&request, "digest").ok_or_else(|| digest_invalid("no digest in the query"))?;
    let digest: Digest =
        digest.parse().map_err(|it: crate::name::InvalidName| digest_invalid(&it.to_string()))?;
    receive(call, id, request.into_body()).await?;
    let upload = take(call, id)?;
    let found = Digest::from_hash(&upload.hash.finalize());
    let mut store = call.shared.store();
    let path = store.upload_path(id);
    if found != digest {
        let _ = std::fs::remove_file(path);
        return Err(digest_invalid(&format!("the body has digest {found}, not {digest}")));
    }
    std::fs::rename(path, store.blob_path(&digest)).map_err(|it| RegistryError::internal(&it))?;
    let change = Change::PutLayer(call.registry.clone(), call.name.clone(), digest.clone(), upload.size);
    store.commit(vec![change]).map_err(|it| RegistryError::internal(&it))?;
    builder(201)
        .header("location", format!("/v2/{}/blobs/{digest}", call.name))
        .header("docker-content-digest", digest.as_str())
        .body(empty())
        .map_err(|it| RegistryError::internal(&it))
}

/// `GET /v2/NAME/blobs/uploads/ID`.
pub fn status(call: &Call, id: &str) -> Answer {
    let size = call.shared.uploads().get(id).filter(|it| it.belongs_to(call)).map(|it| it.size);
    let size = size.ok_or_else(unknown)?;
    let response = progress(call, id, size)?;
    let (mut parts, body) = response.into_parts();
    parts.status = hyper::StatusCode::NO_CONTENT;
    Ok(Response::from_parts(parts, body))
}

/// `DELETE /v2/NAME/blobs/uploads/ID`.
pub fn cancel(call: &Call, id: &str) -> Answer {
    take(call, id)?;
    let _ = std::fs::remove_file(call.shared.store().upload_path(id));
    builder(204).body(empty()).map_err(|it| RegistryError::internal(&it))
}

impl Upload {
    fn belongs_to(&self, call: &Call) -> bool {
        self.registry == call.registry && self.name == call.name
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }
}

/// Adds a body to an upload. While it does, the upload belongs to this request alone: a second one finds none.
async fn receive(call: &Call, id: &str, mut body: Incoming) -> Result<u64, RegistryError> {
    let mut upload = take(call, id)?;
    let result = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|it| RegistryError::new(400, "BLOB_UPLOAD_INVALID", it.to_string()))?;
            if let Some(bytes) = frame.data_ref() {
                upload.write(bytes).map_err(|it| RegistryError::internal(&it))?;
            }
        }
        Ok(upload.size)
    }
    .await;
    call.shared.uploads().insert(id.to_owned(), upload);
    result
}

fn take(call: &Call, id: &str) -> Result<Upload, RegistryError> {
    let mut uploads = call.shared.uploads();
    match uploads.get(id) {
        Some(upload) if upload.belongs_to(call) => uploads.remove(id).ok_or_else(unknown),
        _ => Err(unknown()),
    }
}

fn unknown() -> RegistryError {
    RegistryError::new(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
}

fn progress(call: &Call, id: &str, size: u64) -> Answer {
    builder(202)
        .header("location", format!("/v2/{}/blobs/uploads/{id}", call.name))
        .header("docker-upload-uuid", id)
        .header("range", format!("0-{}", size.saturating_sub(1)))
        .body(empty())
        .map_err(|it| RegistryError::internal(&it))
}
