//! Uploads and mounts of blobs (OCI distribution specification, "Pushing blobs" and "Mounting a blob from another
//! repository").

use std::fs::File;

use ecr_types::{Digest, InvalidName, RepositoryName};
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;

use super::blobs::digest_invalid;
use super::{Call, OciResult, ResponseOrDrop};
use crate::error::{NoResponse, OciError};
use crate::http::{Response, builder, empty, header, query};
use crate::model::Change;
use crate::shared::UploadGuard;
use crate::upload::Upload;

/// `POST /v2/NAME/blobs/uploads/`. With `?mount=&from=` it mounts a blob if that is allowed, with `?digest=` it uploads the
/// whole blob.
pub async fn start(call: &Call, request: &mut Request<Incoming>) -> ResponseOrDrop {
    if let Some(response) = mount(call, request)? {
        return Ok(response);
    }
    let is_whole = query(request, "digest").map(|_| digest_of_query(request)).transpose()?.is_some();
    let id = call.shared.begin_upload(&call.registry, &call.name)?;
    if is_whole {
        return finish(call, &id, request).await;
    }
    Ok(progress(call, &id, 0, 202)?)
}

/// Mounts a blob if the account setting BLOB_MOUNTING allows it and a manifest of the source repository references the blob.
/// `None` if not: the request begins an upload, as in ECR.
fn mount(call: &Call, request: &Request<Incoming>) -> Result<Option<Response>, OciError> {
    let digest = query(request, "mount").and_then(|it| it.parse::<Digest>().ok());
    let from = query(request, "from").and_then(|it| it.parse::<RepositoryName>().ok());
    let (Some(digest), Some(from)) = (digest, from) else { return Ok(None) };
    let mut store = call.shared.store();
    let Some(registry) = store.model().registry(&call.registry) else { return Ok(None) };
    if !registry.repositories.contains_key(&call.name) || !store.blobs().has(&digest) {
        return Ok(None);
    }
    let is_allowed = registry.settings.get("BLOB_MOUNTING").is_some_and(|it| it == "ENABLED");
    let source = registry.repositories.get(&from).filter(|_| is_allowed);
    let is_named = |it: &crate::model::Repository| it.images.values().any(|it| it.layers.contains(&digest));
    let Some(size) = source.filter(|it| is_named(it)).and_then(|it| it.layers.get(&digest)).copied() else {
        return Ok(None);
    };
    let change = Change::PutLayer(call.registry.clone(), call.name.clone(), digest.clone(), size);
    store.commit(vec![change])?;
    created(call, &digest).map(Some)
}

/// `PATCH /v2/NAME/blobs/uploads/ID`.
pub async fn append(call: &Call, id: &str, request: &mut Request<Incoming>) -> ResponseOrDrop {
    let mut guard = take(call, id)?;
    check_range(request, guard.upload().size()).map_err(|size| out_of_order(call, id, size))?;
    let mut guard = received(call, id, guard, request).await?;
    let size = guard.upload().size();
    Ok(progress(call, id, size, 202)?)
}

/// `PUT /v2/NAME/blobs/uploads/ID?digest=DIGEST`, with the rest of the body or without any.
pub async fn finish(call: &Call, id: &str, request: &mut Request<Incoming>) -> ResponseOrDrop {
    let digest = digest_of_query(request)?;
    let mut guard = take(call, id)?;
    check_range(request, guard.upload().size()).map_err(|size| out_of_order(call, id, size))?;
    let upload = received(call, id, guard, request).await?.into_upload();
    let found = upload.digest();
    let mut store = call.shared.store();
    if call.injected.forget {
        store.discard(id);
        return Err(unknown_upload().into());
    }
    if found != digest {
        store.discard(id);
        return Err(digest_invalid(&format!("the body has digest {found}, not {digest}")).into());
    }
    // The repository may have been deleted while the body was received.
    if store.model().repository(&call.registry, &call.name).is_none() {
        store.discard(id);
        return Err(OciError::name_unknown(call.name.as_str(), call.registry.account.as_str()).into());
    }
    let adopted = store.adopt(&call.registry, &call.name, id, &digest, upload.size());
    adopted?;
    Ok(created(call, &digest)?)
}

