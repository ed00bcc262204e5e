//! Principals whose pulls do not change the time of an image's last pull.

use serde_json::json;

use super::page::{sought_in, with_next};
use super::{ApiResult, Call, Input};
use crate::error::ApiError;

/// The maximum number of principals (service model, `PullTimeUpdateExclusionList`).
const MAX_EXCLUSIONS: usize = 100;

pub fn register(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let principal = input.required("principalArn");
    let now = call.shared.now();
    call.change_registry(|registry| {
        if registry.pull_time_exclusions.contains_key(principal) {
            let message = "The specified pull time update exclusion already exists for the registry.";
            return Err(ApiError::new("ExclusionAlreadyExistsException", message));
        }
        if registry.pull_time_exclusions.len() >= MAX_EXCLUSIONS {
            let message = format!("A registry has at most {MAX_EXCLUSIONS} pull time update exclusions");
            return Err(ApiError::new("LimitExceededException", message));
        }
        registry.pull_time_exclusions.insert(principal.to_owned(), now);
        Ok(())
    })?;
    Ok(json!({"principalArn": principal, "createdAt": now}))
}

pub fn deregister(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let principal = input.required("principalArn");
    call.change_registry(|registry| match registry.pull_time_exclusions.remove(principal) {
        Some(_) => Ok(json!({ "principalArn": principal })),
        None => {
            let message = "The specified pull time update exclusion was not found.";
            Err(ApiError::new("ExclusionNotFoundException", message))
        }
    })
}

pub fn list(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let exclusions = call.registry_settings()?.pull_time_exclusions;
    let (page, next) = sought_in(input, exclusions)?;
    let principals: Vec<_> = page.into_iter().map(|(principal, _)| principal).collect();
    Ok(with_next(json!({ "pullTimeUpdateExclusions": principals }), next))
}
