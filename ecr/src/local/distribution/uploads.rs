//! Blobs on their way in (specification, "Pushing blobs" and "Mounting a blob from another repository").

use std::fs::File;

use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;

use super::blobs::digest_invalid;
use super::{Answer, Call};
use crate::local::error::RegistryError;
use crate::local::http::{Response, builder, empty, header, query};
use crate::local::model::Change;
use crate::local::upload::{Taken, Upload};
use crate::name::{Digest, InvalidName, RepositoryName};

/// `POST /v2/NAME/blobs/uploads/`: with `?mount=&from=` a mount where that is allowed, with `?digest=` the whole blob.
pub async fn start(call: &Call, request: &mut Request<Incoming>) -> Answer {
    if let Some(response) = mount(call, request)? {
        return Ok(response);
    }
    let is_whole = query(request, "digest").map(|_| wanted_digest(request)).transpose()?.is_some();
    let id =
        call.shared.begin_upload(&call.registry, &call.name).map_err(|it| RegistryError::internal(&it))?;
    if is_whole {
        return finish(call, &id, request).await;
    }
    progress(call, &id, 0, 202)
}

/// ECR mounts only where the account setting BLOB_MOUNTING allows it, and only blobs that a manifest of the source
/// names; everything else becomes an ordinary upload.
fn mount(call: &Call, request: &Request<Incoming>) -> Result<Option<Response>, RegistryError> {
    let digest = query(request, "mount").and_then(|it| it.parse::<Digest>().ok());
    let from = query(request, "from").and_then(|it| it.parse::<RepositoryName>().ok());
    let (Some(digest), Some(from)) = (digest, from) else { return Ok(None) };
    let mut store = call.shared.store();
    let Some(registry) = store.model().registry(&call.registry) else { return Ok(None) };
    if !registry.repositories.contains_key(&call.name) || !store.has_blob(&digest) {
        return Ok(None);
    }
    let is_allowed = registry.settings.get("BLOB_MOUNTING").is_some_and(|it| it == "ENABLED");
    let source = registry.repositories.get(&from).filter(|_| is_allowed);
    let is_named =
        |it: &crate::local::model::Repository| it.images.values().any(|it| it.layers.contains(&digest));
    let Some(size) = source.filter(|it| is_named(it)).and_then(|it| it.layers.get(&digest)).copied() else {
        return Ok(None);
    };
    let change = Change::PutLayer(call.registry.clone(), call.name.clone(), digest.clone(), size);
    store.commit(vec![change]).map_err(|it| RegistryError::internal(&it))?;
    created(call, &digest).map(Some)
}

/// `PATCH /v2/NAME/blobs/uploads/ID`.
pub async fn append(call: &Call, id: &str, request: &mut Request<Incoming>) -> Answer {
    let mut taken = take(call, id)?;
    check_range(request, taken.upload().size()).map_err(|size| out_of_order(call, id, size))?;
    receive(call, taken.upload(), request).await?;
    let size = taken.upload().size();
    progress(call, id, size, 202)
}

/// `PUT /v2/NAME/blobs/uploads/ID?digest=DIGEST`, with the rest of the body or without any.
pub async fn finish(call: &Call, id: &str, request: &mut Request<Incoming>) -> Answer {
    let digest = wanted_digest(request)?;
    let mut taken = take(call, id)?;
    check_range(request, taken.upload().size()).map_err(|size| out_of_order(call, id, size))?;
    receive(call, taken.upload(), request).await?;
    let upload = taken.into_upload();
    let found = upload.digest();
    let mut store = call.shared.store();
    if call.strikes.forget {
        store.discard(id);
        return Err(unknown_upload());
    }
    if found != digest {
        store.discard(id);
        return Err(digest_invalid(&format!("the body has digest {found}, not {digest}")));
    }
    // It may have been deleted while the body came in.
    if store.model().repository(&call.registry, &call.name).is_none() {
        store.discard(id);
        return Err(RegistryError::name_unknown(call.name.as_str(), call.shared.account.as_str()));
    }
    let adopted = store.adopt(&call.registry, &call.name, id, &digest, upload.size());
    adopted.map_err(|it| RegistryError::internal(&it))?;
    created(call, &digest)
}

