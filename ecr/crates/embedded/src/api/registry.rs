//! Operations on the registry as a whole: authorization tokens, account settings, and the scanning configuration.

use std::collections::BTreeSet;

use ecr_types::{InvalidName, RepositoryName};
use serde_json::{Value, json};

use super::{ApiResult, Call, Input};
use crate::error::ApiError;
use crate::model::{Registry, RegistryKey};
use crate::store::Queries;
use crate::token;

/// The account settings, each with its possible values (`PutAccountSetting`). The first value is the default.
const SETTINGS: [(&str, [&str; 2]); 3] = [
    ("BLOB_MOUNTING", ["DISABLED", "ENABLED"]),
    ("BASIC_SCAN_TYPE_VERSION", ["AWS_NATIVE", "CLAIR"]),
    ("REGISTRY_POLICY_SCOPE", ["V2", "V1"]),
];

/// One token for the caller's registry, or one for each of `registryIds`.
pub fn authorization_token(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let expires_at = call.shared.now() as u64 + token::LIFETIME;
    let accounts = input.texts("registryIds").filter(|it| !it.is_empty());
    let accounts = accounts.unwrap_or_else(|| vec![call.registry.account.as_str()]);
    let mut tokens = Vec::new();
    for account in accounts {
        let account =
            account.parse().map_err(|it: InvalidName| ApiError::invalid("registryIds", &it.to_string()))?;
        let registry = RegistryKey { account, region: call.registry.region.clone() };
        let caller = call.caller.arn();
        tokens.push(json!({
            "authorizationToken": token::issue(call.shared.store.secret(), &registry, &caller, expires_at),
            "expiresAt": expires_at,
            "proxyEndpoint": call.shared.url_of(&call.shared.host_of(&registry)),
        }));
    }
    Ok(json!({ "authorizationData": tokens }))
}

pub fn get_setting(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let (name, values) = setting(input)?;
    let registry = call.registry_settings()?;
    Ok(json!({"name": name, "value": registry.settings.get(name).map_or(values[0], String::as_str)}))
}

pub fn put_setting(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let (name, values) = setting(input)?;
    let value = input.required("value");
    if !values.contains(&value) {
        let message = format!("`{value}` is not a value of {name}: use {}", values.join(" or "));
        return Err(ApiError::new("ValidationException", message));
    }
    call.change_registry(|it| {
        it.settings.insert(name.to_owned(), value.to_owned());
        Ok(())
    })?;
    Ok(json!({"name": name, "value": value}))
}

fn setting(input: Input<'_>) -> Result<(&'static str, [&'static str; 2]), ApiError> {
    let name = input.required("name");
    SETTINGS
        .into_iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| ApiError::new("ValidationException", format!("there is no account setting {name}")))
}

pub fn get_scanning(call: &Call<'_>) -> ApiResult {
    let scanning = call.registry_settings()?.scanning;
    let scanning = scanning.unwrap_or_else(|| json!({"scanType": "BASIC", "rules": []}));
    Ok(json!({"registryId": call.registry.account, "scanningConfiguration": scanning}))
}

/// Stores the configuration of basic or enhanced scanning. The scans themselves, which Amazon Inspector does for enhanced
/// scanning, are not emulated.
pub fn put_scanning(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let scan_type = input.text("scanType").unwrap_or("BASIC");
    let rules = input.value()["rules"].as_array().cloned().unwrap_or_default();
    let mut frequencies = BTreeSet::new();
    if let Some(twice) =
        rules.iter().filter_map(|it| it["scanFrequency"].as_str()).find(|it| !frequencies.insert(*it))
    {
        let message = format!("Invalid input. Contains duplicate scan frequencies: [{twice}]");
        return Err(ApiError::new("ValidationException", message));
    }
    let continuous = rules.iter().any(|it| it["scanFrequency"] == "CONTINUOUS_SCAN");
    if continuous && scan_type == "BASIC" {
        let message = "Invalid scan frequency for scanType BASIC: CONTINUOUS_SCAN";
        return Err(ApiError::new("ValidationException", message));
    }
    let scanning = json!({"scanType": scan_type, "rules": rules});
    call.change_registry(|it| {
        it.scanning = Some(scanning.clone());
        Ok(())
    })?;
    Ok(json!({"registryScanningConfiguration": scanning}))
}

pub fn repository_scanning(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    let rows = call.shared.store.read()?;
    let registry = rows.registry(&call.registry)?;
    for text in input.texts("repositoryNames").unwrap_or_default() {
        let name = call.name(text)?;
        match rows.repository(&call.registry, &name)? {
            Some(repository) => found.push(json!({
                "repositoryArn": call.arn(&name),
                "repositoryName": name,
                "scanOnPush": repository.settings.scan_on_push || registry.scanning_rule(&name).is_some(),
                "scanFrequency": frequency(&registry, &name, repository.settings.scan_on_push),
                "appliedScanFilters": registry.scanning_rule(&name).map_or(json!([]), |it| it["repositoryFilters"].clone()),
            })),
            None => failures.push(json!({
                "repositoryName": name,
                "failureCode": "REPOSITORY_NOT_FOUND",
                "failureReason": crate::error::no_repository(text, call.registry.account.as_str()),
            })),
        }
    }
    Ok(json!({"scanningConfigurations": found, "failures": failures}))
}

fn frequency(registry: &Registry, name: &RepositoryName, scan_on_push: bool) -> Value {
    match registry.scanning_rule(name) {
        Some(rule) => rule["scanFrequency"].clone(),
        None if scan_on_push => json!("SCAN_ON_PUSH"),
        None => json!("MANUAL"),
    }
}
