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
use crate::model::{Layer, Registry};
use crate::shared::UploadGuard;
use crate::store::Queries;
use crate::uploads::{self, CompleteError, PartRules, Upload};

/// `POST /v2/NAME/blobs/uploads/`. With `?mount=&from=` it mounts a blob if that is allowed, with `?digest=` it uploads the
/// whole blob.
pub async fn start(call: &Call, request: &mut Request<Incoming>) -> ResponseOrDrop {
    if let Some(response) = mount(call, request)? {
        return Ok(response);
    }
    let is_whole = query(request, "digest").map(|_| digest_of_query(request)).transpose()?.is_some();
    let id = call.registry.shared.begin_upload(&call.registry.key, &call.name)?;
    if is_whole {
        return finish(call, &id, request).await;
    }
    Ok(progress(call, &id, 0, 202)?)
}

/// Mounts a blob if the account setting BLOB_MOUNTING allows it and a manifest of the source repository names the blob. `None`
/// if not: the request begins an upload, as in ECR.
///
/// # Errors
/// The caller may not read the blob there. No report quotes ECR's answer to that; a refusal is the stricter one.
fn mount(call: &Call, request: &Request<Incoming>) -> Result<Option<Response>, OciError> {
    let digest = query(request, "mount").and_then(|it| it.parse::<Digest>().ok());
    let from = query(request, "from").and_then(|it| it.parse::<RepositoryName>().ok());
    let (Some(digest), Some(from)) = (digest, from) else { return Ok(None) };
    let store = &call.registry.shared.store;
    let is_enabled =
        |registry: &Registry| registry.settings.get("BLOB_MOUNTING").is_some_and(|it| it == "ENABLED");
    let is_mounted = store.write(|transaction| {
        let Some(source) = transaction.repository(&call.registry.key, &from)? else { return Ok(false) };
        let Some(layer) = transaction.layer(source.id, &digest)? else { return Ok(false) };
        let can_mount = is_enabled(&transaction.registry(&call.registry.key)?)
            && transaction.is_used(source.id, &digest)?
            && store.blobs().has(&digest);
        // The target may have been deleted since.
        let target = transaction.repository(&call.registry.key, &call.name)?;
        let Some(target) = target.filter(|_| can_mount) else { return Ok(false) };
        call.permit_mount(&from, &source)?;
        transaction.put_layer(target.id, &digest, &Layer::new(layer.size))?;
        Ok::<_, OciError>(true)
    })?;
    is_mounted.then(|| created(call, &digest)).transpose()
}

/// `PATCH /v2/NAME/blobs/uploads/ID`.
pub async fn append(call: &Call, id: &str, request: &mut Request<Incoming>) -> ResponseOrDrop {
    let mut guard = take(call, id)?;
    check_range(request, guard.upload().size()).map_err(|it| out_of_order(call, id, it))?;
    let mut guard = received(call, id, guard, request).await?;
    let upload = guard.upload();
    // ECR answers a chunk with 201, and with the range of the first one (aws/containers-roadmap#2831).
    let (size, status) = if call.is_ecr() { (upload.first_part(), 201) } else { (upload.size(), 202) };
    Ok(progress(call, id, size, status)?)
}

/// `PUT /v2/NAME/blobs/uploads/ID?digest=DIGEST`, with the rest of the body or without any.
pub async fn finish(call: &Call, id: &str, request: &mut Request<Incoming>) -> ResponseOrDrop {
    let digest = digest_of_query(request)?;
    let mut guard = take(call, id)?;
    check_range(request, guard.upload().size()).map_err(|it| out_of_order(call, id, it))?;
    let upload = received(call, id, guard, request).await?.into_upload();
    if call.injected.forget {
        call.registry.shared.store.discard(id);
        return Err(unknown_upload().into());
    }
    let rules = if call.is_ecr() { PartRules::Ecr } else { PartRules::Oci };
    match uploads::complete(&call.registry.shared.store, (id, &upload), rules, |it| *it == digest) {
        Ok(_) => Ok(created(call, &digest)?),
        Err(CompleteError::Internal(error)) => Err(error.into()),
        Err(error) => Err(refused(call, id, &error).into()),
    }
}

fn refused(call: &Call, id: &str, error: &CompleteError) -> OciError {
    let message = error.sentence(call.name.as_str(), id, call.registry.key.account.as_str());
    match error {
        CompleteError::RepositoryNotFound => OciError::new(404, "NAME_UNKNOWN", message),
        CompleteError::OtherDigest if !call.is_ecr() => digest_invalid(&message),
        // dotnet/sdk-container-builds#424, radius-project/radius#7855
        _ => OciError::new(400, "BLOB_UPLOAD_INVALID", message),
    }
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
    call.registry.shared.store.discard(id);
    builder(204).body(empty()).map_err(Into::into)
}

/// Appends the body of a request to an upload. Without space for it, the upload is given up with what it takes.
async fn received<'a>(
    call: &Call,
    id: &str,
    mut guard: UploadGuard<'a>,
    request: &mut Request<Incoming>,
) -> Result<UploadGuard<'a>, NoResponse> {
    let start = guard.upload().size();
    match receive(call, guard.upload(), request).await {
        Ok(()) => {
            guard.upload().end_part(start);
            Ok(guard)
        }
        Err(NoResponse::Refused(error)) if error.status == 507 => {
            drop(guard.into_upload());
            call.registry.shared.store.discard(id);
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

/// A chunk that does not begin where the last one ended.
struct OutOfOrder {
    /// The first byte of the chunk; `None` if the header cannot be read.
    first: Option<u64>,
    /// The number of bytes so far.
    size: u64,
}

/// Checks the optional header `Content-Range`: a chunk must begin where the last one ended.
fn check_range(request: &Request<Incoming>, size: u64) -> Result<(), OutOfOrder> {
    let Some(range) = header(request, "content-range") else { return Ok(()) };
    let first = range.trim_start_matches("bytes ").split_once('-').and_then(|(first, _)| first.parse().ok());
    if first == Some(size) { Ok(()) } else { Err(OutOfOrder { first, size }) }
}

/// "If a chunk is uploaded out of order, the registry MUST respond with a 416" (specification, "Pushing a blob in
/// chunks").
fn out_of_order(call: &Call, id: &str, OutOfOrder { first, size }: OutOfOrder) -> OciError {
    let message = uploads::out_of_order(first.unwrap_or_default(), size);
    let location = format!("/v2/{}/blobs/uploads/{id}", call.name);
    let range = format!("0-{}", size.saturating_sub(1));
    OciError::new(416, "BLOB_UPLOAD_INVALID", message).with("location", location).with("range", range)
}

fn take<'a>(call: &'a Call, id: &str) -> Result<UploadGuard<'a>, OciError> {
    let upload = call.registry.shared.take_upload(&call.registry.key, &call.name, id);
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
