//! Identifiers of images in requests.

use ecr_types::{Digest, ImageTag, RepositoryName};
use serde_json::{Value, json};

use super::{Call, Input};
use crate::error::ApiError;
use crate::model::{Image, Repository};
use crate::store::{Queries, Rows};

/// The identifier of an image: a digest, a tag, or both (service model, `ImageIdentifier`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageId {
    /// As in the request; it may be malformed.
    pub digest: Option<String>,
    /// As in the request; it may be malformed.
    pub tag: Option<String>,
}

impl ImageId {
    pub fn new(input: Input<'_>) -> Self {
        let text = |key| input.text(key).map(str::to_owned);
        Self { digest: text("imageDigest"), tag: text("imageTag") }
    }

    /// The `imageIds` of an input.
    pub fn all(input: Input<'_>) -> Option<Vec<Self>> {
        Some(input.parts("imageIds")?.into_iter().map(Self::new).collect())
    }

    /// Whether the identifier is that of this image.
    pub fn is_of(&self, image: &ecr_lifecycle::Image) -> bool {
        self.digest.as_ref().is_none_or(|it| image.digest.as_str() == it)
            && self.tag.as_ref().is_none_or(|it| image.tags.contains(it))
    }

    pub fn json(&self) -> Value {
        let mut id = json!({});
        if let Some(digest) = &self.digest {
            id["imageDigest"] = json!(digest);
        }
        if let Some(tag) = &self.tag {
            id["imageTag"] = json!(tag);
        }
        id
    }

    /// The image with this identifier.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn find(
        &self,
        rows: &impl Rows,
        repository: &Repository,
    ) -> anyhow::Result<Result<(Digest, Image), Missing>> {
        let tag = self.tag.as_ref().map(|it| it.parse::<ImageTag>()).transpose();
        let Ok(tag) = tag else { return Ok(Err(Missing::InvalidTag)) };
        let tagged = match &tag {
            Some(tag) => match rows.tagged(repository.id, tag)? {
                Some(digest) => Some(digest),
                None => return Ok(Err(Missing::NotFound)),
            },
            None => None,
        };
        let named = self.digest.as_ref().map(|it| it.parse::<Digest>()).transpose();
        let Ok(named) = named else { return Ok(Err(Missing::InvalidDigest)) };
        let digest = match (tagged, named) {
            (Some(tagged), Some(named)) if tagged != named => return Ok(Err(Missing::TagDoesNotMatch)),
            (Some(digest), _) | (None, Some(digest)) => digest,
            (None, None) => return Ok(Err(Missing::Neither)),
        };
        let image = rows.image(repository.id, &digest)?;
        Ok(image.map(|image| (digest, image)).ok_or(Missing::NotFound))
    }
}

/// The reason for which an identifier has no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    NotFound,
    InvalidTag,
    InvalidDigest,
    TagDoesNotMatch,
    Neither,
}

impl Missing {
    /// The entry of `failures` in the response of a batch operation (service model, `ImageFailureCode`).
    pub fn failure(self, id: &ImageId) -> Value {
        let (code, reason) = match self {
            Self::NotFound => ("ImageNotFound", "Requested image not found"),
            Self::InvalidTag => ("InvalidImageTag", "Invalid request parameters: image tag is not valid"),
            Self::InvalidDigest => (
                "InvalidImageDigest",
                "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
            ),
            Self::TagDoesNotMatch => (
                "ImageTagDoesNotMatchDigest",
                "Invalid request parameters: image tag does not refer to the given digest",
            ),
            Self::Neither => {
                ("MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null")
            }
        };
        json!({"imageId": id.json(), "failureCode": code, "failureReason": reason})
    }
}

/// `ImageNotFoundException` with ECR's message.
pub fn image_not_found(call: &Call<'_>, name: &RepositoryName, id: &ImageId) -> ApiError {
    let message = format!(
        "The image with imageId {} does not exist within the repository with name '{name}' \
         in the registry with id '{}'",
        shown(id),
        call.registry.account
    );
    ApiError::new("ImageNotFoundException", message)
}

/// An identifier in the notation of ECR's messages: `{imageDigest:'sha256:...', imageTag:'null'}`.
pub fn shown(id: &ImageId) -> String {
    let quoted = |it: &Option<String>| it.as_ref().map_or("'null'".to_owned(), |it| format!("'{it}'"));
    format!("{{imageDigest:{}, imageTag:{}}}", quoted(&id.digest), quoted(&id.tag))
}
