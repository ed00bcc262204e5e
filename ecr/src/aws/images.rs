//! The number and the size of the images of a repository.

use aws_sdk_ecr::types::{DescribeImagesFilter, ImageStatusFilter};
use ecr_types::RepositoryName;

use super::answer::member;
use super::observe::NOT_FOUND;
use super::pages::Pages;
use super::{Aws, ServiceError};

/// The number of images of a repository, and their total size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageTotals {
    /// Tagged, untagged and archived images.
    pub images: u64,
    /// The sum of `imageSizeInBytes`. Layers that several images share are counted for each of them.
    pub bytes: u64,
}

const ACTION: &str = "ecr:DescribeImages";

impl Aws {
    /// Counts the images of a repository. `None` if `ecr:DescribeImages` is denied. A repository that does not exist
    /// has none.
    pub async fn image_totals(&self, name: &RepositoryName) -> Result<Option<ImageTotals>, ServiceError> {
        match self.count_images(name).await {
            Ok(totals) => Ok(Some(totals)),
            Err(error) if error.has_code(NOT_FOUND) => Ok(Some(ImageTotals::default())),
            Err(error) => {
                self.note_if_denied(error, ACTION, "images were not counted", name.as_str()).map(|()| None)
            }
        }
    }

    /// Counts page by page, so that the memory use does not depend on the number of images.
    async fn count_images(&self, name: &RepositoryName) -> Result<ImageTotals, ServiceError> {
        let any = DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build();
        let request = self.ecr.describe_images().repository_name(name.as_str()).filter(any).max_results(1000);
        let mut pages = Pages::new(ACTION);
        let mut totals = ImageTotals::default();
        loop {
            let page = request.clone().set_next_token(pages.token()).send().await;
            let page = page.map_err(|it| ServiceError::new(ACTION, it))?;
            for image in member(ACTION, "imageDetails", page.image_details)? {
                self.about(ACTION, image.registry_id(), image.repository_name(), name.as_str())?;
                let bytes = image.image_size_in_bytes().and_then(|it| u64::try_from(it).ok());
                totals.images += 1;
                totals.bytes = totals.bytes.saturating_add(bytes.unwrap_or_default());
            }
            if !pages.follow(page.next_token)? {
                return Ok(totals);
            }
        }
    }
}
