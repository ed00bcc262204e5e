//! What a repository holds, in numbers.

use aws_sdk_ecr::config::http::HttpResponse;
use aws_sdk_ecr::error::SdkError;
use aws_sdk_ecr::operation::describe_images::DescribeImagesError;
use aws_sdk_ecr::types::{DescribeImagesFilter, ImageStatusFilter};
use ecr_types::RepositoryName;

use super::observe::NOT_FOUND;
use super::{Aws, ServiceError};

/// How many images a repository holds and how large they are together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageTotals {
    /// Images, tagged or not, archived ones too.
    pub images: u64,
    /// The sum of their sizes, as ECR counts them: layers that images share are counted for each.
    pub bytes: u64,
}

type DescribeImagesFailure = SdkError<DescribeImagesError, HttpResponse>;

impl Aws {
    /// Counts the images of a repository; `None` where they may not be listed.
    pub async fn image_totals(&self, name: &RepositoryName) -> Result<Option<ImageTotals>, ServiceError> {
        const ACTION: &str = "ecr:DescribeImages";
        match self.count_images(name).await.map_err(|it| ServiceError::new(ACTION, it)) {
            Ok(totals) => Ok(Some(totals)),
            Err(error) if error.has_code(NOT_FOUND) => Ok(Some(ImageTotals::default())),
            Err(error) => {
                self.note_if_denied(error, ACTION, "images were not counted", name.as_str()).map(|()| None)
            }
        }
    }

    /// Page by page, so that memory does not grow with the repository.
    async fn count_images(&self, name: &RepositoryName) -> Result<ImageTotals, DescribeImagesFailure> {
        let any = DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build();
        let request = self.ecr.describe_images().repository_name(name.as_str()).filter(any).max_results(1000);
        let mut images = request.into_paginator().items().send();
        let mut totals = ImageTotals::default();
        while let Some(image) = images.try_next().await? {
            let bytes = image.image_size_in_bytes().and_then(|it| u64::try_from(it).ok());
            totals.images += 1;
            totals.bytes += bytes.unwrap_or_default();
        }
        Ok(totals)
    }
}
