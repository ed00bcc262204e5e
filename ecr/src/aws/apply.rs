//! Writing to a registry, one [`WriteAction`] at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ecr::types::{
    EncryptionConfiguration, ImageScanningConfiguration, ImageTagMutability as SdkMutability,
    ImageTagMutabilityExclusionFilter, ImageTagMutabilityExclusionFilterType, Repository, Tag,
};
use ecr_lifecycle::{Document, StoredPolicy};
use ecr_types::{ImageTagMutability, RepositoryName};

use super::answer::{member, same, unexpected};
use super::observe::NOT_FOUND;
use super::{Aws, ServiceError};
use crate::config::desired::{DesiredRepository, Encryption};
use crate::plan::{WriteAction, same_repository_policy};

/// The result of a write that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// AWS accepted the write.
    Done,
    /// The repository was created.
    Created {
        arn: String,
        /// `HOST/NAME`.
        uri: String,
    },
    /// Another process has created the repository in the meantime, so that it has to be read again.
    AlreadyExists,
    /// The permission is missing, which was recorded for the warnings.
    Denied,
}

type Result<T> = std::result::Result<T, ServiceError>;

impl Aws {
    /// Performs one write of a plan. A missing permission is an error only if the action is required.
    pub async fn apply(&self, name: &RepositoryName, action: &WriteAction) -> Result<Applied> {
        let result = match action {
            WriteAction::CreateRepository(desired) => self.create(desired).await,
            WriteAction::PutImageTagMutability { mutability, filters } => {
                self.put_mutability(name, *mutability, filters).await
            }
            WriteAction::PutImageScanningConfiguration { scan_on_push } => {
                self.put_scanning(name, *scan_on_push).await
            }
            WriteAction::PutLifecyclePolicy(document) => self.put_lifecycle_policy(name, document).await,
            WriteAction::DeleteLifecyclePolicy => self.delete_lifecycle_policy(name).await,
            WriteAction::SetRepositoryPolicy(text) => self.set_repository_policy(name, text).await,
            WriteAction::TagResource { arn, tags } => self.tag_resource(arn, tags).await,
        };
        match result {
            Err(error) if error.is_denied() && !action.is_required() => {
                let (permission, consequence) = denied_write(action);
                self.denials.add(permission, consequence, name.as_str());
                Ok(Applied::Denied)
            }
            result => result,
        }
    }

