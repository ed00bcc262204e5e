//! `UpdateImageStorageClass`: archives an image, and restores it.

use serde_json::json;

use super::image_id::{ImageId, image_not_found};
use super::{ApiResult, Call, Input};
use crate::error::ApiError;
use crate::model::{Image, StorageClass};

/// The time that a restore takes, in seconds. ECR takes up to 20 minutes (Amazon ECR user guide, "Restoring an image").
pub const RESTORE_TIME: f64 = 3.0;

pub fn update(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let id = ImageId::new(input.part("imageId").unwrap_or(input));
    let is_archive = input.required("targetStorageClass") == "ARCHIVE";
    let now = call.shared.now();
    call.change(input.required("repositoryName"), |transaction, name, repository| {
        let (digest, image) =
            id.find(transaction, repository)?.map_err(|_| image_not_found(call, name, &id))?;
        let image = match (is_archive, image.status(now)) {
            (true, "ACTIVE") => {
                Image { storage_class: StorageClass::Archive, archived_at: Some(now), ..image }
            }
            (false, "ARCHIVED") => Image {
                storage_class: StorageClass::Standard,
                activated_at: Some(now + RESTORE_TIME),
                // A restored image is scanned again: its earlier results are not available.
                scan_requested_at: None,
                ..image
            },
            _ => {
                let message = "The requested image storage class update is not supported.";
                return Err(ApiError::new("ImageStorageClassUpdateNotSupportedException", message));
            }
        };
        transaction.put_image(repository.id, &digest, &image)?;
        let id = ImageId { digest: Some(digest.to_string()), tag: id.tag.clone() };
        Ok(call.about(name, json!({"imageId": id.json(), "imageStatus": image.status(now)})))
    })
}
