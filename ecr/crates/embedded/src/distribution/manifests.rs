//! Requests for manifests, tags and referrers (OCI distribution specification).

use ecr_types::media_type::INDEXES;
use ecr_types::{Digest, ImageTag, InvalidName};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request};
use serde_json::json;

use super::{Call, OciResult};
use crate::error::OciError;
use crate::http::{builder, empty, full, header, json_response, query, text_response, with_header};
use crate::images::{self, DeleteError, MAX_MANIFEST, NewImage, PutError, immutable_sentence};

/// `HEAD` or `GET /v2/NAME/manifests/REFERENCE`.
pub fn get(call: &Call, reference: &str, method: &Method) -> OciResult {
    let unknown = || OciError::new(404, "MANIFEST_UNKNOWN", "Requested image not found");
    let (digest, media_type, size, path) = {
        let store = call.shared.store();
        let repository = store.model().repository(&call.registry, &call.name).ok_or_else(unknown)?;
        let digest = match reference.parse::<Digest>() {
            Ok(digest) => digest,
            // An invalid tag cannot exist.
            Err(_) => {
                let tag = reference.parse::<ImageTag>().map_err(|_| unknown())?;
                repository.image_tags.get(&tag).cloned().ok_or_else(unknown)?
            }
        };
        let image = repository.images.get(&digest).ok_or_else(unknown)?;
        let path = store.blobs().path(&digest);
        (digest, image.media_type.clone(), image.manifest_size, path)
    };
    if !path.is_file() {
        return Err(unknown());
    }
    let body = match *method {
        Method::HEAD => empty(),
        _ => {
            pulled(call, &digest)?;
            full(std::fs::read(path)?)
        }
    };
    builder(200)
        .header("content-type", media_type)
        .header("content-length", size)
        .header("docker-content-digest", digest.as_str())
        .body(body)
        .map_err(Into::into)
}

fn pulled(call: &Call, digest: &Digest) -> Result<(), OciError> {
    let mut store = call.shared.store();
    images::pulled(&mut store, &call.registry, &call.name, [digest], call.shared.now()).map_err(Into::into)
}