    /// Deletes a repository with all its images (`DeleteRepository`). Returns `false` if it does not exist.
    pub async fn delete_repository(&self, name: &RepositoryName) -> Result<bool> {
        const ACTION: &str = "ecr:DeleteRepository";
        let request = self.ecr.delete_repository().repository_name(name.as_str()).force(true);
        match request.send().await.map_err(|it| ServiceError::new(ACTION, it)) {
            Ok(response) => {
                let deleted = member(ACTION, "repository", response.repository())?;
                self.about(ACTION, deleted.registry_id(), deleted.repository_name(), name.as_str())?;
                Ok(true)
            }
            Err(error) if error.has_code(NOT_FOUND) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates a repository. Resource tags need `ecr:TagResource` in addition to `ecr:CreateRepository`: if it is
    /// denied, the repository is created without tags.
    async fn create(&self, desired: &DesiredRepository) -> Result<Applied> {
        match self.create_repository(desired, &desired.tags).await {
            Err(error) if error.is_denied() && !desired.tags.is_empty() => {
                let created = self.create_repository(desired, &BTreeMap::new()).await?;
                let consequence = "repositories were created without resource tags";
                self.denials.add(TAG, consequence, desired.name.as_str());
                Ok(created)
            }
            result => result,
        }
    }

    async fn create_repository(
        &self,
        desired: &DesiredRepository,
        tags: &BTreeMap<String, String>,
    ) -> Result<Applied> {
        let scanning = ImageScanningConfiguration::builder().scan_on_push(desired.scan_on_push).build();
        let request = self
            .ecr
            .create_repository()
            .repository_name(desired.name.as_str())
            .image_tag_mutability(sdk_mutability(desired.image_tag_mutability))
            .set_image_tag_mutability_exclusion_filters(sdk_filters(&desired.exclusion_filters)?)
            .image_scanning_configuration(scanning)
            .set_encryption_configuration(desired.encryption.as_ref().map(sdk_encryption).transpose()?)
            .set_tags((!tags.is_empty()).then(|| sdk_tags(tags)).transpose()?);
        match request.send().await.map_err(|it| ServiceError::new(CREATE, it)) {
            Ok(response) => {
                let created = member(CREATE, "repository", response.repository())?;
                self.about(CREATE, created.registry_id(), created.repository_name(), desired.name.as_str())?;
                let (arn, uri) = arn_and_uri(CREATE, created)?;
                Ok(Applied::Created { arn: arn.to_owned(), uri: uri.to_owned() })
            }
            Err(error) if error.has_code("RepositoryAlreadyExistsException") => Ok(Applied::AlreadyExists),
            Err(error) => Err(error),
        }
    }

    async fn put_mutability(
        &self,
        name: &RepositoryName,
        mutability: ImageTagMutability,
        filters: &[String],
    ) -> Result<Applied> {
        let request = self
            .ecr
            .put_image_tag_mutability()
            .repository_name(name.as_str())
            .image_tag_mutability(sdk_mutability(mutability))
            .set_image_tag_mutability_exclusion_filters(sdk_filters(filters)?);
        let response = request.send().await.map_err(|it| ServiceError::new(PUT_MUTABILITY, it))?;
        self.about(PUT_MUTABILITY, response.registry_id(), response.repository_name(), name.as_str())?;
        let found = response.image_tag_mutability().map(|it| it.as_str());
        same(PUT_MUTABILITY, "imageTagMutability", found, mutability.as_str())?;
        let found = response.image_tag_mutability_exclusion_filters().iter();
        if found.map(|it| it.filter()).collect::<BTreeSet<_>>()
            != filters.iter().map(String::as_str).collect()
        {
            return Err(unexpected(PUT_MUTABILITY, "other `imageTagMutabilityExclusionFilters`"));
        }
        Ok(Applied::Done)
    }

    async fn put_scanning(&self, name: &RepositoryName, scan_on_push: bool) -> Result<Applied> {
        const ACTION: &str = "ecr:PutImageScanningConfiguration";
        let scanning = ImageScanningConfiguration::builder().scan_on_push(scan_on_push).build();
        let request = self.ecr.put_image_scanning_configuration().repository_name(name.as_str());
        let response = request.image_scanning_configuration(scanning).send().await;
        let response = response.map_err(|it| ServiceError::new(ACTION, it))?;
        self.about(ACTION, response.registry_id(), response.repository_name(), name.as_str())?;
        let found = member(ACTION, "imageScanningConfiguration", response.image_scanning_configuration())?;
        same(ACTION, "scanOnPush", Some(&found.scan_on_push().to_string()), &scan_on_push.to_string())?;
        Ok(Applied::Done)
    }

    async fn put_lifecycle_policy(&self, name: &RepositoryName, document: &Document) -> Result<Applied> {
        const ACTION: &str = "ecr:PutLifecyclePolicy";
        let request = self.ecr.put_lifecycle_policy().repository_name(name.as_str());
        let response = request.lifecycle_policy_text(document.text()).send().await;
        let response = response.map_err(|it| ServiceError::new(ACTION, it))?;
        self.about(ACTION, response.registry_id(), response.repository_name(), name.as_str())?;
        let text = member(ACTION, "lifecyclePolicyText", response.lifecycle_policy_text)?;
        match StoredPolicy::parse(text).document() == Some(document) {
            true => Ok(Applied::Done),
            false => Err(unexpected(ACTION, "`lifecyclePolicyText` is another policy")),
        }
    }

    async fn delete_lifecycle_policy(&self, name: &RepositoryName) -> Result<Applied> {
        const ACTION: &str = "ecr:DeleteLifecyclePolicy";
        let response = self.ecr.delete_lifecycle_policy().repository_name(name.as_str()).send().await;
        match response.map_err(|it| ServiceError::new(ACTION, it)) {
            Ok(response) => self
                .about(ACTION, response.registry_id(), response.repository_name(), name.as_str())
                .map(|()| Applied::Done),
            Err(error) if error.has_code("LifecyclePolicyNotFoundException") => Ok(Applied::Done),
            Err(error) => Err(error),
        }
    }

    async fn set_repository_policy(&self, name: &RepositoryName, text: &str) -> Result<Applied> {
        let request = self.ecr.set_repository_policy().repository_name(name.as_str()).policy_text(text);
        let response = request.send().await.map_err(|it| ServiceError::new(SET_POLICY, it))?;
        self.about(SET_POLICY, response.registry_id(), response.repository_name(), name.as_str())?;
        let found = member(SET_POLICY, "policyText", response.policy_text())?;
        match same_repository_policy(found, text) {
            true => Ok(Applied::Done),
            false => Err(unexpected(SET_POLICY, "`policyText` is another policy")),
        }
    }

    /// The answer has no members, so that only reading the tags proves the write.
    async fn tag_resource(&self, arn: &str, tags: &BTreeMap<String, String>) -> Result<Applied> {
        let request = self.ecr.tag_resource().resource_arn(arn).set_tags(Some(sdk_tags(tags)?));
        request.send().await.map_err(|it| ServiceError::new(TAG, it))?;
        for pause in READ_PAUSES {
            tokio::time::sleep(pause).await;
            let found = self.list_tags(arn).await?;
            if tags.iter().all(|(key, value)| found.get(key) == Some(value)) {
                return Ok(Applied::Done);
            }
        }
        Err(unexpected(TAG, "the resource tags are as before"))
    }
}

const CREATE: &str = "ecr:CreateRepository";
const PUT_MUTABILITY: &str = "ecr:PutImageTagMutability";
const SET_POLICY: &str = "ecr:SetRepositoryPolicy";
const TAG: &str = "ecr:TagResource";

/// The pauses before each read of tags that were just written: AWS does not say that a read shows them at once.
const READ_PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(300), Duration::from_millis(1500)];

/// The ARN and the URI of a described repository.
///
/// # Errors
/// One of them is missing, or not that of the repository.
pub(super) fn arn_and_uri<'a>(operation: &'static str, found: &'a Repository) -> Result<(&'a str, &'a str)> {
    let name = found.repository_name().unwrap_or_default();
    let arn = member(operation, "repositoryArn", found.repository_arn())?;
    let uri = member(operation, "repositoryUri", found.repository_uri())?;
    let is_of_arn = arn.rsplit_once(":repository/").is_some_and(|(_, it)| it == name);
    let is_of_uri = uri.split_once('/').is_some_and(|(host, it)| !host.is_empty() && it == name);
    if !is_of_arn {
        return Err(unexpected(operation, format!("`repositoryArn` of `{name}` is `{arn}`")));
    }
    if !is_of_uri {
        return Err(unexpected(operation, format!("`repositoryUri` of `{name}` is `{uri}`")));
    }
    Ok((arn, uri))
}

