//! Images by their tags.

use aws_sdk_ecr::types::{ImageFailureCode, ImageIdentifier};
use ecr_lifecycle::Image;
use ecr_types::{Digest, RepositoryName};

use super::answer::{member, same, unexpected};
use super::inventory::{BATCH_GET, DESCRIBE, listed_image};
use super::{Aws, ServiceError};

impl Aws {
    /// The image with the tag `tag`. `None` if there is none.
    pub async fn tagged_image(
        &self,
        name: &RepositoryName,
        tag: &str,
    ) -> Result<Option<Image>, ServiceError> {
        let id = ImageIdentifier::builder().image_tag(tag).build();
        match self.described_image(name, id).await? {
            Some(image) if !image.tags.iter().any(|it| it == tag) => {
                Err(unexpected(DESCRIBE, format!("an image without the tag `{tag}`")))
            }
            found => Ok(found),
        }
    }

    /// The image with a digest. `None` if there is none.
    pub async fn image_of_digest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Image>, ServiceError> {
        let id = ImageIdentifier::builder().image_digest(digest.as_str()).build();
        match self.described_image(name, id).await? {
            Some(image) if image.digest != *digest => {
                Err(unexpected(DESCRIBE, format!("an image with another digest than {digest}")))
            }
            found => Ok(found),
        }
    }

    async fn described_image(
        &self,
        name: &RepositoryName,
        id: ImageIdentifier,
    ) -> Result<Option<Image>, ServiceError> {
        let request = self.ecr.describe_images().repository_name(name.as_str()).image_ids(id);
        match request.send().await.map_err(|it| ServiceError::new(DESCRIBE, it)) {
            Ok(response) => {
                let details = member(DESCRIBE, "imageDetails", response.image_details)?;
                let detail = member(DESCRIBE, "imageDetails", details.first())?;
                self.about(DESCRIBE, detail.registry_id(), detail.repository_name(), name.as_str())?;
                listed_image(detail).map(|(image, _)| Some(image))
            }
            Err(error) if error.has_code("ImageNotFoundException") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The digest of the image with the tag `tag`, by `BatchGetImage`, which ECR records as a pull. `None` if there is none.
    pub async fn tagged_digest(
        &self,
        name: &RepositoryName,
        tag: &str,
    ) -> Result<Option<Digest>, ServiceError> {
        let id = ImageIdentifier::builder().image_tag(tag).build();
        let request = self.ecr.batch_get_image().repository_name(name.as_str()).image_ids(id);
        let response = request.send().await.map_err(|it| ServiceError::new(BATCH_GET, it))?;
        let Some(image) = response.images().first() else {
            let code = response.failures().first().and_then(|it| it.failure_code());
            return match code {
                Some(ImageFailureCode::ImageNotFound | ImageFailureCode::ImageTagDoesNotMatchDigest) => {
                    Ok(None)
                }
                _ => {
                    Err(unexpected(BATCH_GET, format!("neither an image nor a failure for the tag `{tag}`")))
                }
            };
        };
        let found = member(BATCH_GET, "imageId", image.image_id())?;
        same(BATCH_GET, "imageTag", found.image_tag(), tag)?;
        let digest = member(BATCH_GET, "imageDigest", found.image_digest())?;
        digest.parse().map(Some).map_err(|it| unexpected(BATCH_GET, it))
    }
}
