//! The signing configuration of a registry, and the status of signatures. Nothing is signed here: the status of an image is
//! read from a file, as its scan is. `signing/HEX.json` in the folder of the state, for the image with the digest
//! `sha256:HEX`, has the member `signingStatuses` of `DescribeImageSigningStatus`. Without the file, the status of each rule
//! that matches is IN_PROGRESS, so that nothing passes for signed.

use ecr_types::Pattern;
use serde_json::{Value, json};

use super::image_id::{ImageId, image_not_found};
use super::{ApiResult, Call, Found, Input};
use crate::error::ApiError;

pub fn put(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let configuration = &input.value()["signingConfiguration"];
    for rule in configuration["rules"].as_array().into_iter().flatten() {
        let arn = rule["signingProfileArn"].as_str().unwrap_or_default();
        let region = arn.split(':').nth(3).unwrap_or_default();
        if region != call.registry.region.as_str() {
            let message = format!(
                "The region of signing profile ARN {arn} is '{region}' but must be '{}' (the current region)",
                call.registry.region
            );
            return Err(ApiError::new("InvalidParameterException", message));
        }
    }
    call.change_registry(|registry| {
        registry.signing = Some(configuration.clone());
        Ok(())
    })?;
    Ok(json!({ "signingConfiguration": configuration }))
}

pub fn get(call: &Call<'_>) -> ApiResult {
    let configuration = call.registry_settings()?.signing.ok_or_else(not_found)?;
    Ok(json!({"registryId": call.registry.account, "signingConfiguration": configuration}))
}

pub fn delete(call: &Call<'_>) -> ApiResult {
    let configuration = call.change_registry(|registry| registry.signing.take().ok_or_else(not_found))?;
    Ok(json!({"registryId": call.registry.account, "signingConfiguration": configuration}))
}

pub fn status(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let id = ImageId::new(input.part("imageId").unwrap_or(input));
    let Found { rows, name, repository } = call.find(input)?;
    let (digest, _) = id.find(&rows, &repository)?.map_err(|_| image_not_found(call, &name, &id))?;
    let id = ImageId { digest: Some(digest.to_string()), tag: id.tag };
    let path = call.shared.store.folder().join("signing").join(format!("{}.json", digest.hex()));
    let statuses = match std::fs::read(&path) {
        Ok(text) => {
            let file: Value = serde_json::from_slice(&text)
                .map_err(|it| ApiError::internal(&format!("`{}` is not JSON: {it}", path.display())))?;
            file["signingStatuses"].clone()
        }
        Err(_) => {
            let signing = call.registry_settings()?.signing.unwrap_or_default();
            matching(&signing, name.as_str())
                .map(|profile| json!({"signingProfileArn": profile, "status": "IN_PROGRESS"}))
                .collect()
        }
    };
    Ok(call.about(&name, json!({"imageId": id.json(), "signingStatuses": statuses})))
}

/// The signing profiles of the rules that are about a repository. A rule without filters is about all.
fn matching<'a>(signing: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    let is_about = move |rule: &&Value| {
        let filters = rule["repositoryFilters"].as_array();
        filters.is_none_or(|it| {
            it.iter().filter_map(|it| it["filter"].as_str()).any(|it| Pattern::new(it).matches(name))
        })
    };
    let rules = signing["rules"].as_array().into_iter().flatten();
    rules.filter(is_about).map(|it| &it["signingProfileArn"])
}

fn not_found() -> ApiError {
    let message = "The specified signing configuration was not found. This occurs when attempting to retrieve or \
                   delete a signing configuration that does not exist.";
    ApiError::new("SigningConfigurationNotFoundException", message)
}
