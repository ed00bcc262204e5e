//! (DesiredRegistry, RegistrySettings) -> the writes to the settings of a registry.

use serde_json::{Value, json};

use super::template::{applied_for, describe};
use super::{BLOB_MOUNTING, RegistrySettings};
use crate::config::desired::{DesiredRegistry, DesiredTemplate};
use crate::plan::observed::Property;

/// One write, and the difference that it removes.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistryStep {
    pub write: RegistryWrite,
    /// `blobMounting`, or `creationTemplate` followed by the prefix and the field.
    pub field: String,
    pub observed: Value,
    pub desired: Value,
}

/// A write operation with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum RegistryWrite {
    PutAccountSetting {
        name: &'static str,
        value: &'static str,
    },
    CreateTemplate {
        template: DesiredTemplate,
        /// The value of `appliedFor`.
        applied_for: Vec<String>,
    },
    UpdateTemplate {
        template: DesiredTemplate,
        /// The value of `appliedFor`.
        applied_for: Vec<String>,
    },
}

impl RegistryWrite {
    /// The API name of the operation. The IAM action is `ecr:` followed by this name.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::PutAccountSetting { .. } => "PutAccountSetting",
            Self::CreateTemplate { .. } => "CreateRepositoryCreationTemplate",
            Self::UpdateTemplate { .. } => "UpdateRepositoryCreationTemplate",
        }
    }
}

/// A setting that is configured and could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{action}: the setting of the registry could not be read, so that no change to it can be planned")]
pub struct SettingUnknown {
    /// The IAM action, with `ecr:`.
    pub action: &'static str,
}

/// The writes that bring the settings of a registry to the desired ones.
///
/// # Errors
/// A configured setting could not be read.
pub fn plan(
    desired: &DesiredRegistry,
    found: &RegistrySettings,
) -> Result<Vec<RegistryStep>, SettingUnknown> {
    let mounting =
        desired.blob_mounting.map(|wanted| mounting_step(wanted, &found.blob_mounting)).transpose()?;
    let mut steps: Vec<_> = mounting.into_iter().flatten().collect();
    if desired.writes_template {
        steps.extend(template_step(&desired.template, found)?);
    }
    Ok(steps)
}

fn mounting_step(wanted: bool, found: &Property<bool>) -> Result<Option<RegistryStep>, SettingUnknown> {
    let found = found.known().ok_or(SettingUnknown { action: "ecr:GetAccountSetting" })?;
    let value = |is_on: bool| if is_on { "ENABLED" } else { "DISABLED" };
    Ok((*found != wanted).then(|| RegistryStep {
        write: RegistryWrite::PutAccountSetting { name: BLOB_MOUNTING, value: value(wanted) },
        field: "blobMounting".to_owned(),
        observed: json!(value(*found)),
        desired: json!(value(wanted)),
    }))
}

fn template_step(
    template: &DesiredTemplate,
    found: &RegistrySettings,
) -> Result<Option<RegistryStep>, SettingUnknown> {
    let templates = found
        .templates
        .known()
        .ok_or(SettingUnknown { action: "ecr:DescribeRepositoryCreationTemplates" })?;
    let field = format!("creationTemplate {}", template.prefix);
    let Some(existing) = templates.iter().find(|it| it.prefix == template.prefix) else {
        let write =
            RegistryWrite::CreateTemplate { template: template.clone(), applied_for: applied_for(None) };
        return Ok(Some(RegistryStep { write, field, observed: Value::Null, desired: describe(template) }));
    };
    let differences = existing.differences(template);
    if differences.is_empty() {
        return Ok(None);
    }
    let object = |of: fn(&(&'static str, Value, Value)) -> Value| -> Value {
        differences.iter().map(|it| (it.0.to_owned(), of(it))).collect::<serde_json::Map<_, _>>().into()
    };
    let applied_for = applied_for(Some(existing));
    let write = RegistryWrite::UpdateTemplate { template: template.clone(), applied_for };
    Ok(Some(RegistryStep {
        write,
        field,
        observed: object(|it| it.1.clone()),
        desired: object(|it| it.2.clone()),
    }))
}
