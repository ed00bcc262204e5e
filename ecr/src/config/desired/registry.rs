//! The desired settings of the whole registry.

use std::collections::BTreeMap;

use ecr_lifecycle::Document;
use ecr_types::{ImageTagMutability, namespace};

use super::LifecyclePolicy;
use super::resolve::Resolver;

/// The desired settings of a registry. They are written only where `--registry` asks for it, since they concern everybody
/// who uses the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredRegistry {
    /// Whether layers are mounted from other repositories. `None` does not change the setting.
    pub blob_mounting: Option<bool>,
    /// Whether the template below is written.
    pub writes_template: bool,
    /// The template with the defaults of the workspace.
    pub template: DesiredTemplate,
}

/// A repository creation template: the settings of repositories that a push creates.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredTemplate {
    /// The namespace of the workspace's `prefix`, or `ROOT`.
    pub prefix: String,
    pub image_tag_mutability: ImageTagMutability,
    /// `None` does not set a policy.
    pub lifecycle_policy: Option<Document>,
    /// The role with which ECR sets resource tags.
    pub custom_role_arn: Option<String>,
    /// Resource tags. They are set only with a role: without one, ECR cannot create a repository from a template that has
    /// them (aws/containers-roadmap#2398).
    pub tags: BTreeMap<String, String>,
}

impl DesiredRegistry {
    /// Whether any setting is configured.
    pub fn is_configured(&self) -> bool {
        self.blob_mounting.is_some() || self.writes_template
    }
}

impl Resolver<'_> {
    pub(super) fn registry(&self) -> DesiredRegistry {
        let metadata = &self.configuration.workspace.registry;
        let writes_template = metadata.creation_template.as_ref().is_some_and(|it| it.value);
        if let (Some(role), false) = (&metadata.custom_role_arn, writes_template) {
            let message = "`custom-role-arn` has no effect without `creation-template = true`";
            self.problems.add(&role.place, message.to_owned());
        }
        DesiredRegistry {
            blob_mounting: metadata.blob_mounting.as_ref().map(|it| it.value),
            writes_template,
            template: DesiredTemplate {
                prefix: self.template_prefix(writes_template),
                image_tag_mutability: ImageTagMutability::Immutable,
                lifecycle_policy: self.template_policy(),
                custom_role_arn: metadata.custom_role_arn.as_ref().map(|it| it.value.clone()),
                tags: self.template_tags(),
            },
        }
    }

    /// The namespace of the workspace's repositories. A prefix that does not end with `/` is none.
    fn template_prefix(&self, is_used: bool) -> String {
        let Some(prefix) = self.configuration.workspace.prefix.as_ref().filter(|it| !it.value.is_empty())
        else {
            return namespace::ROOT.to_owned();
        };
        if is_used && !prefix.value.ends_with('/') {
            let message = format!(
                "`creation-template` needs a prefix that is a namespace, and `{}` does not end with `/`",
                prefix.value
            );
            let help = format!("write `prefix = \"{}/\"`, or remove `creation-template`", prefix.value);
            self.problems.add_with_help(&prefix.place, message, &help);
        }
        prefix.value.trim_end_matches('/').to_owned()
    }

    fn template_policy(&self) -> Option<Document> {
        match self.lifecycle_policy(self.configuration.workspace.lifecycle_policy.as_ref()?)? {
            LifecyclePolicy::Document(document) => Some(document),
            LifecyclePolicy::Absent => None,
        }
    }

    /// Those of the workspace, and the project. `ManagedBy` is not among them: `ecr delete --orphans` would take what others
    /// push for an orphan.
    fn template_tags(&self) -> BTreeMap<String, String> {
        let configuration = self.configuration;
        let own = configuration.workspace.tags.iter().map(|(key, value)| (key.clone(), value.value.clone()));
        let project = configuration.workspace.project.as_ref().or(configuration.definitions.project.as_ref());
        own.chain(project.map(|it| ("Project".to_owned(), it.value.clone()))).collect()
    }
}
