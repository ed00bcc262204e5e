//! Requests for manifests and referrers (OCI distribution specification).

use ecr_types::media_type::INDEXES;
use ecr_types::{Digest, ImageTag, InvalidName};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request};
use serde_json::json;

use super::{Call, OciResult};
use crate::convert::{accepted, converted};
use crate::error::OciError;
use crate::http::{builder, empty, full, header, text_response, with_header};
use crate::images::{self, DeleteError, MAX_MANIFEST, NewImage, PutError, absent, immutable_sentence};
use crate::store::{After, Queries, Rows};

/// `HEAD` or `GET /v2/NAME/manifests/REFERENCE`.
pub fn get(call: &Call, reference: &str, request: &Request<Incoming>) -> OciResult {
    let rows = call.registry.shared.store.read()?;
    let digest = resolved(call, &rows, reference)?;
    let image = rows.image(call.repository.id, &digest)?.ok_or_else(unknown)?;
    // Archived images cannot be pulled until they are restored (Amazon ECR user guide, "Archiving an image").
    if image.status(call.registry.shared.now()) != "ACTIVE" {
        return Err(unknown());
    }
    let text = rows.manifest(call.repository.id, &digest)?.ok_or_else(unknown)?;
    let accepted = accepted(request.headers().get_all("accept").iter().filter_map(|it| it.to_str().ok()));
    let is_converted = call.is_ecr() && reference.parse::<Digest>().is_err();
    let converted = is_converted.then(|| converted(&text, &image.media_type, &accepted)).flatten();
    let (sent_digest, media_type, text) = match converted {
        Some(it) => (Digest::of(&it.text), it.media_type.to_owned(), it.text),
        None => (digest.clone(), image.media_type.clone(), text),
    };
    let mut response = builder(200).header("content-type", media_type).header("content-length", text.len());
    let is_head = *request.method() == Method::HEAD;
    // ECR sends the digest with HEAD only (oras-project/oras-go#237).
    if is_head || !call.is_ecr() {
        response = response.header("docker-content-digest", sent_digest.as_str());
    }
    if is_head {
        return response.body(empty()).map_err(Into::into);
    }
    let (key, now) = ((&call.registry.key, &call.repository), call.registry.shared.now());
    // A pull succeeds also if its time cannot be recorded.
    let pulled = [(&digest, &image)];
    let _ = images::pulled(&call.registry.shared.store, key, &call.registry.caller, pulled, now);
    response.body(full(text)).map_err(Into::into)
}

fn unknown() -> OciError {
    OciError::new(404, "MANIFEST_UNKNOWN", "Requested image not found")
}

/// The digest of a reference, which is a digest or a tag.
fn resolved(call: &Call, rows: &impl Rows, reference: &str) -> Result<Digest, OciError> {
    match reference.parse::<Digest>() {
        Ok(digest) => Ok(digest),
        Err(_) => rows.tagged(call.repository.id, &asked_tag(call, reference)?)?.ok_or_else(unknown),
    }
}

/// The tag of a request for an image. ECR refuses one that no image can have with 400 (bazel-contrib/rules_oci#720).
fn asked_tag(call: &Call, text: &str) -> Result<ImageTag, OciError> {
    let invalid = OciError::invalid("imageTag", "must satisfy regular expression '[a-zA-Z0-9-_.]+'").message;
    text.parse().map_err(|_| match call.is_ecr() && !text.contains(':') {
        true => OciError::new(400, "TAG_INVALID", invalid),
        false => unknown(),
    })
}

/// `DELETE /v2/NAME/manifests/REFERENCE`: deletes a tag, or an image with all of its tags.
pub fn delete(call: &Call, reference: &str) -> OciResult {
    let is_tag = reference.parse::<Digest>().is_err();
    let tag = if is_tag { Some(asked_tag(call, reference)?) } else { None };
    let deleted = call.registry.shared.store.write(|transaction| {
        let digest = match (&tag, reference.parse::<Digest>()) {
            (None, Ok(digest)) => digest,
            (Some(tag), _) => transaction.tagged(call.repository.id, tag)?.ok_or(DeleteError::Gone)?,
            (None, Err(_)) => return Err(DeleteError::Gone),
        };
        images::delete(transaction, &call.repository, &digest, tag.as_ref())
    });
    match deleted {
        Ok(_) => builder(202).body(empty()).map_err(Into::into),
        Err(DeleteError::Gone) => Err(unknown()),
        Err(DeleteError::Referenced(index)) => {
            let message = format!("Requested image referenced by manifest list: [{index}]");
            Err(OciError::new(403, "DENIED", message))
        }
        Err(DeleteError::Internal(error)) => Err(OciError::failed(&error)),
    }
}

