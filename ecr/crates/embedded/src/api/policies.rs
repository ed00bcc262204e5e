//! Lifecycle and repository policies.

use ecr_lifecycle::{Document, Finding};
use serde_json::{Value, json};

use super::policy_text::as_returned;
use super::{ApiResult, Call, Found, Input};
use crate::error::ApiError;

/// The time of the last evaluation of a policy, in seconds since 1970: policies are not executed here, only previewed. moto
/// returns the same.
const NEVER: u64 = 0;

pub fn put_lifecycle(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let text = input.required("lifecyclePolicyText").to_owned();
    checked_lifecycle(&text)?;
    let name = call.change_settings(input.required("repositoryName"), |it| {
        it.lifecycle_policy = Some(text.clone());
        Ok(())
    })?;
    Ok(call.about(&name, json!({"lifecyclePolicyText": text})))
}

pub fn get_lifecycle(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let Found { name, repository, .. } = call.find(input)?;
    match &repository.settings.lifecycle_policy {
        Some(text) => Ok(call.about(&name, json!({"lifecyclePolicyText": text, "lastEvaluatedAt": NEVER}))),
        None => Err(no_lifecycle_policy(name.as_str(), call.registry.account.as_str())),
    }
}

pub fn delete_lifecycle(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let response = get_lifecycle(call, input)?;
    call.change_settings(input.required("repositoryName"), |it| {
        it.lifecycle_policy = None;
        Ok(())
    })?;
    Ok(response)
}

pub fn set_repository(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let text = input.required("policyText");
    if !is_policy(text) {
        return Err(ApiError::invalid("PolicyText", "Invalid repository policy provided"));
    }
    let text = as_returned(text);
    let name = call.change_settings(input.required("repositoryName"), |it| {
        it.repository_policy = Some(text.clone());
        Ok(())
    })?;
    Ok(call.about(&name, json!({"policyText": text})))
}

/// Whether the text has the required elements of a resource-based policy: statements with an effect, actions and principals
/// (IAM user guide, "Grammar of the IAM JSON policy language").
fn is_policy(text: &str) -> bool {
    let policy: Value = serde_json::from_str(text).unwrap_or_default();
    let has_one = |it: &Value, keys: [&str; 2]| keys.iter().filter(|key| !it[**key].is_null()).count() == 1;
    let is_statement = |it: &Value| {
        matches!(it["Effect"].as_str(), Some("Allow" | "Deny"))
            && has_one(it, ["Action", "NotAction"])
            && has_one(it, ["Principal", "NotPrincipal"])
    };
    match &policy["Statement"] {
        Value::Array(statements) => !statements.is_empty() && statements.iter().all(is_statement),
        Value::Object(_) => is_statement(&policy["Statement"]),
        _ => false,
    }
}

pub fn get_repository(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let Found { name, repository, .. } = call.find(input)?;
    let account = &call.registry.account;
    match &repository.settings.repository_policy {
        Some(text) => Ok(call.about(&name, json!({"policyText": text}))),
        None => Err(ApiError::new(
            "RepositoryPolicyNotFoundException",
            format!(
                "Repository policy does not exist for the repository with name '{name}' \
                 in the registry with id '{account}'"
            ),
        )),
    }
}

pub fn delete_repository(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let response = get_repository(call, input)?;
    call.change_settings(input.required("repositoryName"), |it| {
        it.repository_policy = None;
        Ok(())
    })?;
    Ok(response)
}

/// The parsed policy, or the first reason for which ECR would reject it.
pub fn checked_lifecycle(text: &str) -> Result<Document, ApiError> {
    let refused = |findings: Vec<Finding>| {
        let constraint = findings.first().map(Finding::constraint);
        ApiError::invalid("LifecyclePolicyText", &constraint.unwrap_or_default())
    };
    Document::parse("LifecyclePolicyText", text).map_err(refused)
}

pub fn no_lifecycle_policy(name: &str, account: &str) -> ApiError {
    ApiError::new(
        "LifecyclePolicyNotFoundException",
        format!(
            "Lifecycle policy does not exist for the repository with name '{name}' \
             in the registry with id '{account}'"
        ),
    )
}
