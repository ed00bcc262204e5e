//! The JSON that commands print: fields that scripts rely on (DESIGN, section 3), and what people read of a plan.

use ecr_lifecycle::impact::Impact;
use ecr_types::RepositoryName;
use ecr_types::human::{count, size, some_of};
use serde::Serialize;
use serde_json::Value;

use crate::plan::{BlockedField, Plan, RepositoryPlan, RepositoryState, Step, Summary};

mod images;
mod lifecycle;
mod scan;
mod status;
pub use images::{ImagesTotal, ListedRepository, figures_text};
pub use lifecycle::{CheckReport, CheckedFinding, Disagreement, PreviewReport, PreviewedRepository};
pub use scan::{IgnoreReport, ScanFailure, ScanReport, ScannedImage, Subject};
pub use status::{EngineStatus, Environment, LatestImage, RepositoryStatus, StatusReport};

/// Where a command works: begins every report.
#[derive(Debug, Clone, Serialize)]
pub struct Header {
    /// The account number.
    pub account: String,
    /// The region.
    pub region: String,
    /// The registry's host; null where it cannot be known.
    pub registry: Option<String>,
    /// The project; null without one.
    pub project: Option<String>,
}

/// `ecr plan` and `ecr create`.
#[derive(Debug, Clone, Serialize)]
pub struct PlanReport {
    /// Where.
    #[serde(flatten)]
    pub header: Header,
    /// One entry a repository.
    pub repositories: Vec<RepositoryReport>,
    /// Repositories of this project that the workspace does not name; null if nobody looked.
    pub orphans: Option<Vec<RepositoryName>>,
    /// Counts.
    pub summary: Summary,
}

/// One repository of a [`PlanReport`].
#[derive(Debug, Clone, Serialize)]
pub struct RepositoryReport {
    /// Its name.
    pub name: RepositoryName,
    /// The service that it belongs to.
    pub package: Option<String>,
    /// How it stands.
    pub state: &'static str,
    /// The project that it belongs to, if that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What would be, or was, written.
    pub steps: Vec<StepReport>,
    /// What cannot be changed in place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<BlockedReport>,
    /// What its new lifecycle policy would take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Impact>,
    /// What became of it; only in `ecr create`.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub result: Option<CreateResult>,
}

/// A step of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// The API's name of the operation.
    pub operation: &'static str,
    /// The API's name of the field.
    pub field: Option<&'static str>,
    /// What AWS has.
    pub observed: Value,
    /// What is wanted.
    pub desired: Value,
}

/// A difference that cannot be mended.
#[derive(Debug, Clone, Serialize)]
pub struct BlockedReport {
    /// The API's name of the field.
    pub field: &'static str,
    /// What AWS has.
    pub observed: Value,
    /// What is wanted.
    pub desired: Value,
    /// What to do about it.
    pub help: String,
}

/// What `ecr create` did to a repository.
#[derive(Debug, Clone, Serialize)]
pub struct CreateResult {
    /// The outcome.
    pub outcome: CreateOutcome,
    /// Host and name; null if there is no such repository.
    pub uri: Option<String>,
    /// The ARN; null if there is no such repository.
    pub arn: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// What to do about it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Fields that differ and may not be written; the permissions are told as warnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<String>,
}

/// Outcomes of `ecr create`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CreateOutcome {
    /// It was created.
    Created,
    /// Something was written to it.
    Updated,
    /// Nothing was written to it.
    Unchanged,
    /// Something differs that cannot be changed.
    Blocked,
    /// It belongs to another project.
    Refused,
    /// A request failed.
    Failed,
}

/// `ecr delete`.
#[derive(Debug, Clone, Serialize)]
pub struct DeleteReport {
    /// The account number.
    pub account: String,
    /// The region.
    pub region: String,
    /// The project; null without one.
    pub project: Option<String>,
    /// One entry a repository.
    pub repositories: Vec<DeleteEntry>,
}

/// One repository of a [`DeleteReport`].
#[derive(Debug, Clone, Serialize)]
pub struct DeleteEntry {
    /// Its name.
    pub name: RepositoryName,
    /// What became of it.
    pub outcome: DeleteOutcome,
    /// How many images it held; null where they may not be listed.
    pub images: Option<u64>,
    /// The size of them, in bytes.
    pub bytes: Option<u64>,
    /// What went wrong, or why it was refused.
    pub error: Option<String>,
}

/// Outcomes of `ecr delete`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeleteOutcome {
    /// It is gone, with all images.
    Deleted,
    /// It was not there.
    NotFound,
    /// It is protected, or another project's.
    Refused,
    /// It was left alone, because another one was refused or nobody confirmed.
    Kept,
    /// The request failed.
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
            result: None,
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

/// The plan as people read it: a line a repository, and below it a line a field.
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