/// `GET /v2/NAME/referrers/DIGEST?artifactType=TYPE` (specification, "Listing Referrers").
pub fn referrers(call: &Call, digest: &str, artifact_type: Option<&str>) -> OciResult {
    let subject: Digest =
        digest.parse().map_err(|it: InvalidName| OciError::new(400, "DIGEST_INVALID", it.to_string()))?;
    let rows = call.registry.shared.store.read()?;
    let mut manifests = Vec::new();
    for digest in rows.referrers(call.repository.id, &subject, After::Start, usize::MAX)? {
        let Some(image) = rows.image(call.repository.id, &digest)? else { continue };
        if artifact_type.is_none_or(|kind| image.artifact_media_type.as_deref() == Some(kind)) {
            manifests.push(images::referrer(&rows, &call.repository, &digest, &image)?);
        }
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": manifests});
    let response = text_response(200, INDEXES[0], index.to_string());
    Ok(match artifact_type {
        Some(_) => with_header(response, "oci-filters-applied", "artifactType"),
        None => response,
    })
}

/// `PUT /v2/NAME/manifests/REFERENCE`. ECR's response has no `Location` (apple/swift-container-plugin#27).
pub async fn put(call: &Call, reference: &str, request: &mut Request<Incoming>) -> OciResult {
    let digest = reference.parse::<Digest>().ok();
    let tag = if digest.is_none() { Some(parsed_tag(reference)?) } else { None };
    let media_type =
        header(request, "content-type").map(|it| it.split(';').next().unwrap_or(it).trim().to_owned());
    let body = Limited::new(request.body_mut(), MAX_MANIFEST).collect().await;
    let bytes = body.map_err(|it| OciError::new(413, "SIZE_INVALID", it.to_string()))?.to_bytes();
    let new = NewImage { tag, digest, media_type, bytes: bytes.to_vec() };
    let stored = images::put(
        &call.registry.shared.store,
        &call.registry.key,
        &call.name,
        new,
        call.registry.shared.now(),
    );
    let stored = stored.map_err(|it| refused(call, it))?;
    let mut response = builder(201).header("docker-content-digest", stored.digest.as_str());
    if !call.is_ecr() {
        response = response.header("location", format!("/v2/{}/manifests/{}", call.name, stored.digest));
    }
    if let Some(subject) = &stored.subject {
        // "If the registry supports the referrers API" (specification, "Pushing Manifests with Subject").
        response = response.header("oci-subject", subject.as_str());
    }
    response.body(empty()).map_err(Into::into)
}

fn parsed_tag(text: &str) -> Result<ImageTag, OciError> {
    text.parse().map_err(|it: InvalidName| OciError::new(400, "TAG_INVALID", it.to_string()))
}

fn refused(call: &Call, error: PutError) -> OciError {
    let (name, account) = (call.name.as_str(), call.registry.key.account.as_str());
    match error {
        PutError::RepositoryNotFound => OciError::name_unknown(name, account),
        PutError::Invalid(error) if call.is_ecr() => {
            OciError::invalid("ImageManifest", &images::invalid_constraint(&error))
        }
        PutError::Invalid(error) => OciError::new(400, "MANIFEST_INVALID", error.to_string()),
        PutError::TooManyLayers => {
            OciError::invalid("ImageManifest", "Limit on number of layers per image exceeded")
        }
        PutError::DigestMismatch { expected, found } => {
            let message = format!("the manifest has digest {found}, not {expected}");
            OciError::new(400, "DIGEST_INVALID", message)
        }
        // The code is not that of the specification (oras-project/oras-py#54).
        PutError::LayersMissing(digests) => {
            let code = if call.is_ecr() { "BLOB_UPLOAD_UNKNOWN" } else { "MANIFEST_BLOB_UNKNOWN" };
            OciError::new(400, code, absent("Layers", &digests, name, account))
        }
        PutError::ChildrenMissing(digests) => {
            OciError::new(400, "MANIFEST_BLOB_UNKNOWN", absent("Images", &digests, name, account))
        }
        PutError::TagImmutable { tag, .. } => {
            OciError::new(400, "TAG_INVALID", immutable_sentence(&call.name, &tag))
        }
        PutError::TooManyTags(tag) => {
            OciError::new(403, "DENIED", images::too_many_tags(&call.name, &tag, account))
        }
        PutError::Internal(error) => OciError::failed(&error),
    }
}
