//! `BatchDeleteImage`, and what goes with an image; the data plane's DELETE is the same.

use serde_json::{Value, json};

use super::images::ImageId;
use super::{Answer, Call, Input};
use crate::local::error::ApiError;
use crate::local::images::{self, DeleteError};

/// Indexes go first, so that a request may name an index and its images in any order.
pub fn batch_delete(call: &Call<'_>, input: Input<'_>) -> Answer {
    let mut ids: Vec<_> = input.parts("imageIds").unwrap_or_default().into_iter().map(ImageId::new).collect();
    let name = call.with(input, |name, repository| {
        let is_index = |id: &ImageId| id.find(repository).is_ok_and(|(_, image)| !image.children.is_empty());
        ids.sort_by_key(|id| !is_index(id));
        Ok(name.clone())
    })?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for id in &ids {
        match delete_one(call, input, id)? {
            Ok(rows) => deleted.extend(rows),
            Err(failure) => failures.push(failure),
        }
    }
    call.with_named(name.as_str(), |_, _| Ok(()))?;
    Ok(json!({"imageIds": deleted, "failures": failures}))
}

/// The rows of what went, one a tag; or the entry of `failures`.
fn delete_one(
    call: &Call<'_>,
    input: Input<'_>,
    id: &ImageId,
) -> Result<Result<Vec<Value>, Value>, ApiError> {
    let found = call.with(input, |name, repository| {
        Ok(id.find(repository).map(|(digest, _)| (name.clone(), digest.clone())))
    })?;
    let (name, digest) = match found {
        Ok(found) => found,
        Err(missing) => return Ok(Err(missing.failure(id))),
    };
    let tag = id.tag.as_ref().filter(|_| id.digest.is_none()).and_then(|it| it.parse().ok());
    let store = &mut call.shared.store();
    match images::delete(store, &call.registry, &name, &digest, tag.as_ref()) {
        Ok(tags) if tags.is_empty() => Ok(Ok(vec![json!({ "imageDigest": digest })])),
        Ok(tags) => Ok(Ok(tags.iter().map(|tag| json!({"imageDigest": digest, "imageTag": tag})).collect())),
        Err(DeleteError::Referenced(index)) => Ok(Err(json!({
            "imageId": id.json(),
            "failureCode": "ImageReferencedByManifestList",
            "failureReason": format!("Requested image referenced by manifest list: [{index}]"),
        }))),
        Err(DeleteError::Internal(error)) => Err(ApiError::internal(&error)),
    }
}
