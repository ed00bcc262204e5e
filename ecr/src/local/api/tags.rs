//! Resource tags.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::repositories::{change_settings, try_change_settings};
use super::{Answer, Call};
use crate::local::error::ApiError;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagInput {
    resource_arn: String,
    tags: Vec<Tag>,
}

pub fn tag(call: &Call<'_>, input: TagInput) -> Answer {
    let name = call.name_of_arn(&input.resource_arn)?;
    try_change_settings(call, name.as_str(), |settings| {
        settings.tags = checked_tags(std::mem::take(&mut settings.tags), input.tags)?;
        Ok(())
    })?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UntagInput {
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub fn untag(call: &Call<'_>, input: UntagInput) -> Answer {
    let name = call.name_of_arn(&input.resource_arn)?;
    change_settings(call, name.as_str(), |it| it.tags.retain(|key, _| !input.tag_keys.contains(key)))?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListInput {
    resource_arn: String,
}

pub fn list(call: &Call<'_>, input: ListInput) -> Answer {
    let name = call.name_of_arn(&input.resource_arn)?;
    call.with(name.as_str(), |_, repository| {
        let tags = repository.settings.tags.iter();
        let tags: Vec<Value> = tags.map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        Ok(json!({"tags": tags}))
    })
}

/// `before` with `new` on top, if AWS would take them.
pub fn checked_tags(
    mut before: BTreeMap<String, String>,
    new: Vec<Tag>,
) -> Result<BTreeMap<String, String>, ApiError> {
    for Tag { key, value } in new {
        let lengths = (key.chars().count(), value.chars().count());
        if !(1..=128).contains(&lengths.0) || lengths.1 > 256 {
            let message = "a tag key has 1 to 128 characters, and a tag value at most 256";
            return Err(ApiError::new("InvalidTagParameterException", message));
        }
        before.insert(key, value);
    }
    if before.len() > 50 {
        return Err(ApiError::new("TooManyTagsException", "a resource has at most 50 tags"));
    }
    Ok(before)
}
