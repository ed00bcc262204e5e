//! `BatchDeleteImage`.

use ecr_types::ImageTag;
use serde_json::{Value, json};

use super::image_id::{ImageId, Missing};
use super::{ApiResult, Call, Input};
use crate::error::ApiError;
use crate::images::{self, DeleteError};
use crate::model::Repository;
use crate::store::Transaction;

/// Deletes images in one transaction. A request can have indexes and the images that they reference in any order.
pub fn batch_delete(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let mut remaining = ImageId::all(input).unwrap_or_default();
    call.change(input.required("repositoryName"), |transaction, _, repository| {
        let (mut deleted, mut failures) = (Vec::new(), Vec::new());
        // An image that an index references can be deleted after the index, so such images are tried again.
        loop {
            let (mut referenced, before) = (Vec::new(), deleted.len());
            for id in remaining {
                match delete_one(transaction, repository, &id)? {
                    Deletion::Deleted(rows) => deleted.extend(rows),
                    Deletion::Referenced(failure) => referenced.push((id, failure)),
                    Deletion::Failed(failure) => failures.push(failure),
                }
            }
            if referenced.is_empty() || deleted.len() == before {
                failures.extend(referenced.into_iter().map(|(_, failure)| failure));
                return Ok(json!({"imageIds": deleted, "failures": failures}));
            }
            remaining = referenced.into_iter().map(|(id, _)| id).collect();
        }
    })
}

/// The result for one `imageId`.
enum Deletion {
    /// The entries of `imageIds`: one for each deleted tag.
    Deleted(Vec<Value>),
    /// The entry of `failures` for an image that an index references.
    Referenced(Value),
    /// The entry of `failures` for any other reason.
    Failed(Value),
}

/// Deletes one image or tag.
fn delete_one(
    transaction: &mut Transaction<'_>,
    repository: &Repository,
    id: &ImageId,
) -> Result<Deletion, ApiError> {
    let digest = match id.find(transaction, repository)? {
        Ok((digest, _)) => digest,
        Err(missing) => return Ok(Deletion::Failed(missing.failure(id))),
    };
    let tag = id.tag.as_ref().filter(|_| id.digest.is_none()).and_then(|it| it.parse().ok());
    match images::delete(transaction, repository, &digest, tag.as_ref()) {
        Ok(tags) if tags.is_empty() => Ok(Deletion::Deleted(vec![json!({ "imageDigest": digest })])),
        Ok(tags) => {
            let entry = |tag: &ImageTag| json!({"imageDigest": digest, "imageTag": tag});
            Ok(Deletion::Deleted(tags.iter().map(entry).collect()))
        }
        Err(DeleteError::Gone) => Ok(Deletion::Failed(Missing::NotFound.failure(id))),
        Err(DeleteError::Referenced(index)) => Ok(Deletion::Referenced(json!({
            "imageId": id.json(),
            "failureCode": "ImageReferencedByManifestList",
            "failureReason": format!("Requested image referenced by manifest list: [{index}]"),
        }))),
        Err(DeleteError::Internal(error)) => Err(error.into()),
    }
}
