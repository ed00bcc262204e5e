//! The policy of a registry. Its text is returned as it was set: in which form ECR returns it is not known.

use ecr_types::policy::PolicyKind;
use serde_json::json;

use super::policies::checked_policy;
use super::{ApiResult, Call, Input};
use crate::error::ApiError;

pub fn put(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    checked_policy(input.required("policyText"), PolicyKind::Registry)?;
    let text = input.required("policyText").to_owned();
    call.change_registry(|registry| {
        registry.policy = Some(text.clone());
        Ok(())
    })?;
    Ok(json!({"registryId": call.registry.account, "policyText": text}))
}

pub fn get(call: &Call<'_>) -> ApiResult {
    let policy = call.registry_settings()?.policy.ok_or_else(|| not_found(call))?;
    Ok(json!({"registryId": call.registry.account, "policyText": policy}))
}

pub fn delete(call: &Call<'_>) -> ApiResult {
    let policy = call.change_registry(|registry| registry.policy.take().ok_or_else(|| not_found(call)))?;
    Ok(json!({"registryId": call.registry.account, "policyText": policy}))
}

fn not_found(call: &Call<'_>) -> ApiError {
    let message =
        format!("Registry policy does not exist in the registry with id '{}'", call.registry.account);
    ApiError::new("RegistryPolicyNotFoundException", message)
}
