//! `[workspace.metadata.ecr.registry]`: the settings of the whole registry.

use ecr_types::document::{Fields, Located};

use crate::config::InvalidSetting;

/// The table. All keys are optional.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RegistryMetadata {
    /// Whether layers are mounted from other repositories of the registry.
    ///
    /// Default: not changed.
    pub blob_mounting: Option<Located<bool>>,
    /// Whether there is a repository creation template with the defaults of the workspace.
    ///
    /// Default: not changed.
    pub creation_template: Option<Located<bool>>,
    /// The role with which ECR sets the resource tags of the template.
    ///
    /// Value: ARN of a role.
    pub custom_role_arn: Option<Located<String>>,
}

impl RegistryMetadata {
    /// Reads the table from `[workspace.metadata.ecr]`.
    pub fn read(fields: &mut Fields<'_>) -> Self {
        let Some(mut fields) = fields.fields("registry") else { return Self::default() };
        let metadata = Self {
            blob_mounting: fields.boolean("blob-mounting"),
            creation_template: fields.boolean("creation-template"),
            custom_role_arn: fields.parsed::<RoleArn>("custom-role-arn").map(|it| it.map(|role| role.0)),
        };
        fields.finish();
        metadata
    }
}

/// The ARN of a role of IAM, in any partition.
struct RoleArn(String);

impl std::str::FromStr for RoleArn {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let parts: Vec<_> = text.splitn(6, ':').collect();
        let is_role = matches!(parts.as_slice(), ["arn", partition, "iam", "", account, role]
            if partition.starts_with("aws")
                && account.len() == 12
                && account.bytes().all(|it| it.is_ascii_digit())
                && role.strip_prefix("role/").is_some_and(|it| !it.is_empty()));
        let message = || {
            format!(
                "`{text}` is not the ARN of a role: write one such as `arn:aws:iam::123456789012:role/ecr`"
            )
        };
        is_role.then(|| Self(text.to_owned())).ok_or_else(|| InvalidSetting(message()))
    }
}