/// The permission of a write, and the consequence if it is missing.
fn denied_write(action: &WriteAction) -> (&'static str, &'static str) {
    match action {
        WriteAction::CreateRepository(_) => (CREATE, "repositories were not created"),
        WriteAction::PutLifecyclePolicy(_) => {
            ("ecr:PutLifecyclePolicy", "lifecycle policies were not written")
        }
        WriteAction::PutImageTagMutability { .. } => {
            (PUT_MUTABILITY, "`imageTagMutability` differs and was not changed")
        }
        WriteAction::PutImageScanningConfiguration { .. } => {
            ("ecr:PutImageScanningConfiguration", "`scanOnPush` differs and was not changed")
        }
        WriteAction::DeleteLifecyclePolicy => {
            ("ecr:DeleteLifecyclePolicy", "a lifecycle policy that should not exist was not deleted")
        }
        WriteAction::SetRepositoryPolicy(_) => (SET_POLICY, "`repositoryPolicy` differs and was not changed"),
        WriteAction::TagResource { .. } => (TAG, "resource tags differ and were not written"),
    }
}

pub(super) fn sdk_mutability(mutability: ImageTagMutability) -> SdkMutability {
    SdkMutability::from(mutability.as_str())
}

fn sdk_filters(filters: &[String]) -> Result<Option<Vec<ImageTagMutabilityExclusionFilter>>> {
    if filters.is_empty() {
        return Ok(None);
    }
    let filter = |text: &String| {
        ImageTagMutabilityExclusionFilter::builder()
            .filter_type(ImageTagMutabilityExclusionFilterType::Wildcard)
            .filter(text)
            .build()
            .map_err(|it| ServiceError::unexpected(PUT_MUTABILITY, &it))
    };
    filters.iter().map(filter).collect::<Result<_>>().map(Some)
}

fn sdk_encryption(encryption: &Encryption) -> Result<EncryptionConfiguration> {
    EncryptionConfiguration::builder()
        .encryption_type(encryption.kind.as_str().into())
        .set_kms_key(encryption.kms_key.clone())
        .build()
        .map_err(|it| ServiceError::unexpected(CREATE, &it))
}

pub(super) fn sdk_tags(tags: &BTreeMap<String, String>) -> Result<Vec<Tag>> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    tags.iter().map(|it| tag(it).map_err(|it| ServiceError::unexpected(TAG, &it))).collect()
}
