//! Resource tags.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{ApiResult, Call, Found, Input};
use crate::error::ApiError;

/// The maximum number of tags of a resource (AWS, "Tag restrictions").
const MAX_RESOURCE_TAGS: usize = 50;

pub fn tag(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let name = call.name_of_arn(input.required("resourceArn"))?;
    call.change_settings(name.as_str(), |settings| {
        settings.tags = checked_tags(std::mem::take(&mut settings.tags), input)?;
        Ok(())
    })?;
    Ok(json!({}))
}

pub fn untag(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let name = call.name_of_arn(input.required("resourceArn"))?;
    let keys = input.texts("tagKeys").unwrap_or_default();
    call.change_settings(name.as_str(), |settings| {
        settings.tags.retain(|key, _| !keys.contains(&key.as_str()));
        Ok(())
    })?;
    Ok(json!({}))
}

pub fn list(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let name = call.name_of_arn(input.required("resourceArn"))?;
    let Found { repository, .. } = call.find_named(name.as_str())?;
    let tags = repository.settings.tags.iter();
    let tags: Vec<Value> = tags.map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    Ok(json!({"tags": tags}))
}

/// `before` with the `tags` of the input added or replaced, if they are valid (AWS, "Tag restrictions").
pub fn checked_tags(
    mut before: BTreeMap<String, String>,
    input: Input<'_>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let invalid = |message: &str| Err(ApiError::new("InvalidTagParameterException", message));
    let mut seen = BTreeSet::new();
    for tag in input.parts("tags").unwrap_or_default() {
        let (key, value) = (tag.required("Key"), tag.required("Value"));
        if !(1..=128).contains(&key.chars().count()) || value.chars().count() > 256 {
            return invalid("a tag key has 1 to 128 characters, and a tag value at most 256");
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return invalid("tag keys that begin with aws: are reserved");
        }
        if !seen.insert(key) {
            return invalid("duplicate tag key in the request");
        }
        before.insert(key.to_owned(), value.to_owned());
    }
    if before.len() > MAX_RESOURCE_TAGS {
        return Err(ApiError::new("TooManyTagsException", "a resource has at most 50 tags"));
    }
    Ok(before)
}
