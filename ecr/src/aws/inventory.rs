//! The images of a repository, and ECR's preview of a lifecycle policy.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use aws_sdk_ecr::primitives::DateTime;
use aws_sdk_ecr::types::{
    DescribeImagesFilter, ImageDetail, ImageIdentifier, ImageStatus, ImageStatusFilter,
    LifecyclePolicyPreviewStatus,
};
use ecr_lifecycle::{Image, StorageClass, Timestamp};
use ecr_types::{Digest, RepositoryName};
use futures_util::stream::{self, StreamExt};

use super::answer::{member, same, unexpected};
use super::observe::NOT_FOUND;
use super::pages::Pages;
use super::{Aws, ServiceError};
use crate::inventory::{Detail, Inventory, ManifestContents};

/// The result of a lifecycle policy preview of ECR: the priority of the rule that applies to each affected image.
pub type ServicePreview = BTreeMap<Digest, i64>;

/// The maximum size of a config that is read, in bytes.
const MAX_CONFIG: usize = 4 << 20;
/// The maximum number of images of one `BatchGetImage` request (service model).
const MANIFESTS_PER_CALL: usize = 100;

/// The manifests to read. ECR records that as a pull (aws/containers-roadmap#2390).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manifests {
    None,
    /// Those of indexes, for the images that they list.
    Indexes,
    /// All manifests, for the blobs that images share.
    All,
}

impl Aws {
    /// All images of a repository, including archived ones. `None` if `ecr:DescribeImages` is denied. A repository that
    /// does not exist has no images. The contents of manifests are unknown if `ecr:BatchGetImage` is denied.
    pub async fn inventory(
        &self,
        name: &RepositoryName,
        manifests: Manifests,
    ) -> Result<Option<Inventory>, ServiceError> {
        let listed = match self.listed_images(name).await {
            Ok(listed) => listed,
            Err(error) if error.has_code(NOT_FOUND) => return Ok(Some(Inventory::default())),
            Err(error) => {
                return self
                    .note_if_denied(error, DESCRIBE, "images were not read", name.as_str())
                    .map(|()| None);
            }
        };
        let mut inventory = Inventory::new(listed);
        self.read_manifests(name, &mut inventory, manifests).await?;
        Ok(Some(inventory))
    }

    /// [`Aws::inventory`] for a command that can do nothing without it: a denied `ecr:DescribeImages` is an error.
    pub async fn required_inventory(
        &self,
        name: &RepositoryName,
        manifests: Manifests,
    ) -> anyhow::Result<Inventory> {
        let inventory = self.inventory(name, manifests).await?;
        inventory.context("no permission to list the images (ecr:DescribeImages)")
    }

    /// Converts page by page, because the SDK's type of an image is larger than the result.
    async fn listed_images(&self, name: &RepositoryName) -> Result<Vec<(Image, Detail)>, ServiceError> {
        let any = DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build();
        let request = self.ecr.describe_images().repository_name(name.as_str()).filter(any).max_results(1000);
        let mut pages = Pages::new(DESCRIBE);
        let mut listed = Vec::new();
        loop {
            let page = request.clone().set_next_token(pages.token()).send().await;
            let page = page.map_err(|it| ServiceError::new(DESCRIBE, it))?;
            for detail in member(DESCRIBE, "imageDetails", page.image_details)? {
                self.about(DESCRIBE, detail.registry_id(), detail.repository_name(), name.as_str())?;
                listed.push(listed_image(&detail)?);
            }
            if !pages.follow(page.next_token)? {
                return Ok(listed);
            }
        }
    }

    /// The text of a manifest. ECR records the request as a pull.
    pub async fn manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<String, ServiceError> {
        let id = ImageIdentifier::builder().image_digest(digest.as_str()).build();
        let request = self.ecr.batch_get_image().repository_name(name.as_str()).image_ids(id);
        let response = request.send().await.map_err(|it| ServiceError::new(BATCH_GET, it))?;
        let image = response.images().first();
        let image = image.ok_or_else(|| unexpected(BATCH_GET, format!("no manifest for {digest}")))?;
        let found = image.image_id().and_then(|it| it.image_digest());
        same(BATCH_GET, "imageDigest", found, digest.as_str())?;
        member(BATCH_GET, "imageManifest", image.image_manifest()).map(str::to_owned)
    }