fn digest_of_query(request: &Request<Incoming>) -> Result<Digest, OciError> {
    let digest = query(request, "digest").ok_or_else(|| digest_invalid("no digest in the query"))?;
    digest.parse().map_err(|it: InvalidName| digest_invalid(&it.to_string()))
}

/// `GET /v2/NAME/blobs/uploads/ID`.
pub fn status(call: &Call, id: &str) -> OciResult {
    let size = take(call, id)?.upload().size();
    progress(call, id, size, 204)
}

/// `DELETE /v2/NAME/blobs/uploads/ID`.
pub fn cancel(call: &Call, id: &str) -> OciResult {
    take(call, id)?.into_upload();
    call.shared.store().discard(id);
    builder(204).body(empty()).map_err(Into::into)
}

/// Appends the body of a request to an upload. Without space for it, the upload is given up with what it takes.
async fn received<'a>(
    call: &Call,
    id: &str,
    mut guard: UploadGuard<'a>,
    request: &mut Request<Incoming>,
) -> Result<UploadGuard<'a>, NoResponse> {
    match receive(call, guard.upload(), request).await {
        Ok(()) => Ok(guard),
        Err(NoResponse::Refused(error)) if error.status == 507 => {
            drop(guard.into_upload());
            call.shared.store().discard(id);
            skip(request.body_mut()).await;
            Err(error.into())
        }
        Err(error) => Err(error),
    }
}

/// Reads a body to no purpose: clients read the response only after they have sent it.
async fn skip(body: &mut Incoming) {
    let mut left = MAX_SKIPPED;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, |it| it.len() as u64);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// The number of bytes of a body that are skipped before the connection is closed.
const MAX_SKIPPED: u64 = 1 << 30;

/// Appends the body of a request to an upload. The fault `drop` closes the connection after half of the body.
async fn receive(
    call: &Call,
    upload: &mut Upload,
    request: &mut Request<Incoming>,
) -> Result<(), NoResponse> {
    let length = header(request, "content-length").and_then(|it| it.parse::<u64>().ok());
    let end = call.injected.drop.then(|| upload.size() + length.unwrap_or_default() / 2);
    let mut file: File = upload.open()?;
    let body = request.body_mut();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|it| OciError::new(400, "BLOB_UPLOAD_INVALID", it.to_string()))?;
        if let Some(bytes) = frame.data_ref() {
            upload.write(&mut file, bytes)?;
        }
        if end.is_some_and(|end| upload.size() >= end) {
            return Err(NoResponse::Dropped);
        }
    }
    Ok(())
}

/// Checks the optional header `Content-Range`: a chunk must begin where the last one ended. The error is the size so far.
fn check_range(request: &Request<Incoming>, size: u64) -> Result<(), u64> {
    let Some(range) = header(request, "content-range") else { return Ok(()) };
    let start = range.trim_start_matches("bytes ").split_once('-').and_then(|(start, _)| start.parse().ok());
    if start == Some(size) { Ok(()) } else { Err(size) }
}

/// "If a chunk is uploaded out of order, the registry MUST respond with a 416" (specification, "Pushing a blob in
/// chunks").
fn out_of_order(call: &Call, id: &str, size: u64) -> OciError {
    let message = format!("the chunk does not begin at byte {size}");
    let location = format!("/v2/{}/blobs/uploads/{id}", call.name);
    let range = format!("0-{}", size.saturating_sub(1));
    OciError::new(416, "BLOB_UPLOAD_INVALID", message).with("location", location).with("range", range)
}

fn take<'a>(call: &'a Call, id: &str) -> Result<UploadGuard<'a>, OciError> {
    let upload = call.shared.take_upload(&call.registry, &call.name, id);
    upload.ok_or_else(unknown_upload)
}

fn unknown_upload() -> OciError {
    OciError::new(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
}

fn created(call: &Call, digest: &Digest) -> OciResult {
    builder(201)
        .header("location", format!("/v2/{}/blobs/{digest}", call.name))
        .header("docker-content-digest", digest.as_str())
        .body(empty())
        .map_err(Into::into)
}

fn progress(call: &Call, id: &str, size: u64, status: u16) -> OciResult {
    builder(status)
        .header("location", format!("/v2/{}/blobs/uploads/{id}", call.name))
        .header("docker-upload-uuid", id)
        .header("range", format!("0-{}", size.saturating_sub(1)))
        .body(empty())
        .map_err(Into::into)
}
