//! Lifecycle and repository policies.

use ecr_lifecycle::{Document, Finding};
use ecr_types::policy::{Decision, Policy, PolicyKind, Request};
use serde_json::json;

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

/// Sets the policy of a repository. One that would keep the caller from setting another one needs `force` (ECR API,
/// `SetRepositoryPolicy`).
pub fn set_repository(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let text = input.required("policyText");
    let policy = checked_policy(text, PolicyKind::Repository)?;
    let name = call.name(input.required("repositoryName"))?;
    let (caller, resource) = (call.caller.arn(), call.arn(&name));
    let request = Request {
        caller: &caller,
        action: "ecr:SetRepositoryPolicy",
        resource: &resource,
        is_secure: call.shared.is_secure(),
    };
    if policy.decide(&request) == Decision::Denied && !input.flag("force") {
        let constraint =
            "The policy would prevent you from setting another policy in the future: use force to set it";
        return Err(ApiError::invalid("PolicyText", constraint));
    }
    let text = as_returned(text);
    call.change_settings(name.as_str(), |it| {
        it.repository_policy = Some(text.clone());
        Ok(())
    })?;
    Ok(call.about(&name, json!({"policyText": text})))
}

/// The parsed policy, or ECR's error for the first element that is not valid.
pub fn checked_policy(text: &str, kind: PolicyKind) -> Result<Policy, ApiError> {
    Policy::parse(text, kind).map_err(|problems| {
        let constraint = problems.first().map(|it| it.constraint(kind));
        ApiError::invalid("PolicyText", constraint.unwrap_or_default())
    })
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