/// What a new lifecycle policy would take.
pub fn impact_lines(impact: &Impact) -> Vec<String> {
    let mut lines = Vec::new();
    if impact.images > 0 {
        let images = count(impact.images as u64, "image");
        let tags = match impact.tags.as_slice() {
            [] => "none of them tagged".to_owned(),
            tags => format!("tagged among them: {}", some_of(tags, 5)),
        };
        lines.push(format!("    ! {images} would expire ({}), {tags}", size(impact.bytes)));
    }
    if impact.archived > 0 {
        let tags = match impact.archived_tags.as_slice() {
            [] => String::new(),
            tags => format!(", tagged among them: {}", some_of(tags, 5)),
        };
        lines.push(format!("    ! {} would be archived{tags}", count(impact.archived as u64, "image")));
    }
    if impact.undocumented > 0 {
        let images = count(impact.undocumented as u64, "image");
        lines.push(format!(
            "      AWS does not document what becomes of {images}: see `ecr lifecycle preview`"
        ));
    }
    lines.extend(impact.in_use.iter().map(|it| format!("    ! in use: {it}")));
    lines
}

fn step_lines(step: &Step) -> Vec<String> {
    let Some(field) = step.field else {
        // The request of CreateRepository: its members are the fields.
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

/// Which rules of a lifecycle policy differ, by priority.
fn rule_changes(observed: &Value, desired: &Value) -> String {
    let rules = |policy: &Value| -> std::collections::BTreeMap<String, Value> {
        let rules = policy["rules"].as_array().cloned().unwrap_or_default();
        rules.into_iter().map(|it| (it["rulePriority"].to_string(), it)).collect()
    };
    let (before, after) = (rules(observed), rules(desired));
    let gone = before.keys().filter(|it| !after.contains_key(*it)).map(|it| format!("rule {it} goes"));
    let come = after.iter().filter_map(|(priority, rule)| match before.get(priority) {
        None => Some(format!("rule {priority} is new")),
        Some(old) if old != rule => Some(format!("rule {priority} changes")),
        Some(_) => None,
    });
    let changes: Vec<_> = gone.chain(come).collect();
    if changes.is_empty() { "changes".to_owned() } else { changes.join(", ") }
}

/// A value in a few words.
fn short(value: &Value) -> String {
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

/// `push`.
#[derive(Debug, Clone, Serialize)]
pub struct PushReport {
    /// The registry's host.
    pub registry: Option<String>,
    /// One entry a service.
    pub images: Vec<PushEntry>,
}

/// One service of a [`PushReport`]. Byte counts are of blobs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PushEntry {
    /// The package.
    pub package: String,
    /// The repository.
    pub repository: RepositoryName,
    /// What became of it.
    pub outcome: PushOutcome,
    /// The tags that were wanted.
    pub tags: Vec<ecr_types::ImageTag>,
    /// The image's digest; null where none was built.
    pub digest: Option<ecr_types::Digest>,
    /// Host, name and digest.
    pub reference: Option<String>,
    /// The platforms.
    pub platforms: Vec<String>,
    /// All blobs of the image.
    pub compressed_bytes: u64,
    /// Those that were sent.
    pub uploaded_bytes: u64,
    /// Those that were mounted from another repository.
    pub mounted_bytes: u64,
    /// Those that were there.
    pub skipped_bytes: u64,
    /// What ECR found in it (in each of its platforms) and what the gate says; only with `--fail-on`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scans: Option<Vec<ScannedImage>>,
    /// What it can be named by where it was exported to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// What went wrong.
    pub error: Option<String>,
}

impl PushReport {
    /// A table for the summary of a pipeline.
    pub fn markdown(&self) -> String {
        let mut text = "| service | outcome | tags | image |\n|---|---|---|---|\n".to_owned();
        for image in &self.images {
            let outcome = serde_json::to_value(image.outcome).unwrap_or_default();
            let tags: Vec<_> = image.tags.iter().map(|it| format!("`{it}`")).collect();
            let what = image.error.clone().map(|it| it.replace(['\n', '|'], " "));
            let what =
                what.or_else(|| image.reference.as_ref().map(|it| format!("`{it}`"))).unwrap_or_default();
            let outcome = outcome.as_str().unwrap_or_default();
            text += &format!("| {} | {outcome} | {} | {what} |\n", image.package, tags.join(" "));
        }
        text
    }
}

/// Outcomes of `push`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PushOutcome {
    /// A tag was written.
    Pushed,
    /// Every tag was there, with this image.
    Unchanged,
    /// A tag is immutable and holds another image.
    Conflict,
    /// It could not be built or sent.
    Failed,
    /// It was built, and nothing was sent.
    DryRun,
    /// It was written to an OCI layout, or loaded into docker or podman.
    Exported,
}
