//! The documents of `ecr plan` and `ecr create`, and the text of a plan.

use std::collections::BTreeMap;

use ecr_lifecycle::impact::Impact;
use ecr_types::RepositoryName;
use ecr_types::human::{count, size, some_of};
use serde::Serialize;
use serde_json::Value;

use super::registry::{RegistryChange, RegistryStepReport};
#[cfg(test)]
use super::schema::{self, Field, WritableField, rules};
use super::{ErrorDetails, Header};
use crate::cli::error::Failure;
use crate::plan::{BlockedField, Plan, RepositoryPlan, RepositoryState, Step, Summary};

/// The changes that `ecr create` would make, field by field.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlanReport {
    /// The registry that the command works with.
    #[serde(flatten)]
    pub header: Header,
    /// The repositories of the selected services.
    pub repositories: Vec<RepositoryReport>,
    /// The names of repositories of this project that the workspace does not configure. Null without
    /// `--orphans`, and if orphans cannot be identified.
    pub orphans: Option<Vec<RepositoryName>>,
    /// The number of repositories in each state.
    pub summary: Summary,
    /// The changes to the settings of the registry. Absent without `--registry`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Vec<RegistryStepReport>"))]
    pub registry_settings: Option<Vec<RegistryStepReport>>,
}

/// The plans of several environments.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EnvironmentPlans {
    /// The environments, sorted by name.
    pub environments: Vec<EnvironmentPlan>,
}

/// The plan of an environment, or the reason why there is none.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum EnvironmentPlan {
    /// The plan.
    Planned(Box<PlanReport>),
    /// There is no plan.
    Failed {
        /// The name of the environment.
        environment: String,
        /// The error.
        error: ErrorDetails,
    },
}

impl EnvironmentPlan {
    /// An environment whose plan failed.
    pub fn failed(environment: String, failure: &Failure) -> Self {
        Self::Failed { environment, error: ErrorDetails::from(failure) }
    }
}

/// The plan that `ecr create` followed, and the result for each repository.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CreateReport {
    /// The registry that the command works with.
    #[serde(flatten)]
    pub header: Header,
    /// The repositories of the selected services.
    pub repositories: Vec<CreatedRepository>,
    /// Always null. Only `ecr plan` and `ecr status` search for orphans.
    pub orphans: (),
    /// The number of repositories in each state of the plan, before it was applied.
    pub summary: Summary,
    /// The changes to the settings of the registry. Absent without `--registry`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Vec<RegistryChange>"))]
    pub registry_settings: Option<Vec<RegistryChange>>,
    /// Whether the command was interrupted, so that parts of it were not done. Absent unless it was.
    #[serde(skip_serializing_if = "super::is_false")]
    pub interrupted: bool,
}

/// A repository, its state and the changes that it requires.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "PlannedRepository", transform = rules::foreign_repository)
)]
pub struct RepositoryReport {
    /// The name of the repository.
    pub name: RepositoryName,
    /// The package that uses the repository. Null if there is none.
    pub package: Option<String>,
    /// The state of the repository, compared with the configuration.
    #[cfg_attr(test, schemars(with = "schema::RepositoryState"))]
    pub state: &'static str,
    /// The project that owns the repository. Absent unless `state` is `foreign`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub owner: Option<String>,
    /// The write operations, in the order in which they are made.
    pub steps: Vec<StepReport>,
    /// The fields that differ and that cannot be changed. Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub blocked: Vec<BlockedReport>,
    /// The images that the new lifecycle policy would expire or archive. Absent if there are none, or if the
    /// images cannot be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Impact"))]
    pub expires: Option<Impact>,
}

/// A repository, the changes that it required, and the result.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(transform = rules::create_result))]
pub struct CreatedRepository {
    /// The plan that was followed.
    #[serde(flatten)]
    pub plan: RepositoryReport,
    /// The result.
    #[serde(flatten)]
    pub result: CreateResult,
}