fn wanted_digest(request: &Request<Incoming>) -> Result<Digest, RegistryError> {
    let digest = query(request, "digest").ok_or_else(|| digest_invalid("no digest in the query"))?;
    digest.parse().map_err(|it: InvalidName| digest_invalid(&it.to_string()))
}

/// `GET /v2/NAME/blobs/uploads/ID`.
pub fn status(call: &Call, id: &str) -> Answer {
    let size = take(call, id)?.upload().size();
    progress(call, id, size, 204)
}

/// `DELETE /v2/NAME/blobs/uploads/ID`.
pub fn cancel(call: &Call, id: &str) -> Answer {
    take(call, id)?.into_upload();
    call.shared.store().discard(id);
    builder(204).body(empty()).map_err(|it| RegistryError::internal(&it))
}

/// Adds a body to an upload; the fault `drop` ends the connection half way.
async fn receive(
    call: &Call,
    upload: &mut Upload,
    request: &mut Request<Incoming>,
) -> Result<(), RegistryError> {
    let length = header(request, "content-length").and_then(|it| it.parse::<u64>().ok());
    let end = call.strikes.drop.then(|| upload.size() + length.unwrap_or_default() / 2);
    let mut file: File = upload.open().map_err(|it| RegistryError::internal(&it))?;
    let body = request.body_mut();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|it| RegistryError::new(400, "BLOB_UPLOAD_INVALID", it.to_string()))?;
        if let Some(bytes) = frame.data_ref() {
            upload.write(&mut file, bytes).map_err(|it| RegistryError::internal(&it))?;
        }
        if end.is_some_and(|end| upload.size() >= end) {
            return Err(RegistryError::dropped());
        }
    }
    Ok(())
}

/// A chunk says where it begins, if it wants to; it must begin where the last one ended.
fn check_range(request: &Request<Incoming>, size: u64) -> Result<(), u64> {
    let Some(range) = header(request, "content-range") else { return Ok(()) };
    let start = range.trim_start_matches("bytes ").split_once('-').and_then(|(start, _)| start.parse().ok());
    if start == Some(size) { Ok(()) } else { Err(size) }
}

/// "If a chunk is uploaded out of order, the registry MUST respond with a 416" (specification, "Pushing a blob in
/// chunks").
fn out_of_order(call: &Call, id: &str, size: u64) -> RegistryError {
    let message = format!("the chunk does not begin at byte {size}");
    let location = format!("/v2/{}/blobs/uploads/{id}", call.name);
    let range = format!("0-{}", size.saturating_sub(1));
    RegistryError::new(416, "BLOB_UPLOAD_INVALID", message).with("location", location).with("range", range)
}

fn take<'a>(call: &'a Call, id: &str) -> Result<Taken<'a>, RegistryError> {
    let upload = call.shared.take_upload(&call.registry, &call.name, id);
    Ok(Taken::new(&call.shared, id, upload.ok_or_else(unknown_upload)?))
}

fn unknown_upload() -> RegistryError {
    RegistryError::new(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
}

fn created(call: &Call, digest: &Digest) -> Answer {
    builder(201)
        .header("location", format!("/v2/{}/blobs/{digest}", call.name))
        .header("docker-content-digest", digest.as_str())
        .body(empty())
        .map_err(|it| RegistryError::internal(&it))
}

fn progress(call: &Call, id: &str, size: u64, status: u16) -> Answer {
    builder(status)
        .header("location", format!("/v2/{}/blobs/uploads/{id}", call.name))
        .header("docker-upload-uuid", id)
        .header("range", format!("0-{}", size.saturating_sub(1)))
        .body(empty())
        .map_err(|it| RegistryError::internal(&it))
}
