//! The environments of a workspace: which one a command is for, and what it changes.

use std::collections::BTreeSet;

use ecr_types::document::{Located, Problems, did_you_mean};
use ecr_types::human::listed;
use ecr_types::{RegistryId, RepositoryName};

use super::desired::{Configuration, Desired};
use super::metadata::{Environment, WorkspaceMetadata};

/// Which environment a command is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentChoice {
    pub named: Option<EnvironmentName>,
    pub otherwise: Otherwise,
}

/// The environment if none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// That of `default-environment`. There must be one if the workspace has environments.
    Default,
    /// That of `default-environment`, else the workspace's own settings.
    DefaultOrOwn,
    /// All that the workspace has.
    Every,
}

/// The name of an environment as the user gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentName {
    pub name: String,
    /// What names it: `-e` or the variable.
    pub origin: NameSource,
}

/// Where the name of an environment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameSource {
    /// `-e` or `--environment`.
    Flag,
    /// `XTASK_ECR_ENVIRONMENT`.
    Variable,
}

/// The variable that names the environment.
pub const VARIABLE: &str = "XTASK_ECR_ENVIRONMENT";

/// A name that no environment has, or none where one is needed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoEnvironment {
    #[error("{} names the environment `{name}`, which the workspace does not have", origin_name(*.origin))]
    Unknown { name: String, origin: NameSource, existing: Vec<String> },
    #[error("no environment is selected: the workspace has {}", listed(.existing))]
    Unselected { existing: Vec<String> },
}

fn origin_name(origin: NameSource) -> &'static str {
    match origin {
        NameSource::Flag => "--environment",
        NameSource::Variable => VARIABLE,
    }
}

impl NoEnvironment {
    /// What the user can do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Unselected { existing } => {
                let first = existing.first().map_or("NAME", |it| it);
                format!(
                    "select one, such as -e {first}, or set `default-environment` below [workspace.metadata.ecr]"
                )
            }
            Self::Unknown { name, existing, .. } if existing.is_empty() => {
                format!("add a table [workspace.metadata.ecr.environments.{name}] to the root Cargo.toml")
            }
            Self::Unknown { name, existing, .. } => {
                match did_you_mean(name, existing.iter().map(String::as_str)) {
                    Some(similar) => {
                        format!("did you mean `{similar}`? the environments are {}", listed(existing))
                    }
                    None => format!("the environments are {}", listed(existing)),
                }
            }
        }
    }
}

/// Reports a `default-environment` that does not exist.
pub fn check_default(workspace: &WorkspaceMetadata, problems: &Problems) {
    let Some(default) = &workspace.default_environment else { return };
    let names: Vec<_> = workspace.environments.iter().map(|it| it.name.clone()).collect();
    if !names.contains(&default.value) {
        let message = format!("there is no environment `{}`", default.value);
        let help = match did_you_mean(&default.value, names.iter().map(String::as_str)) {
            Some(similar) => format!("did you mean `{similar}`?"),
            None => format!("add a table [workspace.metadata.ecr.environments.{}]", default.value),
        };
        problems.add_with_help(&default.place, message, help);
    }
}

/// The environments that `choice` selects: one, or several if its name is a pattern such as `*`; none if the workspace's own
/// settings are meant.
///
/// # Errors
/// The workspace has no such environment, or no environment is selected where there are some.
pub fn select<'a>(
    workspace: &'a WorkspaceMetadata,
    choice: &EnvironmentChoice,
) -> Result<Vec<&'a Environment>, NoEnvironment> {
    let all = &workspace.environments;
    let existing = || all.iter().map(|it| it.name.clone()).collect();
    let of_pattern = |pattern: &str| -> Vec<&Environment> {
        let pattern = glob::Pattern::new(pattern);
        all.iter().filter(|it| pattern.as_ref().is_ok_and(|pattern| pattern.matches(&it.name))).collect()
    };
    match (&choice.named, choice.otherwise, &workspace.default_environment) {
        (Some(EnvironmentName { name, origin }), ..) => match of_pattern(name) {
            found if found.is_empty() => {
                Err(NoEnvironment::Unknown { name: name.clone(), origin: *origin, existing: existing() })
            }
            found => Ok(found),
        },
        (None, Otherwise::Every, _) => Ok(all.iter().collect()),
        (None, _, Some(default)) => Ok(of_pattern(&default.value)),
        (None, Otherwise::Default, None) if !all.is_empty() => {
            Err(NoEnvironment::Unselected { existing: existing() })
        }
        (None, _, None) => Ok(Vec::new()),
    }
}

impl Configuration {
    /// The configuration in an environment: its settings take the place of those of the workspace, and its resource tags are
    /// added to theirs.
    pub fn in_environment(&self, environment: &Environment) -> Self {
        let mut configuration = self.clone();
        let workspace = &mut configuration.workspace;
        replace(&mut workspace.account_id, &environment.account_id);
        replace(&mut workspace.region, &environment.region);
        replace(&mut workspace.prefix, &environment.prefix);
        replace(&mut workspace.lifecycle_policy, &environment.lifecycle_policy);
        replace(&mut workspace.protect, &environment.protect);
        workspace.tags.extend(environment.tags.clone());
        configuration.environment = Some(environment.clone());
        configuration
    }
}

fn replace<T: Clone>(setting: &mut Option<Located<T>>, by: &Option<Located<T>>) {
    if by.is_some() {
        setting.clone_from(by);
    }
}

/// Reports repositories that two environments would share: what one of them deletes or tags, the other one uses.
pub fn check_shared(environments: &[(&Environment, &Desired)], problems: &Problems) {
    for (n, (second, theirs)) in environments.iter().enumerate() {
        for (first, ours) in environments.iter().take(n) {
            let shared = shared_repositories(ours, theirs);
            if !may_be_same_registry((first, ours), (second, theirs)) || shared.is_empty() {
                continue;
            }
            let names: Vec<_> = shared.iter().map(|it| it.as_str()).collect();
            let message = format!(
                "the environments `{}` and `{}` would both use the {} {}",
                first.name,
                second.name,
                if names.len() == 1 { "repository" } else { "repositories" },
                listed(&names)
            );
            let help = "give each an `account-id`, a `region` or a `prefix` of its own; a prefix does not apply to names \
                        that are configured with `repository` or in repositories.json";
            problems.add_with_help(&second.place, message, help);
        }
    }
}

fn shared_repositories<'a>(ours: &'a Desired, theirs: &Desired) -> BTreeSet<&'a RepositoryName> {
    let is_theirs = |it: &&RepositoryName| theirs.repositories.iter().any(|other| other.name == **it);
    ours.repositories.iter().map(|it| &it.name).filter(is_theirs).collect()
}

/// Whether two environments may be in the same registry: nothing that is configured tells them apart. Two profiles may have
/// credentials of one account, but who writes two means two.
fn may_be_same_registry(
    (first, ours): (&Environment, &Desired),
    (second, theirs): (&Environment, &Desired),
) -> bool {
    let accounts: (&Option<RegistryId>, &Option<RegistryId>) = (&ours.account_id, &theirs.account_id);
    let is_other_account = match accounts {
        (Some(ours), Some(theirs)) => ours != theirs,
        _ => match (&first.profile, &second.profile) {
            (Some(ours), Some(theirs)) => ours.value != theirs.value,
            _ => false,
        },
    };
    let is_other_region =
        matches!((&ours.region, &theirs.region), (Some(ours), Some(theirs)) if ours != theirs);
    !is_other_account && !is_other_region
}
