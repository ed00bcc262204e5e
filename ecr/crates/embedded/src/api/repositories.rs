//! Operations on repositories: create, describe, delete, and changes of their settings.

use std::collections::BTreeMap;

use ecr_types::{Digest, EncryptionType, ImageTagMutability, InvalidValue, RepositoryName};
use serde_json::{Value, json};

use super::page::{paged, refuse_size, sought, with_next};
use super::tags::checked_tags;
use super::{ApiResult, Call, Input};
use crate::error::ApiError;
use crate::model::{RegistryKey, RepositorySettings};
use crate::store::{After, Queries};

pub fn create(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let name = call.name(input.required("repositoryName"))?;
    if input.parts("tags").is_some_and(|it| !it.is_empty()) {
        call.check_permission("TagResource", input)?;
    }
    let settings = settings(call, input)?;
    call.shared.store.write(|transaction| {
        if transaction.repository(&call.registry, &name)?.is_some() {
            let account = &call.registry.account;
            return Err(ApiError::new(
                "RepositoryAlreadyExistsException",
                format!(
                    "The repository with name '{name}' already exists in the registry with id '{account}'"
                ),
            ));
        }
        let repository = transaction.create_repository(&call.registry, &name, settings)?;
        Ok(json!({"repository": describe_one(call, &name, &repository.settings)}))
    })
}

/// A key for AES256 is refused (badmintoncryer/cdk-preflight quotes the message).
fn check_encryption(encryption: Option<Input<'_>>) -> Result<(), ApiError> {
    let has_key = encryption.is_some_and(|it| it.text("kmsKey").is_some_and(|it| !it.is_empty()));
    if has_key && encryption.is_some_and(|it| it.required("encryptionType") == "AES256") {
        let message =
            "Invalid encryption configuration: Encryption key should not be set for AES256 encryption.";
        return Err(ApiError::new("InvalidParameterException", message));
    }
    Ok(())
}

fn settings(call: &Call<'_>, input: Input<'_>) -> Result<RepositorySettings, ApiError> {
    let (image_tag_mutability, exclusion_filters) = mutability(input)?;
    let encryption = input.part("encryptionConfiguration");
    check_encryption(encryption)?;
    let encryption_type = encryption.and_then(|it| it.required("encryptionType").parse().ok());
    Ok(RepositorySettings {
        created_at: call.shared.now(),
        image_tag_mutability,
        exclusion_filters,
        scan_on_push: scan_on_push(input),
        encryption_type: encryption_type.unwrap_or(EncryptionType::Aes256),
        kms_key: kms_key(&call.registry, encryption_type, encryption.and_then(|it| it.text("kmsKey"))),
        lifecycle_policy: None,
        repository_policy: None,
        tags: checked_tags(BTreeMap::new(), input)?,
    })
}

/// The ARN of a KMS key, which ECR returns in place of the key's ID. An alias stays one, because only KMS knows its key.
/// Without a key it is the one that AWS manages for ECR (hashicorp/terraform-provider-aws, `TestAccECRRepository_Encryption_kms`).
pub fn kms_key(registry: &RegistryKey, kind: Option<EncryptionType>, key: Option<&str>) -> Option<String> {
    let RegistryKey { account, region } = registry;
    let arn = |id: &str| format!("arn:aws:kms:{region}:{account}:key/{id}");
    match (kind?, key) {
        (EncryptionType::Aes256, _) => None,
        (_, Some(key)) if key.contains(':') || key.contains('/') => Some(key.to_owned()),
        (_, Some(id)) => Some(arn(id)),
        (_, None) => {
            let hash = Digest::of(format!("aws/ecr {registry}").as_bytes()).to_hash();
            let id: [u8; 16] = hash.first_chunk().copied().unwrap_or_default();
            Some(arn(&uuid::Builder::from_random_bytes(id).into_uuid().to_string()))
        }
    }
}

