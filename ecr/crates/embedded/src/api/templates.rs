//! Repository creation templates.

use ecr_types::policy::PolicyKind;
use serde_json::{Value, json};

use super::page::{sought_in, with_next};
use super::policies::{checked_lifecycle, checked_policy};
use super::repositories::mutability;
use super::{ApiResult, Call, Input};
use crate::error::ApiError;

/// The members of a template that a request sets as they are.
const MEMBERS: [&str; 10] = [
    "description",
    "encryptionConfiguration",
    "resourceTags",
    "imageTagMutability",
    "imageTagMutabilityExclusionFilters",
    "repositoryPolicy",
    "lifecyclePolicy",
    "appliedFor",
    "customRoleArn",
    "prefix",
];

pub fn create(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    check(input)?;
    let now = call.shared.now();
    let mut template = json!({"createdAt": now, "updatedAt": now});
    set(&mut template, input);
    if template["imageTagMutability"].is_null() {
        template["imageTagMutability"] = json!("MUTABLE");
    }
    if template["encryptionConfiguration"].is_null() {
        template["encryptionConfiguration"] = json!({"encryptionType": "AES256"});
    }
    call.change_registry(|registry| {
        let prefix = prefix(input);
        if registry.templates.contains_key(&prefix) {
            let message =
                "The repository creation template already exists. Specify a unique prefix and try again.";
            return Err(ApiError::new("TemplateAlreadyExistsException", message));
        }
        registry.templates.insert(prefix, template.clone());
        Ok(())
    })?;
    Ok(answer(call, &template))
}

pub fn update(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    check(input)?;
    let template = call.change_registry(|registry| {
        let template = registry.templates.get_mut(&prefix(input)).ok_or_else(not_found)?;
        set(template, input);
        template["updatedAt"] = json!(call.shared.now());
        Ok(template.clone())
    })?;
    Ok(answer(call, &template))
}

pub fn delete(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let template =
        call.change_registry(|registry| registry.templates.remove(&prefix(input)).ok_or_else(not_found))?;
    Ok(answer(call, &template))
}

/// A prefix without a template is left out: the model has no exception for it here.
pub fn describe(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let registry = call.registry_settings()?;
    let prefixes = input.texts("prefixes");
    let wanted = |prefix: &str| {
        prefixes.as_ref().is_none_or(|it| it.iter().any(|it| it.trim_end_matches('/') == prefix))
    };
    let templates = registry.templates.iter().filter(|(prefix, _)| wanted(prefix));
    let (page, next) =
        sought_in(input, templates.map(|(prefix, template)| (prefix.clone(), template.clone())))?;
    let templates: Vec<Value> = page.into_iter().map(|(_, template)| template).collect();
    let response = json!({"registryId": call.registry.account, "repositoryCreationTemplates": templates});
    Ok(with_next(response, next))
}

/// The prefix without the `/` that "is always assumed" at its end.
fn prefix(input: Input<'_>) -> String {
    input.required("prefix").trim_end_matches('/').to_owned()
}

fn check(input: Input<'_>) -> Result<(), ApiError> {
    if input.text("imageTagMutability").is_some() {
        mutability(input)?;
    }
    if let Some(text) = input.text("lifecyclePolicy").filter(|it| !it.is_empty()) {
        checked_lifecycle(text)?;
    }
    if let Some(text) = input.text("repositoryPolicy").filter(|it| !it.is_empty()) {
        checked_policy(text, PolicyKind::Repository)?;
    }
    Ok(())
}

fn set(template: &mut Value, input: Input<'_>) {
    for member in MEMBERS {
        match &input.value()[member] {
            Value::Null => {}
            value => template[member] = value.clone(),
        }
    }
    template["prefix"] = json!(prefix(input));
}

fn answer(call: &Call<'_>, template: &Value) -> Value {
    json!({"registryId": call.registry.account, "repositoryCreationTemplate": template})
}

fn not_found() -> ApiError {
    let message = "The specified repository creation template can't be found. \
                   Verify the registry ID and prefix and try again.";
    ApiError::new("TemplateNotFoundException", message)
}
