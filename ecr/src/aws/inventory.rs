//! The images of a repository, as a lifecycle policy sees them, and the service's own preview of one.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ecr::primitives::DateTime;
use aws_sdk_ecr::types::{
    DescribeImagesFilter, ImageDetail, ImageIdentifier, ImageStatus, ImageStatusFilter,
    LifecyclePolicyPreviewStatus,
};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::observe::NOT_FOUND;
use super::{Aws, ServiceError};
use crate::image::listed_digests;
use crate::lifecycle::{Image, StorageClass, Timestamp};
use crate::name::{Digest, RepositoryName};

/// What the service's own preview applies to an image: the rule's priority.
pub type ServicePreview = BTreeMap<Digest, i64>;

/// Images whose manifests are fetched by one call (service model, `BatchGetImage`).
const MANIFESTS_PER_CALL: usize = 100;

impl Aws {
    /// Every image of a repository, archived ones too; `None` where they may not be listed. A repository that does
    /// not exist has none. What indexes list is unknown where `ecr:BatchGetImage` is denied.
    pub async fn inventory(&self, name: &RepositoryName) -> Result<Option<Vec<Image>>, ServiceError> {
        const ACTION: &str = "ecr:DescribeImages";
        let details = match self.image_details(name).await {
            Ok(details) => details,
            Err(error) if error.is(NOT_FOUND) => return Ok(Some(Vec::new())),
            Err(error) => {
                let skipped = "what a lifecycle policy takes was not worked out";
                return self.forgiven(error, ACTION, skipped, name.as_str()).map(|()| None);
            }
        };
        let indexes = details.iter().filter(|it| is_index(it));
        let indexes = indexes.filter_map(|it| it.image_digest().map(str::to_owned)).collect();
        let children = self.children(name, indexes).await?;
        Ok(Some(details.iter().filter_map(|it| image(it, children.as_ref())).collect()))
    }

    async fn image_details(&self, name: &RepositoryName) -> Result<Vec<ImageDetail>, ServiceError> {
        let any = DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build();
        let request = self.ecr.describe_images().repository_name(name.as_str()).filter(any).max_results(1000);
        let mut pages = request.into_paginator().items().send();
        let mut details = Vec::new();
        while let Some(image) = pages.next().await {
            details.push(image.map_err(|it| ServiceError::new("ecr:DescribeImages", it))?);
        }
        Ok(details)
    }

    /// What each index lists; `None` where manifests may not be read.
    async fn children(
        &self,
        name: &RepositoryName,
        indexes: Vec<String>,
    ) -> Result<Option<BTreeMap<String, Vec<Digest>>>, ServiceError> {
        const ACTION: &str = "ecr:BatchGetImage";
        let batches = indexes.chunks(MANIFESTS_PER_CALL).map(|digests| async move {
            let ids = digests.iter().map(|it| ImageIdentifier::builder().image_digest(it).build()).collect();
            let request = self.ecr.batch_get_image().repository_name(name.as_str()).set_image_ids(Some(ids));
            request.send().await.map_err(|it| ServiceError::new(ACTION, it))
        });
        let answers: Result<Vec<_>, _> =
            stream::iter(batches).buffered(self.concurrency()).try_collect().await;
        match answers {
            Ok(answers) => {
                let images = answers.into_iter().flat_map(|it| it.images.unwrap_or_default());
                let read = |it: aws_sdk_ecr::types::Image| {
                    let manifest = serde_json::from_str(it.image_manifest()?).unwrap_or_default();
                    let children = listed_digests(&manifest, "manifests");
                    Some((it.image_id()?.image_digest()?.to_owned(), children))
                };
                Ok(Some(images.filter_map(read).collect()))
            }
            Err(error) => {
                let skipped = "which images an index protects is not known";
                self.forgiven(error, ACTION, skipped, name.as_str()).map(|()| None)
            }
        }
    }

