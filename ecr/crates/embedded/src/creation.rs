//! Repositories that a push, a pull through the cache or a replication creates, with the settings of a template (Amazon ECR
//! user guide, "Repository creation templates").

use std::collections::BTreeMap;

use anyhow::Result;
use ecr_types::{EncryptionType, ImageTagMutability, RepositoryName, namespace};
use serde_json::Value;

use super::access::{Access, Target};
use super::api::kms_key;
use super::model::{Registry, RegistryKey, Repository, RepositorySettings};
use super::shared::Shared;
use super::store::{Queries, Transaction};

/// What creates a repository (service model, `RCTAppliedFor`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    Push,
    Cache,
    Replication,
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Self::Push => "CREATE_ON_PUSH",
            Self::Cache => "PULL_THROUGH_CACHE",
            Self::Replication => "REPLICATION",
        }
    }
}

/// Creates a repository if a template allows it to be created by a push, and if the caller may create it.
///
/// # Errors
/// The state cannot be read or written.
pub fn on_push(
    shared: &Shared,
    key: &RegistryKey,
    caller: &str,
    name: &RepositoryName,
) -> Result<Option<Repository>> {
    let registry = shared.store.read()?.registry(key)?;
    if template(&registry, name, Scenario::Push).is_none() {
        return Ok(None);
    }
    let target = Some(Target { name, repository: None });
    let access = Access { registry: key, record: &registry, caller, operation: "CreateRepository", target };
    if access.denial(shared).is_some() {
        return Ok(None);
    }
    let now = shared.now();
    shared.store.write(|transaction| match transaction.repository(key, name)? {
        Some(repository) => Ok(Some(repository)),
        None => create(transaction, key, name, Scenario::Push, now),
    })
}

/// Creates a repository, which does not exist, with the settings of its template. `None` if there is no template, which a push
/// needs, or if the template cannot be applied. `now` is in seconds since 1970.
///
/// # Errors
/// The state cannot be read or written.
pub fn create(
    transaction: &mut Transaction<'_>,
    key: &RegistryKey,
    name: &RepositoryName,
    scenario: Scenario,
    now: f64,
) -> Result<Option<Repository>> {
    let registry = transaction.registry(key)?;
    let settings = match (template(&registry, name, scenario), scenario) {
        (Some(template), _) => settings(template, key, now),
        (None, Scenario::Push) => None,
        (None, _) => Some(RepositorySettings::new(now)),
    };
    settings.map(|it| transaction.create_repository(key, name, it)).transpose()
}

/// The template with the longest prefix that is about a repository. `ROOT` is about those that have no other.
fn template<'a>(registry: &'a Registry, name: &RepositoryName, scenario: Scenario) -> Option<&'a Value> {
    let is_applied = |template: &Value| {
        template["appliedFor"].as_array().is_some_and(|it| it.iter().any(|it| it == scenario.name()))
    };
    let applied = registry.templates.iter().filter(|(_, it)| is_applied(it));
    namespace::longest(applied.map(|(prefix, it)| (prefix.as_str(), it)), name.as_str())
}

/// The settings of a template. `None` if it has resource tags or a KMS key and no role that may set them: "otherwise the
/// repository creation will fail" (user guide; aws/containers-roadmap#2398).
fn settings(template: &Value, key: &RegistryKey, now: f64) -> Option<RepositorySettings> {
    let text = |value: &Value| value.as_str().filter(|it| !it.is_empty()).map(str::to_owned);
    let encryption = &template["encryptionConfiguration"];
    let encryption_type: EncryptionType = encryption["encryptionType"]
        .as_str()
        .and_then(|it| it.parse().ok())
        .unwrap_or(EncryptionType::Aes256);
    let tags = template["resourceTags"].as_array().into_iter().flatten();
    let tags: BTreeMap<_, _> = tags.filter_map(|it| Some((text(&it["Key"])?, text(&it["Value"])?))).collect();
    let needs_role = !tags.is_empty() || encryption_type != EncryptionType::Aes256;
    if needs_role && text(&template["customRoleArn"]).is_none() {
        return None;
    }
    let mutability = template["imageTagMutability"].as_str().and_then(|it| it.parse().ok());
    let filters = template["imageTagMutabilityExclusionFilters"].as_array().into_iter().flatten();
    Some(RepositorySettings {
        image_tag_mutability: mutability.unwrap_or(ImageTagMutability::Mutable),
        exclusion_filters: filters.filter_map(|it| text(&it["filter"])).collect(),
        kms_key: kms_key(key, Some(encryption_type), encryption["kmsKey"].as_str()),
        encryption_type,
        lifecycle_policy: text(&template["lifecyclePolicy"]),
        repository_policy: text(&template["repositoryPolicy"]),
        tags,
        ..RepositorySettings::new(now)
    })
}
