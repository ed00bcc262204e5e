//! Repositories: create, describe, delete, and the settings that can be changed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::page::page;
use super::tags::{Tag, checked_tags};
use super::{Answer, Call};
use crate::local::error::ApiError;
use crate::local::model::{Change, Settings};
use crate::name::RepositoryName;
use crate::settings::{EncryptionType, ImageTagMutability};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Create {
    repository_name: String,
    #[serde(default)]
    image_tag_mutability: Option<String>,
    #[serde(default)]
    image_tag_mutability_exclusion_filters: Option<Vec<Filter>>,
    #[serde(default)]
    image_scanning_configuration: Option<Scanning>,
    #[serde(default)]
    encryption_configuration: Option<Encryption>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    filter_type: String,
    filter: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scanning {
    #[serde(default)]
    scan_on_push: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Encryption {
    encryption_type: EncryptionType,
    #[serde(default)]
    kms_key: Option<String>,
}

pub fn create(call: &Call<'_>, input: Create) -> Answer {
    let name = call.name(&input.repository_name)?;
    if !input.tags.is_empty() {
        call.check_permission("TagResource")?;
    }
    let filters = input.image_tag_mutability_exclusion_filters;
    let (image_tag_mutability, exclusion_filters) =
        mutability(input.image_tag_mutability.as_deref(), filters)?;
    let encryption = input.encryption_configuration;
    let settings = Settings {
        created_at: call.shared.now(),
        image_tag_mutability,
        exclusion_filters,
        scan_on_push: input.image_scanning_configuration.is_some_and(|it| it.scan_on_push),
        encryption_type: encryption.as_ref().map_or(EncryptionType::Aes256, |it| it.encryption_type),
        kms_key: encryption.and_then(|it| it.kms_key),
        lifecycle_policy: None,
        repository_policy: None,
        tags: checked_tags(BTreeMap::new(), input.tags)?,
    };
    let mut store = call.shared.store();
    if store.model().repository(&call.registry, &name).is_some() {
        let account = &call.shared.account;
        return Err(ApiError::new(
            "RepositoryAlreadyExistsException",
            format!("The repository with name '{name}' already exists in the registry with id '{account}'"),
        ));
    }
    let described = describe_one(call, &name, &settings);
    let change = Change::PutSettings(call.registry.clone(), name, Box::new(settings));
    store.commit(vec![change]).map_err(|it| ApiError::internal(&it))?;
    Ok(json!({"repository": described}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Describe {
    #[serde(default)]
    repository_names: Option<Vec<String>>,
    #[serde(default)]
    max_results: Option<u64>,
    #[serde(default)]
    next_token: Option<String>,
}

/// With names, one that is absent fails the whole request, as in ECR.
pub fn describe(call: &Call<'_>, input: Describe) -> Answer {
    let described = match input.repository_names {
        Some(names) if !(1..=100).contains(&names.len()) => {
            return Err(ApiError::invalid("repositoryNames", "must have between 1 and 100 members"));
        }
        Some(names) => names
            .iter()
            .map(|name| call.with(name, |name, it| Ok(describe_one(call, name, &it.settings))))
            .collect::<Result<Vec<_>, _>>()?,
        None => {
            let store = call.shared.store();
            let registry = store.model().registry(&call.registry);
            let repositories = registry.into_iter().flat_map(|it| &it.repositories);
            repositories.map(|(name, it)| describe_one(call, name, &it.settings)).collect()
        }
    };
    let (repositories, next) = page(described, input.max_results, input.next_token.as_deref())?;
    let mut answer = json!({ "repositories": repositories });
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delete {
    repository_name: String,
    #[serde(default)]
    force: bool,
}

pub fn delete(call: &Call<'_>, input: Delete) -> Answer {
    let account = &call.shared.account;
    let (name, described, blobs) = call.with(&input.repository_name, |name, repository| {
        if !input.force && !repository.images.is_empty() {
            return Err(ApiError::new(
                "RepositoryNotEmptyException",
                format!(
                    "The repository with name '{name}' in registry with id '{account}' \
                     cannot be deleted because it still contains images"
                ),
            ));
        }
        let blobs: Vec<_> = repository.layers.keys().chain(repository.images.keys()).cloned().collect();
        Ok((name.clone(), describe_one(call, name, &repository.settings), blobs))
    })?;
    let mut store = call.shared.store();
    let change = Change::DeleteRepository(call.registry.clone(), name);
    store.commit(vec![change]).map_err(|it| ApiError::internal(&it))?;
    store.collect(blobs);
    Ok(json!({"repository": described}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutMutability {
    repository_name: String,
    image_tag_mutability: String,
    #[serde(default)]
    image_tag_mutability_exclusion_filters: Option<Vec<Filter>>,
}

pub fn put_mutability(call: &Call<'_>, input: PutMutability) -> Answer {
    let filters = input.image_tag_mutability_exclusion_filters;
    let (mutability, filters) = mutability(Some(&input.image_tag_mutability), filters)?;
    let is_ignored = call.shared.faults.ignores("PutImageTagMutability");
    let name = change_settings(call, &input.repository_name, |settings| {
        if !is_ignored {
            settings.image_tag_mutability = mutability;
            settings.exclusion_filters = filters.clone();
        }
    })?;
    let mut answer = json!({
        "registryId": call.shared.account,
        "repositoryName": name,
        "imageTagMutability": mutability.as_str(),
    });
    if !filters.is_empty() {
        answer["imageTagMutabilityExclusionFilters"] = filters_json(&filters);
    }
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutScanning {
    repository_name: String,
    image_scanning_configuration: Scanning,
}

pub fn put_scanning(call: &Call<'_>, input: PutScanning) -> Answer {
    let scan_on_push = input.image_scanning_configuration.scan_on_push;
    let is_ignored = call.shared.faults.ignores("PutImageScanningConfiguration");
    let name = change_settings(call, &input.repository_name, |it| {
        if !is_ignored {
            it.scan_on_push = scan_on_push;
        }
    })?;
    Ok(json!({
        "registryId": call.shared.account,
        "repositoryName": name,
        "imageScanningConfiguration": {"scanOnPush": scan_on_push},
    }))
}

/// Changes the settings of a repository that exists.
pub fn change_settings(
    call: &Call<'_>,
    name: &str,
    change: impl FnOnce(&mut Settings),
) -> Result<RepositoryName, ApiError> {
    try_change_settings(call, name, |it| {
        change(it);
        Ok(())
    })
}

/// The same, for a change that may be refused.
pub fn try_change_settings(
    call: &Call<'_>,
    name: &str,
    change: impl FnOnce(&mut Settings) -> Result<(), ApiError>,
) -> Result<RepositoryName, ApiError> {
    let name = call.name(name)?;
    let mut store = call.shared.store();
    let mut settings = match store.model().repository(&call.registry, &name) {
        Some(repository) => repository.settings.clone(),
        None => {
            return Err(ApiError::repository_not_found(name.as_str(), call.shared.account.as_str()));
        }
    };
    change(&mut settings)?;
    let change = Change::PutSettings(call.registry.clone(), name.clone(), Box::new(settings));
    store.commit(vec![change]).map_err(|it| ApiError::internal(&it))?;
    Ok(name)
}

/// The mutability and its filters; the API's default is MUTABLE.
fn mutability(
    text: Option<&str>,
    filters: Option<Vec<Filter>>,
) -> Result<(ImageTagMutability, Vec<String>), ApiError> {
    const FILTERS: &str = "imageTagMutabilityExclusionFilters";
    let text = text.unwrap_or("MUTABLE");
    let mutability: ImageTagMutability = text.parse().map_err(|_| {
        let values = "[IMMUTABLE, IMMUTABLE_WITH_EXCLUSION, MUTABLE, MUTABLE_WITH_EXCLUSION]";
        ApiError::invalid("imageTagMutability", &format!("Member must satisfy enum value set: {values}"))
    })?;
    let is_given = filters.is_some();
    if mutability.takes_filters() != is_given {
        let null = if is_given { "must" } else { "can't" };
        let constraint = format!(
            "ImageTagMutabilityExclusionFilters {null} be null when imageTagMutability is set as {mutability}"
        );
        return Err(ApiError::invalid(FILTERS, &constraint));
    }
    let filters = filters.unwrap_or_default();
    if is_given && !(1..=5).contains(&filters.len()) {
        return Err(ApiError::invalid(FILTERS, "must have between 1 and 5 members"));
    }
    if let Some(wrong) = filters.iter().find(|it| it.filter_type != "WILDCARD") {
        let constraint =
            format!("Member must satisfy enum value set: [WILDCARD], found {}", wrong.filter_type);
        return Err(ApiError::invalid(FILTERS, &constraint));
    }
    Ok((mutability, filters.into_iter().map(|it| it.filter).collect()))
}

fn filters_json(filters: &[String]) -> Value {
    filters.iter().map(|it| json!({"filterType": "WILDCARD", "filter": it})).collect()
}

fn describe_one(call: &Call<'_>, name: &RepositoryName, settings: &Settings) -> Value {
    let mut encryption = json!({"encryptionType": settings.encryption_type});
    if let Some(key) = &settings.kms_key {
        encryption["kmsKey"] = json!(key);
    }
    let mut described = json!({
        "repositoryArn": call.arn(name),
        "registryId": call.shared.account,
        "repositoryName": name,
        "repositoryUri": format!("{}/{name}", call.shared.host),
        "createdAt": settings.created_at,
        "imageTagMutability": settings.image_tag_mutability.as_str(),
        "imageScanningConfiguration": {"scanOnPush": settings.scan_on_push},
        "encryptionConfiguration": encryption,
    });
    if !settings.exclusion_filters.is_empty() {
        described["imageTagMutabilityExclusionFilters"] = filters_json(&settings.exclusion_filters);
    }
    described
}
