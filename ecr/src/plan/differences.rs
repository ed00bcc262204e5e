//! The differences of the fields of a repository, and the writes that remove them.

use std::collections::BTreeMap;

use ecr_lifecycle::StoredPolicy;
use serde_json::{Value, json};

use super::compare::{same_kms_key, same_repository_policy};
use super::{BlockedField, Step, WriteAction};
use crate::config::desired::{DesiredRepository, Encryption, LifecyclePolicy};
use crate::plan::observed::{Observed, ObservedRepository, Property};

/// The fields of the `CreateRepository` request.
pub fn describe(desired: &DesiredRepository) -> Value {
    let mut value = json!({
        "imageTagMutability": desired.image_tag_mutability.as_str(),
        "scanOnPush": desired.scan_on_push,
        "tags": desired.tags,
    });
    if !desired.exclusion_filters.is_empty() {
        value["imageTagMutabilityExclusionFilters"] = json!(desired.exclusion_filters);
    }
    if let Some(encryption) = &desired.encryption {
        value["encryptionConfiguration"] = encryption_json(encryption);
    }
    value
}

pub fn mutability_step(desired: &DesiredRepository, found: &ObservedRepository) -> Option<Step> {
    let sorted = |filters: &[String]| {
        let mut filters = filters.to_vec();
        filters.sort();
        filters
    };
    let mutability = desired.image_tag_mutability;
    let (wanted, have) = (sorted(&desired.exclusion_filters), sorted(&found.exclusion_filters));
    let (field, observed, desired_value) = if found.image_tag_mutability != mutability.as_str() {
        ("imageTagMutability", json!(found.image_tag_mutability), json!(mutability.as_str()))
    } else if wanted != have {
        ("imageTagMutabilityExclusionFilters", json!(have), json!(wanted))
    } else {
        return None;
    };
    let action =
        WriteAction::PutImageTagMutability { mutability, filters: desired.exclusion_filters.clone() };
    Some(Step { action, field: Some(field), observed, desired: desired_value })
}

pub fn scanning_step(
    desired: &DesiredRepository,
    found: &ObservedRepository,
    observed: &Observed,
) -> Option<Step> {
    let scan_on_push = desired.scan_on_push;
    let is_covered = observed.registry_scans(&desired.name);
    (found.scan_on_push != scan_on_push && !is_covered).then(|| Step {
        action: WriteAction::PutImageScanningConfiguration { scan_on_push },
        field: Some("scanOnPush"),
        observed: json!(found.scan_on_push),
        desired: json!(scan_on_push),
    })
}

/// A policy that could not be read for lack of permission is written again.
pub fn lifecycle_step(desired: &DesiredRepository, found: &Property<Option<StoredPolicy>>) -> Option<Step> {
    let found = found.known().and_then(Option::as_ref);
    let step = |action, desired| Step {
        action,
        field: Some("lifecyclePolicy"),
        observed: found.map_or(Value::Null, StoredPolicy::to_json),
        desired,
    };
    match desired.lifecycle_policy.as_ref()? {
        LifecyclePolicy::Absent => found.map(|_| step(WriteAction::DeleteLifecyclePolicy, Value::Null)),
        LifecyclePolicy::Document(document) => {
            let is_same = found.and_then(StoredPolicy::document) == Some(document);
            let put = || WriteAction::PutLifecyclePolicy(document.clone());
            (!is_same).then(|| step(put(), document.policy().to_json()))
        }
    }
}

pub fn repository_policy_step(desired: &DesiredRepository, found: &Property<Option<String>>) -> Option<Step> {
    let text = desired.repository_policy.as_ref()?;
    let found = found.known()?.as_deref();
    let is_same = found.is_some_and(|found| same_repository_policy(found, text));
    (!is_same).then(|| Step {
        action: WriteAction::SetRepositoryPolicy(text.clone()),
        field: Some("repositoryPolicy"),
        observed: found.map_or(Value::Null, policy_json),
        desired: policy_json(text),
    })
}

/// Tags that are not configured are kept, because others may use them.
pub fn tags_step(desired: &DesiredRepository, found: &ObservedRepository) -> Option<Step> {
    let have = found.tags.known()?;
    let differs = |(key, value): &(&String, &String)| have.get(*key) != Some(*value);
    let tags: BTreeMap<_, _> =
        desired.tags.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect();
    let observed: BTreeMap<_, _> = tags.keys().map(|key| (key, have.get(key))).collect();
    (!tags.is_empty()).then(|| Step {
        field: Some("tags"),
        observed: json!(observed),
        desired: json!(tags),
        action: WriteAction::TagResource { arn: found.arn.clone(), tags: tags.clone() },
    })
}

pub fn encryption_block(desired: &DesiredRepository, found: &ObservedRepository) -> Option<BlockedField> {
    let wanted = desired.encryption.as_ref()?;
    let have = found.encryption.as_ref()?;
    (!same_encryption(wanted, have)).then(|| BlockedField {
        field: "encryptionConfiguration",
        observed: encryption_json(have),
        desired: encryption_json(wanted),
        help: format!(
            "ECR cannot change the encryption of a repository: delete and re-create `{0}` (`cargo xtask ecr delete`, \
             then `create`), or configure its current encryption",
            desired.name
        ),
    })
}

/// Compares encryptions. A key that is not configured, or not returned, is equal to any.
pub(super) fn same_encryption(wanted: &Encryption, have: &Encryption) -> bool {
    let keys = wanted.kms_key.as_deref().zip(have.kms_key.as_deref());
    wanted.kind == have.kind && keys.is_none_or(|(wanted, have)| same_kms_key(wanted, have))
}

fn encryption_json(encryption: &Encryption) -> Value {
    match &encryption.kms_key {
        Some(key) => json!({"encryptionType": encryption.kind.as_str(), "kmsKey": key}),
        None => json!({"encryptionType": encryption.kind.as_str()}),
    }
}

/// The policy as JSON, so that reports contain its structure and not an escaped string.
fn policy_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}
