//! (Desired, Observed) -> [`Plan`]: the writes that bring a registry to its desired state, and the reasons. This module
//! computes only.

use std::collections::BTreeMap;

use ecr_lifecycle::Document;
use ecr_lifecycle::impact::Impact;
use ecr_types::{ImageTagMutability, RepositoryName};
use serde_json::Value;

use crate::config::desired::{DesiredRepository, MANAGED_BY};
use crate::plan::observed::{Observed, ObservedRepository, Property};

mod compare;
mod differences;
mod ignored_write;
pub mod observed;
pub mod partition;
pub use compare::same_repository_policy;
use differences::{
    describe, encryption_block, lifecycle_step, mutability_step, repository_policy_step, scanning_step,
    tags_step,
};
pub use ignored_write::IgnoredWrite;

/// The writes of `ecr create`, by repository.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// One entry per repository, sorted by name.
    pub repositories: Vec<RepositoryPlan>,
}

/// The writes to one repository.
#[derive(Debug, Clone, PartialEq)]
pub struct RepositoryPlan {
    pub name: RepositoryName,
    /// The name of its service.
    pub package: Option<String>,
    pub state: RepositoryState,
    /// The writes in their order.
    pub steps: Vec<Step>,
    /// Differences that cannot be removed by a write.
    pub blocked: Vec<BlockedField>,
    /// The images that the new lifecycle policy affects. `None` if the policy does not change, affects no image, or the
    /// images cannot be listed.
    pub expires: Option<Impact>,
}

/// The state of a repository relative to its desired state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepositoryState {
    /// The repository does not exist.
    Absent,
    /// The repository differs from the desired state.
    Drifted,
    /// The repository has the desired state.
    Current,
    /// The repository has a difference that cannot be changed in place, or it could not be read.
    Blocked,
    /// The resource tag `Project` names another project, which is given here.
    Foreign(String),
}

impl RepositoryState {
    /// The value in JSON output.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Drifted => "drifted",
            Self::Current => "current",
            Self::Blocked => "blocked",
            Self::Foreign(_) => "foreign",
        }
    }
}

/// One write: an operation of the API, and the difference that it removes.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub action: WriteAction,
    /// The API name of the field that differs. `None` if the repository does not exist.
    pub field: Option<&'static str>,
    pub observed: Value,
    pub desired: Value,
}

/// A write operation with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteAction {
    CreateRepository(Box<DesiredRepository>),
    PutImageTagMutability {
        mutability: ImageTagMutability,
        /// The exclusion filters.
        filters: Vec<String>,
    },
    PutImageScanningConfiguration {
        scan_on_push: bool,
    },
    PutLifecyclePolicy(Document),
    DeleteLifecyclePolicy,
    /// The text of the policy.
    SetRepositoryPolicy(String),
    /// The tags that are missing or differ.
    TagResource {
        /// The ARN of the repository.
        arn: String,
        tags: BTreeMap<String, String>,
    },
}

impl WriteAction {
    /// The API name of the operation. The IAM action is `ecr:` followed by this name.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::CreateRepository(_) => "CreateRepository",
            Self::PutImageTagMutability { .. } => "PutImageTagMutability",
            Self::PutImageScanningConfiguration { .. } => "PutImageScanningConfiguration",
            Self::PutLifecyclePolicy(_) => "PutLifecyclePolicy",
            Self::DeleteLifecyclePolicy => "DeleteLifecyclePolicy",
            Self::SetRepositoryPolicy(_) => "SetRepositoryPolicy",
            Self::TagResource { .. } => "TagResource",
        }
    }

    /// Whether a missing permission is an error. A repository with its lifecycle policy is the purpose of the command.
    /// The other writes repair drift, which a user with more permissions can do later: for them, a missing permission
    /// is a warning.
    pub fn is_required(&self) -> bool {
        matches!(self, Self::CreateRepository(_) | Self::PutLifecyclePolicy(_))
    }
}

/// A difference that cannot be removed in place.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockedField {
    /// The API name of the field.
    pub field: &'static str,
    pub observed: Value,
    pub desired: Value,
    /// What the user can do about it.
    pub help: String,
}

/// The number of repositories in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Summary {
    /// The number of repositories to create (`absent`).
    pub create: usize,
    /// The number of repositories to change (`drifted`).
    pub change: usize,
    /// The number of repositories that are as configured (`current`).
    pub unchanged: usize,
    /// The number of repositories that cannot be changed to the configured state (`blocked`).
    pub blocked: usize,
    /// The number of repositories that belong to another project (`foreign`).
    pub foreign: usize,
}

