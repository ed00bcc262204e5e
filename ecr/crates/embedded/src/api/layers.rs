//! `BatchCheckLayerAvailability`, uploads of layers in parts, and `GetDownloadUrlForLayer`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ecr_types::{Digest, Manifest, RepositoryName};
use serde_json::json;

use super::{ApiResult, Call, Found, Input};
use crate::error::ApiError;
use crate::model::Repository;
use crate::shared::UploadGuard;
use crate::store::{Queries, Rows};
use crate::uploads::{self, CompleteError, Completed, PartRules};

/// The recommended size of a part in bytes (`InitiateLayerUpload`, `partSize`).
const PART_SIZE: u64 = 10 * 1024 * 1024;

pub fn check(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let Found { rows, repository, .. } = call.find(input)?;
    let (mut layers, mut failures) = (Vec::new(), Vec::new());
    for text in input.texts("layerDigests").unwrap_or_default() {
        let digest = match text.parse::<Digest>() {
            Ok(digest) => digest,
            Err(error) => {
                failures.push(json!({
                    "layerDigest": text,
                    "failureCode": "InvalidLayerDigest",
                    "failureReason": error.to_string(),
                }));
                continue;
            }
        };
        let layer = rows.layer(repository.id, &digest)?.filter(|_| call.shared.store.blobs().has(&digest));
        layers.push(match layer {
            Some(layer) => json!({
                "layerDigest": digest,
                "layerAvailability": "AVAILABLE",
                "layerSize": layer.size,
                "mediaType": media_type_of(&rows, &repository, &digest)?,
            }),
            None => json!({"layerDigest": digest, "layerAvailability": "UNAVAILABLE"}),
        });
    }
    Ok(json!({"layers": layers, "failures": failures}))
}

/// The media type that a manifest gives to a blob. A blob that no manifest names has that of docker's layers, as in moto.
fn media_type_of(rows: &impl Rows, repository: &Repository, layer: &Digest) -> anyhow::Result<String> {
    let named = match rows.user(repository.id, layer)? {
        Some(image) => {
            let text = rows.manifest(repository.id, &image)?.unwrap_or_default();
            let manifest = Manifest::parse(&text, None).ok();
            manifest.and_then(|it| it.blobs().find(|it| it.digest == *layer).map(|it| it.media_type.clone()))
        }
        None => None,
    };
    Ok(named.unwrap_or_else(|| "application/vnd.docker.image.rootfs.diff.tar.gzip".to_owned()))
}

pub fn initiate(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    call.create_on_push(&call.name(input.required("repositoryName"))?)?;
    let Found { name, .. } = call.find(input)?;
    let id = call.shared.begin_upload(&call.registry, &name)?;
    Ok(json!({"uploadId": id, "partSize": PART_SIZE}))
}

/// Receives a part. Parts must be in order and without gaps.
pub fn upload(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let Found { name, .. } = call.find(input)?;
    let id = input.required("uploadId");
    let bytes = BASE64_STANDARD.decode(input.required("layerPartBlob")).unwrap_or_default();
    let mut guard = take(call, &name, id)?;
    let upload = guard.upload();
    let (first, last) = (input.number("partFirstByte"), input.number("partLastByte"));
    let expected = upload.size().checked_add(bytes.len() as u64).and_then(|it| it.checked_sub(1));
    if first != Some(upload.size()) || last != expected || bytes.is_empty() {
        return Err(invalid_part(call, &name, id, first.unwrap_or_default(), upload.size()));
    }
    if let Err(error) = upload.write_part(&bytes).map_err(ApiError::from) {
        // Without space for it, the upload is given up with what it takes.
        if error.status == 507 {
            drop(guard.into_upload());
            call.shared.store.discard(id);
        }
        return Err(error);
    }
    let size = upload.size();
    Ok(call.about(&name, json!({"uploadId": id, "lastByteReceived": size.saturating_sub(1)})))
}

pub fn complete(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let Found { name, .. } = call.find(input)?;
    let id = input.required("uploadId");
    let upload = take(call, &name, id)?.into_upload();
    let wanted: Vec<_> = input.texts("layerDigests").unwrap_or_default();
    let account = call.registry.account.as_str();
    let is_wanted = |digest: &Digest| wanted.contains(&digest.as_str());
    match uploads::complete(&call.shared.store, (id, &upload), PartRules::Ecr, is_wanted) {
        Ok(Completed { digest, existed: false }) => {
            Ok(call.about(&name, json!({"uploadId": id, "layerDigest": digest})))
        }
        Ok(Completed { digest, existed: true }) => Err(ApiError::new(
            "LayerAlreadyExistsException",
            format!(
                "Layer with digest '{digest}' already exists in the repository with name '{name}' \
                 in registry with id '{account}'"
            ),
        )),
        Err(error) => Err(refused(error, name.as_str(), id, account)),
    }
}

fn refused(error: CompleteError, name: &str, id: &str, account: &str) -> ApiError {
    let message = error.sentence(name, id, account);
    let code = match error {
        CompleteError::RepositoryNotFound => "RepositoryNotFoundException",
        CompleteError::Empty => "EmptyUploadException",
        CompleteError::PartTooSmall => "LayerPartTooSmallException",
        CompleteError::OtherDigest => "InvalidLayerException",
        CompleteError::Internal(error) => return ApiError::failed(&error),
    };
    ApiError::new(code, message)
}

fn take<'a>(call: &'a Call<'_>, name: &RepositoryName, id: &str) -> Result<UploadGuard<'a>, ApiError> {
    call.shared.take_upload(&call.registry, name, id).ok_or_else(|| {
        let account = &call.registry.account;
        let message = format!(
            "The upload with id '{id}' does not exist in the repository with name '{name}' \
             in the registry with id '{account}'"
        );
        ApiError::new("UploadNotFoundException", message)
    })
}

fn invalid_part(call: &Call<'_>, name: &RepositoryName, id: &str, first: u64, size: u64) -> ApiError {
    let message = if first == size {
        "The last byte of the layer part does not match its length".to_owned()
    } else {
        uploads::out_of_order(first, size)
    };
    let mut error = ApiError::new("InvalidLayerPartException", message);
    let more = json!({"uploadId": id, "lastValidByteReceived": size.saturating_sub(1)});
    error.members = Some(call.about(name, more));
    error
}

/// Returns a URL from which this blob can be downloaded without credentials for an hour.
pub fn download_url(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let text = input.required("layerDigest");
    let Found { rows, name, repository } = call.find(input)?;
    let known = match text.parse::<Digest>() {
        Ok(digest) => rows.layer(repository.id, &digest)?.map(|_| digest),
        Err(_) => None,
    };
    let Some(digest) = known else {
        let message = format!(
            "The layer with digest '{text}' does not exist within the repository with name '{name}' \
             in the registry with id '{}'",
            call.registry.account
        );
        return Err(ApiError::new("LayersNotFoundException", message));
    };
    let url = call.shared.download_url(&call.registry, &name, &digest, &call.shared.host);
    Ok(json!({"downloadUrl": url, "layerDigest": digest}))
}