    /// The text of a config, from the address that ECR gives for the blob.
    pub async fn config(&self, name: &RepositoryName, digest: &Digest) -> Result<String, ServiceError> {
        let request = self.ecr.get_download_url_for_layer().repository_name(name.as_str());
        let found = request.layer_digest(digest.as_str()).send().await;
        let found = found.map_err(|it| ServiceError::new(DOWNLOAD, it))?;
        let url = member(DOWNLOAD, "downloadUrl", found.download_url())?;
        let response = self.http.get(url).await.map_err(|it| unexpected(DOWNLOAD, it))?;
        let bytes = response.into_body().read(MAX_CONFIG).await.map_err(|it| unexpected(DOWNLOAD, it))?;
        same(DOWNLOAD, "layerDigest", Some(Digest::of(&bytes).as_str()), digest.as_str())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads manifests in concurrent batches and adds their contents to `inventory`.
    async fn read_manifests(
        &self,
        name: &RepositoryName,
        inventory: &mut Inventory,
        manifests: Manifests,
    ) -> Result<(), ServiceError> {
        // Archived images cannot be pulled.
        let is_wanted = |it: &&Image| match manifests {
            Manifests::None => false,
            Manifests::Indexes => it.has_unknown_children(),
            Manifests::All => it.storage_class == StorageClass::Standard,
        };
        let wanted: Vec<Digest> =
            inventory.images.iter().filter(is_wanted).map(|it| it.digest.clone()).collect();
        let batches = wanted.chunks(MANIFESTS_PER_CALL).map(|digests| async move {
            let ids = digests.iter().map(|it| ImageIdentifier::builder().image_digest(it.as_str()).build());
            let request = self.ecr.batch_get_image().repository_name(name.as_str());
            let request = request.set_image_ids(Some(ids.collect()));
            let response = request.send().await.map_err(|it| ServiceError::new(BATCH_GET, it))?;
            let images = member(BATCH_GET, "images", response.images)?;
            images.iter().map(manifest).collect::<Result<Vec<_>, _>>()
        });
        let mut responses = stream::iter(batches).buffer_unordered(self.concurrency());
        while let Some(response) = responses.next().await {
            match response {
                Ok(manifests) => inventory.add_manifests(manifests),
                Err(error) if error.has_code(NOT_FOUND) => return Ok(()),
                Err(error) => {
                    let skipped = "the contents of indexes and the layers that images share are unknown";
                    return self.note_if_denied(error, BATCH_GET, skipped, name.as_str());
                }
            }
        }
        Ok(())
    }

    /// Lets ECR evaluate a policy (`StartLifecyclePolicyPreview`), and waits for the result for at most two minutes.
    pub async fn service_preview(
        &self,
        name: &RepositoryName,
        policy: &str,
    ) -> Result<ServicePreview, ServiceError> {
        let mut wait = Wait::default();
        loop {
            match self.start_preview(name, policy).await {
                Ok(()) => {}
                // One that another command has started, with another policy perhaps, is waited for.
                Err(error) if error.has_code(IN_PROGRESS) && wait.is_patient() => {
                    wait.pause().await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            match self.finished_preview(name, &mut wait).await? {
                Some(preview) => return Ok(preview),
                // Another command has started its own, which replaced this one.
                None => wait.pause().await,
            }
        }
    }

    /// Waits for the end of a preview that was just started. `None` if it is replaced by one of another policy.
    async fn finished_preview(
        &self,
        name: &RepositoryName,
        wait: &mut Wait,
    ) -> Result<Option<ServicePreview>, ServiceError> {
        // The text in the form in which ECR returns it.
        let mut own = None;
        loop {
            let (status, text) = self.preview_status(name).await?;
            let own = own.get_or_insert_with(|| text.clone());
            match status {
                _ if *own != text && wait.is_patient() => return Ok(None),
                LifecyclePolicyPreviewStatus::Complete => return self.preview_results(name).await.map(Some),
                LifecyclePolicyPreviewStatus::InProgress if wait.is_patient() => wait.pause().await,
                status => {
                    let seconds = wait.waited.as_secs();
                    let reason = format!("the preview is {} after {seconds} s", status.as_str());
                    return Err(ServiceError::unexpected(GET_PREVIEW, &reason));
                }
            }
        }
    }

    async fn start_preview(&self, name: &RepositoryName, policy: &str) -> Result<(), ServiceError> {
        const START: &str = "ecr:StartLifecyclePolicyPreview";
        let request = self.ecr.start_lifecycle_policy_preview();
        let request = request.repository_name(name.as_str()).lifecycle_policy_text(policy);
        let response = request.send().await.map_err(|it| ServiceError::new(START, it))?;
        self.about(START, response.registry_id(), response.repository_name(), name.as_str())?;
        member(START, "status", response.status()).map(drop)
    }

    /// The status of a preview, and the text of its policy.
    async fn preview_status(
        &self,
        name: &RepositoryName,
    ) -> Result<(LifecyclePolicyPreviewStatus, Option<String>), ServiceError> {
        let response = self
            .ecr
            .get_lifecycle_policy_preview()
            .repository_name(name.as_str())
            .max_results(1)
            .send()
            .await;
        let response = response.map_err(|it| ServiceError::new(GET_PREVIEW, it))?;
        self.about(GET_PREVIEW, response.registry_id(), response.repository_name(), name.as_str())?;
        Ok((member(GET_PREVIEW, "status", response.status)?, response.lifecycle_policy_text))
    }

    async fn preview_results(&self, name: &RepositoryName) -> Result<ServicePreview, ServiceError> {
        let request = self.ecr.get_lifecycle_policy_preview().repository_name(name.as_str()).max_results(100);
        let mut pages = Pages::new(GET_PREVIEW);
        let mut results = ServicePreview::new();
        loop {
            let page = request.clone().set_next_token(pages.token()).send().await;
            let page = page.map_err(|it| ServiceError::new(GET_PREVIEW, it))?;
            for result in member(GET_PREVIEW, "previewResults", page.preview_results)? {
                let digest = result.image_digest().and_then(|it| it.parse().ok());
                results.extend(digest.zip(result.applied_rule_priority().map(i64::from)));
            }
            if !pages.follow(page.next_token)? {
                return Ok(results);
            }
        }
    }
}

pub(super) const DESCRIBE: &str = "ecr:DescribeImages";
const DOWNLOAD: &str = "ecr:GetDownloadUrlForLayer";
pub(super) const BATCH_GET: &str = "ecr:BatchGetImage";
/// The exception for a repository whose preview has not ended.
const IN_PROGRESS: &str = "LifecyclePolicyPreviewInProgressException";

/// The wait for a preview, in longer and longer pauses.
#[derive(Default)]
struct Wait {
    waited: Duration,
    pauses: u32,
}

impl Wait {
    fn is_patient(&self) -> bool {
        self.waited < PREVIEW_TIMEOUT
    }

    async fn pause(&mut self) {
        let pause = (Duration::from_millis(100) * 2u32.pow(self.pauses.min(5))).min(Duration::from_secs(3));
        tokio::time::sleep(pause).await;
        self.waited += pause;
        self.pauses += 1;
    }
}

const GET_PREVIEW: &str = "ecr:GetLifecyclePolicyPreview";
const PREVIEW_TIMEOUT: Duration = Duration::from_secs(120);

/// # Errors
/// The digest or the manifest is missing, which ECR always returns.
fn manifest(image: &aws_sdk_ecr::types::Image) -> Result<(Digest, ManifestContents), ServiceError> {
    let digest = image.image_id().and_then(|it| it.image_digest());
    let digest = member(BATCH_GET, "imageDigest", digest)?;
    let digest = digest.parse().map_err(|it| unexpected(BATCH_GET, it))?;
    let text = member(BATCH_GET, "imageManifest", image.image_manifest())?;
    Ok((digest, ManifestContents::parse(text)))
}

/// # Errors
/// The digest or the push time is missing, which ECR always returns.
pub(super) fn listed_image(detail: &ImageDetail) -> Result<(Image, Detail), ServiceError> {
    let media_type = detail.image_manifest_media_type();
    let is_index = media_type.is_some_and(ecr_types::media_type::is_index);
    let is_archived = detail.image_status() == Some(&ImageStatus::Archived);
    let digest = member(DESCRIBE, "imageDigest", detail.image_digest())?;
    let image = Image {
        digest: digest.parse().map_err(|it| unexpected(DESCRIBE, it))?,
        tags: detail.image_tags().to_vec(),
        media_type: media_type.map(str::to_owned),
        pushed_at: member(DESCRIBE, "imagePushedAt", timestamp(detail.image_pushed_at()))?,
        last_pulled_at: timestamp(detail.last_recorded_pull_time()),
        size_bytes: detail.image_size_in_bytes().and_then(|it| u64::try_from(it).ok()).unwrap_or_default(),
        subject: detail.subject_manifest_digest().and_then(|it| it.parse().ok()),
        // The images of an index are unknown until its manifest is read.
        children: (!is_index).then(Vec::new),
        storage_class: if is_archived { StorageClass::Archive } else { StorageClass::Standard },
        last_archived_at: timestamp(detail.last_archived_at()),
        last_activated_at: timestamp(detail.last_activated_at()),
    };
    Ok((image, details_of(detail)))
}

fn details_of(detail: &ImageDetail) -> Detail {
    let status = detail.image_scan_status().and_then(|it| it.status());
    let counts = detail.image_scan_findings_summary().and_then(|it| it.finding_severity_counts());
    Detail::new(
        detail.artifact_media_type().map(str::to_owned),
        status.map(|it| it.as_str().to_owned()),
        counts.map(super::scans::counts),
    )
}

fn timestamp(time: Option<&DateTime>) -> Option<Timestamp> {
    time.map(|it| Timestamp::from_nanoseconds(it.as_nanos()))
}