impl Plan {
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for repository in &self.repositories {
            match repository.state {
                RepositoryState::Absent => summary.create += 1,
                RepositoryState::Drifted => summary.change += 1,
                RepositoryState::Current => summary.unchanged += 1,
                RepositoryState::Blocked => summary.blocked += 1,
                RepositoryState::Foreign(_) => summary.foreign += 1,
            }
        }
        summary
    }

    /// Removes the writes to repositories that could not be read, and marks them as blocked.
    pub fn block_unread(&mut self, is_unread: impl Fn(&RepositoryPlan) -> bool) {
        for repository in self.repositories.iter_mut().filter(|it| is_unread(it)) {
            repository.steps.clear();
            repository.state = RepositoryState::Blocked;
        }
    }

    /// The existing repositories whose lifecycle policy changes, with the new policy.
    pub fn lifecycle_changes(&mut self) -> impl Iterator<Item = (&mut RepositoryPlan, Document)> {
        let changed = self.repositories.iter_mut().filter(|it| it.state != RepositoryState::Absent);
        changed.filter_map(|it| {
            let document = it.steps.iter().find_map(|step| match &step.action {
                WriteAction::PutLifecyclePolicy(document) => Some(document.clone()),
                _ => None,
            })?;
            Some((it, document))
        })
    }

    /// Whether the plan contains writes.
    pub fn writes(&self) -> bool {
        self.repositories.iter().any(|it| !it.steps.is_empty())
    }
}

/// The plan that brings `observed` to `desired`. Without a `project`, no repository belongs to another project.
pub fn plan(desired: &[DesiredRepository], project: Option<&str>, observed: &Observed) -> Plan {
    let repositories = desired.iter().map(|it| match observed.repositories.get(&it.name) {
        None => plan_creation(it),
        Some(found) => match foreign_owner(found, project) {
            Some(owner) => RepositoryPlan::new(it, RepositoryState::Foreign(owner), Vec::new(), Vec::new()),
            None => plan_update(it, found, observed),
        },
    });
    Plan { repositories: repositories.collect() }
}

/// The project of a repository, if it is not `project`. A repository without the tag `Project` is treated as one of
/// `project`, and so is one whose tags may not be read: see [`is_owner_unknown`].
pub fn foreign_owner(found: &ObservedRepository, project: Option<&str>) -> Option<String> {
    other_project(found.tags.known()?, project)
}

/// The project that resource tags name, if it is not `project`.
pub fn other_project(tags: &BTreeMap<String, String>, project: Option<&str>) -> Option<String> {
    let owner = tags.get("Project")?;
    (project? != owner).then(|| owner.clone())
}

/// Whether a repository may belong to another project than `project`, because its resource tags may not be read. Without
/// a project, no repository belongs to another one.
pub fn is_owner_unknown(found: &ObservedRepository, project: Option<&str>) -> bool {
    project.is_some() && found.tags == Property::Denied
}

/// Whether the resource tags of a repository that is not configured name this tool and this project. Without a project,
/// no repository is an orphan, because its owner is unknown.
pub fn is_orphan(tags: &BTreeMap<String, String>, project: Option<&str>) -> bool {
    project.is_some()
        && tags.get("ManagedBy").is_some_and(|it| it == MANAGED_BY)
        && tags.get("Project").map(String::as_str) == project
}

/// Whether the plan depends on the rules of the registry scanning configuration. Reading them costs a request and needs
/// a permission.
pub fn needs_scanning_rules(desired: &[DesiredRepository], observed: &Observed) -> bool {
    let differs = |it: &DesiredRepository| {
        observed.repositories.get(&it.name).is_some_and(|found| found.scan_on_push != it.scan_on_push)
    };
    desired.iter().any(differs)
}

impl RepositoryPlan {
    fn new(
        desired: &DesiredRepository,
        state: RepositoryState,
        steps: Vec<Step>,
        blocked: Vec<BlockedField>,
    ) -> Self {
        Self {
            name: desired.name.clone(),
            package: desired.package.clone(),
            state,
            steps,
            blocked,
            expires: None,
        }
    }
}

fn plan_creation(desired: &DesiredRepository) -> RepositoryPlan {
    let create = Step {
        action: WriteAction::CreateRepository(Box::new(desired.clone())),
        field: None,
        observed: Value::Null,
        desired: describe(desired),
    };
    let policies = [
        lifecycle_step(desired, &Property::Known(None)),
        repository_policy_step(desired, &Property::Known(None)),
    ];
    let steps = std::iter::once(create).chain(policies.into_iter().flatten()).collect();
    RepositoryPlan::new(desired, RepositoryState::Absent, steps, Vec::new())
}

fn plan_update(
    desired: &DesiredRepository,
    found: &ObservedRepository,
    observed: &Observed,
) -> RepositoryPlan {
    let steps = [
        mutability_step(desired, found),
        scanning_step(desired, found, observed),
        lifecycle_step(desired, &found.lifecycle_policy),
        repository_policy_step(desired, &found.repository_policy),
        tags_step(desired, found),
    ];
    let steps: Vec<_> = steps.into_iter().flatten().collect();
    let blocked: Vec<_> = encryption_block(desired, found).into_iter().collect();
    let state = match (blocked.is_empty(), steps.is_empty()) {
        (false, _) => RepositoryState::Blocked,
        (true, true) => RepositoryState::Current,
        (true, false) => RepositoryState::Drifted,
    };
    RepositoryPlan::new(desired, state, steps, blocked)
}

#[cfg(test)]
mod tests;
