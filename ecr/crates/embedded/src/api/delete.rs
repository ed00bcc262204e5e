//! `BatchDeleteImage`.

use serde_json::{Value, json};

use super::images::{ImageId, Missing};
use super::{Answer, Call, Input};
use crate::error::ApiError;
use crate::images::{self, DeleteError};

const REFERENCED: &str = "ImageReferencedByManifestList";

/// Deletes images. A request can have indexes and the images that they reference in any order.
pub fn batch_delete(call: &Call<'_>, input: Input<'_>) -> Answer {
    let ids: Vec<_> = input.parts("imageIds").unwrap_or_default().into_iter().map(ImageId::new).collect();
    call.with(input, |_, _| Ok(()))?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    // An image that an index references can be deleted after the index, so such images are tried again.
    let mut remaining = ids;
    loop {
        let (mut referenced, before) = (Vec::new(), deleted.len());
        for id in remaining {
            match delete_one(call, input, &id)? {
                Ok(rows) => deleted.extend(rows),
                Err(failure) if failure["failureCode"] == REFERENCED => referenced.push((id, failure)),
                Err(failure) => failures.push(failure),
            }
        }
        if referenced.is_empty() || deleted.len() == before {
            failures.extend(referenced.into_iter().map(|(_, failure)| failure));
            return Ok(json!({"imageIds": deleted, "failures": failures}));
        }
        remaining = referenced.into_iter().map(|(id, _)| id).collect();
    }
}

/// Deletes one image or tag. Returns the entries of `imageIds`, one for each deleted tag, or the entry of `failures`.
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
        Err(DeleteError::Gone) => Ok(Err(Missing::NotFound.failure(id))),
        Err(DeleteError::Referenced(index)) => Ok(Err(json!({
            "imageId": id.json(),
            "failureCode": REFERENCED,
            "failureReason": format!("Requested image referenced by manifest list: [{index}]"),
        }))),
        Err(DeleteError::Internal(error)) => Err(ApiError::internal(&error)),
    }
}