    /// Asks ECR itself what a policy would take (`StartLifecyclePolicyPreview`) and waits for the answer, for at
    /// most two minutes.
    pub async fn service_preview(
        &self,
        name: &RepositoryName,
        policy: &str,
    ) -> Result<ServicePreview, ServiceError> {
        const START: &str = "ecr:StartLifecyclePolicyPreview";
        let request = self.ecr.start_lifecycle_policy_preview();
        let request = request.repository_name(name.as_str()).lifecycle_policy_text(policy);
        request.send().await.map_err(|it| ServiceError::new(START, it))?;
        let mut pause = Duration::from_millis(100);
        let mut waited = Duration::ZERO;
        loop {
            match self.preview_status(name).await? {
                LifecyclePolicyPreviewStatus::Complete => return self.preview_results(name).await,
                LifecyclePolicyPreviewStatus::InProgress if waited < PREVIEW_PATIENCE => {}
                status => {
                    let reason = format!("the preview is {} after {} s", status.as_str(), waited.as_secs());
                    return Err(ServiceError::unexpected(GET_PREVIEW, &reason));
                }
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(Duration::from_secs(3));
        }
    }

    async fn preview_status(
        &self,
        name: &RepositoryName,
    ) -> Result<LifecyclePolicyPreviewStatus, ServiceError> {
        let answer = self
            .ecr
            .get_lifecycle_policy_preview()
            .repository_name(name.as_str())
            .max_results(1)
            .send()
            .await;
        let answer = answer.map_err(|it| ServiceError::new(GET_PREVIEW, it))?;
        answer.status.ok_or_else(|| ServiceError::unexpected(GET_PREVIEW, &"no status"))
    }

    async fn preview_results(&self, name: &RepositoryName) -> Result<ServicePreview, ServiceError> {
        let request = self.ecr.get_lifecycle_policy_preview().repository_name(name.as_str()).max_results(100);
        let mut pages = request.into_paginator().items().send();
        let mut results = ServicePreview::new();
        while let Some(result) = pages.next().await {
            let result = result.map_err(|it| ServiceError::new(GET_PREVIEW, it))?;
            let digest = result.image_digest().and_then(|it| it.parse().ok());
            results.extend(digest.zip(result.applied_rule_priority().map(i64::from)));
        }
        Ok(results)
    }
}

const GET_PREVIEW: &str = "ecr:GetLifecyclePolicyPreview";
const PREVIEW_PATIENCE: Duration = Duration::from_secs(120);

fn is_index(image: &ImageDetail) -> bool {
    image.image_manifest_media_type().is_some_and(crate::image::is_index)
}

/// `None` for an answer without a digest or a date, which ECR never gives.
fn image(detail: &ImageDetail, children: Option<&BTreeMap<String, Vec<Digest>>>) -> Option<Image> {
    let digest = detail.image_digest()?;
    let children = match is_index(detail) {
        // An index whose manifest did not come is one whose images are not known.
        true => children.and_then(|it| it.get(digest).cloned()),
        false => Some(Vec::new()),
    };
    let is_archived = detail.image_status() == Some(&ImageStatus::Archived);
    Some(Image {
        digest: digest.parse().ok()?,
        tags: detail.image_tags().to_vec(),
        media_type: detail.image_manifest_media_type().map(str::to_owned),
        pushed_at: timestamp(detail.image_pushed_at())?,
        last_pulled_at: timestamp(detail.last_recorded_pull_time()),
        size_bytes: detail.image_size_in_bytes().and_then(|it| u64::try_from(it).ok()).unwrap_or_default(),
        subject: detail.subject_manifest_digest().and_then(|it| it.parse().ok()),
        children,
        storage_class: if is_archived { StorageClass::Archive } else { StorageClass::Standard },
        last_archived_at: timestamp(detail.last_archived_at()),
        last_activated_at: timestamp(detail.last_activated_at()),
    })
}

fn timestamp(time: Option<&DateTime>) -> Option<Timestamp> {
    time.map(|it| Timestamp::from_nanoseconds(it.as_nanos()))
}