/// Describes the named repositories or all of them. The request fails if one of the names does not exist, as in ECR.
pub fn describe(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let rows = call.shared.store.read()?;
    if let Some(names) = input.texts("repositoryNames") {
        refuse_size(input, "repositoryNames")?;
        let described = names.into_iter().map(|name| {
            let name = call.name(name)?;
            Ok(describe_one(call, &name, &call.existing(&rows, &name)?.settings))
        });
        return paged("repositories", described.collect::<Result<Vec<_>, ApiError>>()?, input);
    }
    let (repositories, next) = sought(
        input,
        |after, limit| {
            let after = after.map_or(After::Start, After::Item);
            Ok(rows.repositories(&call.registry, after, limit)?)
        },
        |(name, _)| name.to_string(),
    )?;
    let described: Vec<_> =
        repositories.iter().map(|(name, it)| describe_one(call, name, &it.settings)).collect();
    Ok(with_next(json!({ "repositories": described }), next))
}

/// Deletes a repository. Its rows are removed afterwards.
pub fn delete(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let account = &call.registry.account;
    let name = call.name(input.required("repositoryName"))?;
    let described = call.change(name.as_str(), |transaction, name, repository| {
        let is_empty = transaction.counts(repository.id)?.images == 0;
        if !input.flag("force") && !is_empty {
            return Err(ApiError::new(
                "RepositoryNotEmptyException",
                format!(
                    "The repository with name '{name}' in registry with id '{account}' \
                     cannot be deleted because it still contains images"
                ),
            ));
        }
        transaction.delete_repository(&call.registry, name, repository)?;
        call.shared.previews().remove(&repository.id);
        Ok(describe_one(call, name, &repository.settings))
    })?;
    call.shared.has_deleted.notify_one();
    Ok(json!({ "repository": described }))
}

pub fn put_mutability(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let (mutability, filters) = mutability(input)?;
    let is_ignored = call.shared.faults.ignores("PutImageTagMutability");
    let name = call.change_settings(input.required("repositoryName"), |settings| {
        if !is_ignored {
            settings.image_tag_mutability = mutability;
            settings.exclusion_filters = filters.clone();
        }
        Ok(())
    })?;
    let mut response = call.about(&name, json!({"imageTagMutability": mutability.as_str()}));
    if !filters.is_empty() {
        response["imageTagMutabilityExclusionFilters"] = filters_json(&filters);
    }
    Ok(response)
}

pub fn put_scanning(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let scan_on_push = scan_on_push(input);
    let is_ignored = call.shared.faults.ignores("PutImageScanningConfiguration");
    let name = call.change_settings(input.required("repositoryName"), |settings| {
        if !is_ignored {
            settings.scan_on_push = scan_on_push;
        }
        Ok(())
    })?;
    Ok(call.about(&name, json!({"imageScanningConfiguration": {"scanOnPush": scan_on_push}})))
}

fn scan_on_push(input: Input<'_>) -> bool {
    input.part("imageScanningConfiguration").is_some_and(|it| it.flag("scanOnPush"))
}

/// The mutability and its exclusion filters. The default of the API is MUTABLE.
pub fn mutability(input: Input<'_>) -> Result<(ImageTagMutability, Vec<String>), ApiError> {
    const FILTERS: &str = "imageTagMutabilityExclusionFilters";
    let text = input.text("imageTagMutability").unwrap_or("MUTABLE");
    let mutability: ImageTagMutability =
        text.parse().map_err(|it: InvalidValue| ApiError::invalid("imageTagMutability", &it.to_string()))?;
    let filters = input.parts(FILTERS);
    if mutability.takes_filters() != filters.is_some() {
        let constraint = match filters {
            Some(_) => format!(
                "ImageTagMutabilityExclusionFilters are not allowed when imageTagMutability is set to {mutability}"
            ),
            None => format!(
                "ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as {mutability}"
            ),
        };
        return Err(ApiError::invalid(FILTERS, &constraint));
    }
    let filters = filters.unwrap_or_default();
    Ok((mutability, filters.into_iter().map(|it| it.required("filter").to_owned()).collect()))
}

fn filters_json(filters: &[String]) -> Value {
    filters.iter().map(|it| json!({"filterType": "WILDCARD", "filter": it})).collect()
}

fn describe_one(call: &Call<'_>, name: &RepositoryName, settings: &RepositorySettings) -> Value {
    let mut encryption = json!({"encryptionType": settings.encryption_type});
    if let Some(key) = &settings.kms_key {
        encryption["kmsKey"] = json!(key);
    }
    let mut described = json!({
        "repositoryArn": call.arn(name),
        "registryId": call.registry.account,
        "repositoryName": name,
        "repositoryUri": format!("{}/{name}", call.shared.host_of(&call.registry)),
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