/// A write operation and the difference that it removes.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "Step", transform = rules::values_of_steps)
)]
pub struct StepReport {
    /// The operation of the ECR API.
    #[cfg_attr(test, schemars(with = "schema::Operation"))]
    pub operation: &'static str,
    /// The field that the operation changes. Null for `CreateRepository`, which sets all fields.
    #[cfg_attr(test, schemars(with = "Option<WritableField>"))]
    pub field: Option<&'static str>,
    /// The value that AWS has. Null if there is none, or if it may not be read.
    pub observed: Value,
    /// The configured value. Null if there is none.
    pub desired: Value,
}

/// A field that differs from the configuration and that cannot be changed.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "BlockedField", transform = rules::values_of_blocked_fields)
)]
pub struct BlockedReport {
    /// The name of the field.
    #[cfg_attr(test, schemars(with = "Field"))]
    pub field: &'static str,
    /// The value that AWS has.
    pub observed: Value,
    /// The configured value.
    pub desired: Value,
    /// What to do about the difference.
    pub help: String,
}

/// The result of `ecr create` for a repository.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CreateResult {
    /// The outcome.
    pub outcome: CreateOutcome,
    /// The URI of the repository: the registry's host and the name. Null if the repository does not exist.
    #[cfg_attr(test, schemars(regex(pattern = r"^[^/]+/.+$")))]
    pub uri: Option<String>,
    /// The ARN of the repository. Null if the repository does not exist.
    #[cfg_attr(test, schemars(regex(pattern = r"^arn:[a-z0-9-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/.+$")))]
    pub arn: Option<String>,
    /// The error. Null if there is none.
    pub error: Option<String>,
    /// What to do about the error. Absent if there is no advice.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub help: Option<String>,
    /// The fields that differ and that were not changed, because the permission is missing. Absent if there
    /// are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(with = "Vec<WritableField>", length(min = 1)))]
    pub denied: Vec<String>,
}

/// An outcome of `ecr create` for a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CreateOutcome {
    /// The repository was created.
    Created,
    /// The repository was changed.
    Updated,
    /// The repository was not changed.
    Unchanged,
    /// A field differs that cannot be changed.
    Blocked,
    /// The repository belongs to another project and was not changed.
    Refused,
    /// A request failed.
    Failed,
}

impl From<&RepositoryPlan> for RepositoryReport {
    fn from(plan: &RepositoryPlan) -> Self {
        let owner = match &plan.state {
            RepositoryState::Foreign(owner) => Some(owner.clone()),
            _ => None,
        };
        Self {
            name: plan.name.clone(),
            package: plan.package.clone(),
            state: plan.state.as_str(),
            owner,
            steps: plan.steps.iter().map(StepReport::from).collect(),
            blocked: plan.blocked.iter().map(BlockedReport::from).collect(),
            expires: plan.expires.clone(),
        }
    }
}

impl From<&Step> for StepReport {
    fn from(step: &Step) -> Self {
        Self {
            operation: step.action.operation(),
            field: step.field,
            observed: step.observed.clone(),
            desired: step.desired.clone(),
        }
    }
}

impl From<&BlockedField> for BlockedReport {
    fn from(blocked: &BlockedField) -> Self {
        let BlockedField { field, observed, desired, help } = blocked.clone();
        Self { field, observed, desired, help }
    }
}

/// The plan for people: one line for each repository, and below it one line for each field that differs.
pub fn plan_lines(plan: &Plan) -> Vec<String> {
    plan.repositories.iter().flat_map(repository_lines).collect()
}

fn repository_lines(plan: &RepositoryPlan) -> Vec<String> {
    let mark = match plan.state {
        RepositoryState::Absent => '+',
        RepositoryState::Drifted => '~',
        RepositoryState::Current => '=',
        RepositoryState::Blocked | RepositoryState::Foreign(_) => '!',
    };
    let remark = match &plan.state {
        RepositoryState::Absent => "  (to create)".to_owned(),
        RepositoryState::Foreign(owner) => format!("  (belongs to project `{owner}`)"),
        RepositoryState::Blocked => "  (blocked)".to_owned(),
        RepositoryState::Current | RepositoryState::Drifted => String::new(),
    };
    let mut lines = vec![format!("{mark} {}{remark}", plan.name)];
    lines.extend(plan.steps.iter().flat_map(step_lines));
    lines.extend(plan.expires.iter().flat_map(impact_lines));
    for blocked in &plan.blocked {
        let (observed, desired) = (short(&blocked.observed), short(&blocked.desired));
        lines.push(format!("    ! {}: {observed} -> {desired}", blocked.field));
        lines.push(format!("      help: {}", blocked.help));
    }
    lines
}

