//! `BatchCheckLayerAvailability`, uploads of layers in parts, and `GetDownloadUrlForLayer`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ecr_types::{Digest, RepositoryName};
use serde_json::json;

use super::{ApiResult, Call, Input};
use crate::error::ApiError;
use crate::shared::UploadGuard;
use crate::token;
use crate::upload::Upload;

/// The recommended size of a part in bytes (`InitiateLayerUpload`, `partSize`).
const PART_SIZE: u64 = 10 * 1024 * 1024;
/// The minimum size of a part in bytes, except the last one (service quotas, "Minimum layer part size").
const MIN_PART: u64 = 5 * 1024 * 1024;
/// The validity of a URL from `GetDownloadUrlForLayer` in seconds.
const URL_LIFETIME: u64 = 60 * 60;

pub fn check(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    call.with(input, |_, repository| {
        let (mut layers, mut failures) = (Vec::new(), Vec::new());
        for text in input.texts("layerDigests").unwrap_or_default() {
            match text.parse::<Digest>() {
                Ok(digest) => layers.push(match repository.layers.get(&digest).filter(|_| call.shared.blobs().has(&digest)) {
                    Some(size) => {
                        json!({"layerDigest": digest, "layerAvailability": "AVAILABLE", "layerSize": size})
                    }
                    None => json!({"layerDigest": digest, "layerAvailability": "UNAVAILABLE"}),
                }),
                Err(error) => failures.push(json!({
                    "layerDigest": text,
                    "failureCode": "InvalidLayerDigest",
                    "failureReason": error.to_string(),
                })),
            }
        }
        Ok(json!({"layers": layers, "failures": failures}))
    })
}

pub fn initiate(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let name = call.with(input, |name, _| Ok(name.clone()))?;
    let id = call.shared.begin_upload(&call.registry, &name)?;
    Ok(json!({"uploadId": id, "partSize": PART_SIZE}))
}

/// Receives a part. Parts must be in order and without gaps.
pub fn upload(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let name = call.with(input, |name, _| Ok(name.clone()))?;
    let id = input.required("uploadId");
    let bytes = BASE64_STANDARD.decode(input.required("layerPartBlob")).unwrap_or_default();
    let mut guard = take(call, &name, id)?;
    let upload = guard.upload();
    let (first, last) = (input.number("partFirstByte"), input.number("partLastByte"));
    let expected = upload.size().checked_add(bytes.len() as u64).and_then(|it| it.checked_sub(1));
    if first != Some(upload.size()) || last != expected || bytes.is_empty() {
        return Err(invalid_part(call, &name, id, upload.size()));
    }
    if let Err(error) = upload.write_part(&bytes).map_err(ApiError::from) {
        // Without space for it, the upload is given up with what it takes.
        if error.status == 507 {
            drop(guard.into_upload());
            call.shared.store().discard(id);
        }
        return Err(error);
    }
    let size = upload.size();
    Ok(call.about(&name, json!({"uploadId": id, "lastByteReceived": size.saturating_sub(1)})))
}

pub fn complete(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let name = call.with(input, |name, _| Ok(name.clone()))?;
    let id = input.required("uploadId");
    let upload = take(call, &name, id)?.into_upload();
    let wanted = input.texts("layerDigests").unwrap_or_default();
    let refusal = refusal(&upload, &wanted);
    let digest = upload.digest();
    let mut store = call.shared.store();
    let Some(repository) = store.model().repository(&call.registry, &name) else {
        return Err(ApiError::repository_not_found(name.as_str(), call.registry.account.as_str()));
    };
    let exists = repository.layers.contains_key(&digest) && store.blobs().has(&digest);
    if refusal.is_some() || exists {
        store.discard(id);
    }
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    if exists {
        let message =
            format!("Layer with digest '{digest}' already exists in the repository with name '{name}'");
        return Err(ApiError::new("LayerAlreadyExistsException", message));
    }
    let adopted = store.adopt(&call.registry, &name, id, &digest, upload.size());
    adopted?;
    Ok(call.about(&name, json!({"uploadId": id, "layerDigest": digest})))
}

fn refusal(upload: &Upload, wanted: &[&str]) -> Option<ApiError> {
    if upload.size() == 0 {
        return Some(ApiError::new("EmptyUploadException", "the upload has no parts"));
    }
    if upload.smallest_inner_part().is_some_and(|it| it < MIN_PART) {
        let message = format!("a part must have at least {MIN_PART} bytes, except the last one");
        return Some(ApiError::new("LayerPartTooSmallException", message));
    }
    let digest = upload.digest();
    (!wanted.contains(&digest.as_str())).then(|| {
        let message = format!("the uploaded layer has the digest {digest}, which is not in layerDigests");
        ApiError::new("InvalidLayerException", message)
    })
}

fn take<'a>(call: &'a Call<'_>, name: &RepositoryName, id: &str) -> Result<UploadGuard<'a>, ApiError> {
    call.shared.take_upload(&call.registry, name, id).ok_or_else(|| {
        ApiError::new(
            "UploadNotFoundException",
            format!("the upload with id '{id}' does not exist in '{name}'"),
        )
    })
}

fn invalid_part(call: &Call<'_>, name: &RepositoryName, id: &str, size: u64) -> ApiError {
    let message =
        format!("the part does not begin at byte {size}, or partLastByte does not match its length");
    let mut error = ApiError::new("InvalidLayerPartException", message);
    let more = json!({"uploadId": id, "lastValidByteReceived": size.saturating_sub(1)});
    error.members = Some(call.about(name, more));
    error
}

/// Returns a URL from which this blob can be downloaded without credentials for an hour.
pub fn download_url(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let text = input.required("layerDigest");
    call.with(input, |name, repository| {
        let digest = text.parse::<Digest>().ok().filter(|it| repository.layers.contains_key(it));
        let Some(digest) = digest else {
            let account = &call.registry.account;
            let message = format!(
                "The layers with digests '[{text}]' required do not exist in the repository with name '{name}' \
                 in the registry with id '{account}'"
            );
            return Err(ApiError::new("LayersNotFoundException", message));
        };
        Ok((name.clone(), digest))
    })
    .map(|(name, digest)| {
        let expires_at = call.shared.now() as u64 + URL_LIFETIME;
        let path = token::sign_path(call.shared.store().secret(), &call.registry, &name, &digest, expires_at);
        json!({"downloadUrl": format!("http://{}{path}", call.shared.host), "layerDigest": digest})
    })
}