/// `DELETE /v2/NAME/manifests/REFERENCE`: deletes a tag, or an image with all of its tags.
pub fn delete(call: &Call, reference: &str) -> OciResult {
    let unknown = || OciError::new(404, "MANIFEST_UNKNOWN", "Requested image not found");
    let mut store = call.shared.store();
    let repository = store.model().repository(&call.registry, &call.name).ok_or_else(unknown)?;
    let (digest, tag) = match reference.parse::<Digest>() {
        Ok(digest) if repository.images.contains_key(&digest) => (digest, None),
        Ok(_) => return Err(unknown()),
        Err(_) => {
            let tag = reference.parse::<ImageTag>().map_err(|_| unknown())?;
            (repository.image_tags.get(&tag).cloned().ok_or_else(unknown)?, Some(tag))
        }
    };
    match images::delete(&mut store, &call.registry, &call.name, &digest, tag.as_ref()) {
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
    let store = call.shared.store();
    let repository = store.model().repository(&call.registry, &call.name);
    let all = repository.into_iter().flat_map(|it| images::referrers(it, &subject));
    let wanted = all
        .filter(|(_, it)| artifact_type.is_none_or(|kind| it.artifact_media_type.as_deref() == Some(kind)));
    let manifests: Vec<_> = wanted.map(|(digest, image)| images::referrer(&store, digest, image)).collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": manifests});
    let response = text_response(200, INDEXES[0], index.to_string());
    Ok(match artifact_type {
        Some(_) => with_header(response, "oci-filters-applied", "artifactType"),
        None => response,
    })
}

/// `PUT /v2/NAME/manifests/REFERENCE`. As in ECR, the response has no `Location`.
pub async fn put(call: &Call, reference: &str, request: &mut Request<Incoming>) -> OciResult {
    let digest = reference.parse::<Digest>().ok();
    let tag = if digest.is_none() { Some(parsed_tag(reference)?) } else { None };
    let media_type =
        header(request, "content-type").map(|it| it.split(';').next().unwrap_or(it).trim().to_owned());
    let body = Limited::new(request.body_mut(), MAX_MANIFEST).collect().await;
    let bytes = body.map_err(|it| OciError::new(413, "SIZE_INVALID", it.to_string()))?.to_bytes();
    let new = NewImage { tag, digest, media_type, bytes: bytes.to_vec() };
    let stored = images::put(&mut call.shared.store(), &call.registry, &call.name, new, call.shared.now());
    let stored = stored.map_err(|it| refused(call, it))?;
    let mut response = builder(201).header("docker-content-digest", stored.digest.as_str());
    if let Some(subject) = &stored.subject {
        // "If the registry supports the referrers API" (specification, "Pushing Manifests with Subject").
        response = response.header("oci-subject", subject.as_str());
    }
    response.body(empty()).map_err(Into::into)
}

/// `GET /v2/NAME/tags/list?n=N&last=TAG`.
pub fn tags<B>(call: &Call, request: &Request<B>) -> OciResult {
    let limit = match query(request, "n") {
        None => 1000,
        Some(n) => n.parse::<usize>().map_err(|_| {
            OciError::new(400, "PAGINATION_NUMBER_INVALID", format!("`{n}` is not a number of tags"))
        })?,
    };
    let limit = limit.min(1000);
    let last = query(request, "last");
    let store = call.shared.store();
    let repository = store.model().repository(&call.registry, &call.name);
    let tags = repository.into_iter().flat_map(|it| it.image_tags.keys()).map(ImageTag::as_str);
    let mut tags = tags.filter(|tag| last.as_deref().is_none_or(|last| *tag > last));
    let page: Vec<_> = tags.by_ref().take(limit).collect();
    let response = json_response(200, &json!({"name": call.name, "tags": page}));
    match (tags.next(), page.last()) {
        (Some(_), Some(last)) => {
            let next = format!("</v2/{}/tags/list?n={limit}&last={last}>; rel=\"next\"", call.name);
            Ok(with_header(response, "link", &next))
        }
        _ => Ok(response),
    }
}

fn parsed_tag(text: &str) -> Result<ImageTag, OciError> {
    text.parse().map_err(|it: InvalidName| OciError::new(400, "TAG_INVALID", it.to_string()))
}

fn refused(call: &Call, error: PutError) -> OciError {
    let joined = |digests: &[Digest]| digests.iter().map(Digest::as_str).collect::<Vec<_>>().join(", ");
    match error {
        PutError::RepositoryNotFound => {
            OciError::name_unknown(call.name.as_str(), call.registry.account.as_str())
        }
        PutError::Invalid(error) => OciError::new(400, "MANIFEST_INVALID", error.to_string()),
        PutError::DigestMismatch { expected, found } => {
            let message = format!("the manifest has digest {found}, not {expected}");
            OciError::new(400, "DIGEST_INVALID", message)
        }
        PutError::LayersMissing(digests) => {
            let message = format!("the repository does not have the blobs {}", joined(&digests));
            OciError::new(400, "MANIFEST_BLOB_UNKNOWN", message)
        }
        PutError::ChildrenMissing(digests) => {
            let message = format!("the repository does not have the manifests {}", joined(&digests));
            OciError::new(400, "MANIFEST_BLOB_UNKNOWN", message)
        }
        PutError::TagImmutable { tag, .. } => {
            OciError::new(400, "TAG_INVALID", immutable_sentence(&call.name, &tag))
        }
        PutError::TooManyTags(tag) => {
            let message = images::too_many_tags(&call.name, &tag, call.registry.account.as_str());
            OciError::new(403, "DENIED", message)
        }
        PutError::Internal(error) => OciError::failed(&error),
    }
}