/// The lines for people about the images that a new lifecycle policy would expire or archive.
pub fn impact_lines(impact: &Impact) -> Vec<String> {
    let mut lines = Vec::new();
    if impact.images > 0 {
        let images = count(impact.images as u64, "image");
        let tags = match impact.tags.as_slice() {
            [] => "no tags".to_owned(),
            tags => format!("tags: {}", some_of(tags, 5)),
        };
        lines.push(format!("    ! {images} would expire ({}), {tags}", size(impact.bytes)));
    }
    if impact.archived > 0 {
        let tags = match impact.archived_tags.as_slice() {
            [] => String::new(),
            tags => format!(", tags: {}", some_of(tags, 5)),
        };
        lines.push(format!("    ! {} would be archived{tags}", count(impact.archived as u64, "image")));
    }
    if let Some(doubt) = &impact.may_go {
        let tags = match doubt.tags.as_slice() {
            [] => "no tags".to_owned(),
            tags => format!("tags: {}", some_of(tags, 5)),
        };
        let images = count(doubt.images as u64, "image");
        lines.push(format!("    ? {images} may expire or be archived, {tags}"));
        lines.extend(doubt.questions.iter().map(|it| format!("      {}", it.line())));
    }
    lines.extend(impact.in_use.iter().map(|it| format!("    ! in use: {it}")));
    lines
}

fn step_lines(step: &Step) -> Vec<String> {
    let Some(field) = step.field else {
        // The members of a CreateRepository request are the fields.
        let members = step.desired.as_object().into_iter().flatten();
        return members.map(|(key, value)| format!("    + {key}: {}", short(value))).collect();
    };
    match (&step.observed, &step.desired) {
        (Value::Null, desired) => vec![format!("    + {field}: {}", short(desired))],
        (observed, Value::Null) => vec![format!("    - {field}: {}", short(observed))],
        (Value::Object(observed), Value::Object(desired)) if field == "tags" => {
            let line = |(key, value): (&String, &Value)| {
                format!("    ~ tags.{key}: {} -> {}", short(&observed[key.as_str()]), short(value))
            };
            desired.iter().map(line).collect()
        }
        (observed, desired) if field == "lifecyclePolicy" => {
            vec![format!("    ~ {field}: {}", rule_changes(observed, desired))]
        }
        (observed, desired) => vec![format!("    ~ {field}: {} -> {}", short(observed), short(desired))],
    }
}

/// The rules in which two lifecycle policies differ, by priority.
fn rule_changes(observed: &Value, desired: &Value) -> String {
    let rules = |policy: &Value| -> BTreeMap<String, Value> {
        let rules = policy["rules"].as_array().cloned().unwrap_or_default();
        rules.into_iter().map(|it| (it["rulePriority"].to_string(), it)).collect()
    };
    let (before, after) = (rules(observed), rules(desired));
    let removed =
        before.keys().filter(|it| !after.contains_key(*it)).map(|it| format!("rule {it} is removed"));
    let added = after.iter().filter_map(|(priority, rule)| match before.get(priority) {
        None => Some(format!("rule {priority} is added")),
        Some(old) if old != rule => Some(format!("rule {priority} is changed")),
        Some(_) => None,
    });
    let changes: Vec<_> = removed.chain(added).collect();
    if changes.is_empty() { "changed".to_owned() } else { changes.join(", ") }
}

/// A short text for a value.
pub(super) fn short(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(object) if object.contains_key("rules") => {
            let n = object["rules"].as_array().map_or(0, Vec::len);
            format!("{n} rule{}", if n == 1 { "" } else { "s" })
        }
        Value::Object(object) => {
            object.iter().map(|(key, value)| format!("{key}={}", short(value))).collect::<Vec<_>>().join(", ")
        }
        Value::Array(items) => items.iter().map(short).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
