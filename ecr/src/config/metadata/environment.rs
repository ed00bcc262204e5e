//! The tables `[workspace.metadata.ecr.environments.NAME]`.

use std::collections::BTreeMap;

use ecr_types::document::{Fields, Located, Node, Place, Problems, Value};
use ecr_types::{Region, RegistryId};

use super::{Prefix, lifecycle_policy};
use crate::config::settings::PolicySource;
use crate::promotion::EnvironmentTag;

/// An environment, such as `prod`: its settings replace those of the workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct Environment {
    pub name: String,
    /// The position of the table.
    pub place: Place,
    /// The only account to which commands write.
    ///
    /// Default: the workspace's.
    pub account_id: Option<Located<RegistryId>>,
    /// The region of the registry; it wins over `AWS_REGION`.
    ///
    /// Value: AWS region. Default: the workspace's.
    pub region: Option<Located<String>>,
    /// The AWS profile with the credentials.
    ///
    /// Value: name. Default: `AWS_PROFILE`.
    pub profile: Option<Located<String>>,
    /// What is put before every derived repository name.
    ///
    /// Default: the workspace's.
    pub prefix: Option<Located<String>>,
    /// Resource tags, which are added to the workspace's.
    pub tags: BTreeMap<String, Located<String>>,
    /// The lifecycle policy of all repositories; `false` is none.
    ///
    /// Default: the workspace's.
    pub lifecycle_policy: Option<Located<PolicySource>>,
    /// Whether `ecr delete` refuses the repositories that do not say otherwise, and `promote` asks.
    ///
    /// Default: `false`.
    pub protect: Option<Located<bool>>,
    /// The tag that `promote` puts on images.
    ///
    /// Value: text with `{n}`. Default: `NAME-{n}`.
    pub promote_tag: Option<Located<EnvironmentTag>>,
}

/// Reads the table of environments, sorted by name.
pub fn read_all(fields: &mut Fields<'_>, problems: &Problems) -> Vec<Environment> {
    let Some(node) = fields.node("environments") else { return Vec::new() };
    let Value::Table(entries) = &node.value else {
        problems.add(&node.place, format!("`environments` must be a table of tables, found {}", node.kind()));
        return Vec::new();
    };
    let read = |entry: &ecr_types::document::Entry| {
        let environment = Environment::read(&entry.key, &entry.node, problems);
        match is_name(&entry.key) {
            true => Some(environment),
            false => {
                let message = format!(
                    "`{}` is not a name of an environment: it has 1 to 64 letters, digits, `-`, `_` and `.`",
                    entry.key
                );
                problems.add(&entry.place, message);
                None
            }
        }
    };
    let mut environments: Vec<_> = entries.iter().filter_map(read).collect();
    environments.sort_by(|a, b| a.name.cmp(&b.name));
    environments
}

impl Environment {
    /// The tag by which it runs images.
    pub fn tag(&self) -> EnvironmentTag {
        let configured = self.promote_tag.as_ref().map(|it| it.value.clone());
        configured.unwrap_or_else(|| EnvironmentTag::of(&self.name))
    }

    fn read(name: &str, node: &Node, problems: &Problems) -> Self {
        let mut fields = Fields::new(node, format!("[workspace.metadata.ecr.environments.{name}]"), problems);
        let environment = Self {
            name: name.to_owned(),
            place: node.place.clone(),
            account_id: fields.parsed("account-id"),
            region: fields.parsed::<Region>("region").map(|it| it.map(|region| region.to_string())),
            profile: fields.string("aws-profile"),
            prefix: fields.parsed::<Prefix>("prefix").map(|it| it.map(|prefix| prefix.0)),
            tags: fields.string_map("tags"),
            lifecycle_policy: lifecycle_policy(&mut fields, "", problems),
            protect: fields.boolean("protect"),
            promote_tag: fields.parsed("promote-tag"),
        };
        fields.finish();
        environment
    }
}

/// Whether a text names an environment. It can be typed without quotes and is no pattern.
fn is_name(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&text.len()) && text.chars().all(is_allowed) && !text.starts_with('-')
}
