//! The replication of a registry. Images are replicated when they are pushed; see [`crate::replication`].

use serde_json::{Value, json};

use super::image_id::{ImageId, image_not_found};
use super::{ApiResult, Call, Found, Input};
use crate::error::ApiError;

/// The maximum number of rules (service quotas, "Rules per replication configuration").
const MAX_RULES: usize = 10;

pub fn put(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let configuration = &input.value()["replicationConfiguration"];
    let rules = configuration["rules"].as_array().cloned().unwrap_or_default();
    let destinations = rules.iter().flat_map(|it| it["destinations"].as_array().into_iter().flatten());
    let is_own = |it: &Value| {
        it["region"] == call.registry.region.as_str() && it["registryId"] == call.registry.account.as_str()
    };
    let invalid = |constraint: &str| Err(ApiError::invalid("replicationConfiguration", constraint));
    if destinations.clone().any(is_own) {
        return invalid("Replication destination cannot be the same as the source registry");
    }
    if rules.len() > MAX_RULES {
        return invalid(&format!("A replication configuration has at most {MAX_RULES} rules"));
    }
    call.change_registry(|registry| {
        registry.replication.clone_from(&rules);
        Ok(())
    })?;
    Ok(json!({"replicationConfiguration": {"rules": rules}}))
}

pub fn describe_registry(call: &Call<'_>) -> ApiResult {
    let rules = call.registry_settings()?.replication;
    Ok(json!({"registryId": call.registry.account, "replicationConfiguration": {"rules": rules}}))
}

/// The status of an image in each destination. An image that was pushed before its rule has none.
pub fn status(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let id = ImageId::new(input.part("imageId").unwrap_or(input));
    let Found { rows, name, repository } = call.find(input)?;
    let (digest, image) = id.find(&rows, &repository)?.map_err(|_| image_not_found(call, &name, &id))?;
    let id = ImageId { digest: Some(digest.to_string()), tag: id.tag };
    let statuses: Vec<_> = image.replications.iter().map(|it| json!(it)).collect();
    Ok(json!({"repositoryName": name, "imageId": id.json(), "replicationStatuses": statuses}))
}
