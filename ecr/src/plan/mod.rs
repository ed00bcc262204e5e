//! (Desired, Observed) -> [`Plan`]: what would be written, and why. Nothing here writes.

use std::collections::BTreeMap;

use ecr_lifecycle::Document;
use ecr_lifecycle::impact::Impact;
use ecr_types::{ImageTagMutability, RepositoryName};
use serde_json::Value;

use crate::config::desired::{DesiredRepository, MANAGED_BY};
use crate::plan::observed::{Observed, ObservedRepository, Reading};

mod compare;
mod differences;
mod ineffective;
pub mod observed;
use differences::{
    describe, encryption_block, lifecycle_step, mutability_step, repository_policy_step, scanning_step,
    tags_step,
};
pub use ineffective::Ineffective;

/// Everything that `ecr create` would do, repository by repository.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// One entry a repository, sorted by name.
    pub repositories: Vec<RepositoryPlan>,
}

/// What would be done to one repository.
#[derive(Debug, Clone, PartialEq)]
pub struct RepositoryPlan {
    /// The repository.
    pub name: RepositoryName,
    /// The service that it belongs to.
    pub package: Option<String>,
    /// How it stands.
    pub state: State,
    /// The writes, in the order in which they are made.
    pub steps: Vec<Step>,
    /// Differences that no write can mend.
    pub blocked: Vec<Blocked>,
    /// What its new lifecycle policy would take; `None` where it gets none, holds nothing, or may not be listed.
    pub expires: Option<Impact>,
}

/// How a repository stands to what is desired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It does not exist.
    Absent,
    /// It exists and differs.
    Drifted,
    /// It exists as desired.
    Current,
    /// Something differs that cannot be changed in place.
    Blocked,
    /// It carries the resource tag `Project` of another project, which is named here.
    Foreign(String),
}

impl State {
    /// The word in JSON.
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

/// One write: an operation of the API, and the difference that calls for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What to write.
    pub action: Action,
    /// The API's name of the field that differs; `None` where the whole repository is missing.
    pub field: Option<&'static str>,
    /// What AWS has.
    pub observed: Value,
    /// What is wanted.
    pub desired: Value,
}

/// A write operation with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// `CreateRepository`.
    CreateRepository(Box<DesiredRepository>),
    /// `PutImageTagMutability`.
    PutImageTagMutability {
        /// The new value.
        mutability: ImageTagMutability,
        /// Its exclusion filters.
        filters: Vec<String>,
    },
    /// `PutImageScanningConfiguration`.
    PutImageScanningConfiguration {
        /// Whether images are scanned when they are pushed.
        scan_on_push: bool,
    },
    /// `PutLifecyclePolicy` with the policy.
    PutLifecyclePolicy(Document),
    /// `DeleteLifecyclePolicy`.
    DeleteLifecyclePolicy,
    /// `SetRepositoryPolicy` with the policy's text.
    SetRepositoryPolicy(String),
    /// `TagResource` with the tags that are missing or differ.
    TagResource {
        /// The repository's ARN.
        arn: String,
        /// Keys and values.
        tags: BTreeMap<String, String>,
    },
}

impl Action {
    /// The API's name of the operation, which is also the action in IAM after `ecr:`.
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

    /// Whether the run fails where the permission is missing. The seed's script makes these two calls; every
    /// other write is a repair that may be left to somebody with more rights (DESIGN, "Least privilege").
    pub fn is_required(&self) -> bool {
        matches!(self, Self::CreateRepository(_) | Self::PutLifecyclePolicy(_))
    }
}

/// A difference that cannot be mended in place.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocked {
    /// The API's name of the field.
    pub field: &'static str,
    /// What AWS has.
    pub observed: Value,
    /// What is wanted.
    pub desired: Value,
    /// What to do about it.
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
    /// Counts by state.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for repository in &self.repositories {
            match repository.state {
                State::Absent => summary.create += 1,
                State::Drifted => summary.change += 1,
                State::Current => summary.unchanged += 1,
                State::Blocked => summary.blocked += 1,
                State::Foreign(_) => summary.foreign += 1,
            }
        }
        summary
    }

    /// Takes the writes out of repositories that could not be read: nothing is known of them.
    pub fn leave_out(&mut self, is_unread: impl Fn(&RepositoryPlan) -> bool) {
        for repository in self.repositories.iter_mut().filter(|it| is_unread(it)) {
            repository.steps.clear();
            repository.state = State::Blocked;
        }
    }

    /// The repositories that exist and whose lifecycle policy would be written, with the new policy.
    pub fn lifecycle_changes(&mut self) -> impl Iterator<Item = (&mut RepositoryPlan, Document)> {
        let changed = self.repositories.iter_mut().filter(|it| it.state != State::Absent);
        changed.filter_map(|it| {
            let document = it.steps.iter().find_map(|step| match &step.action {
                Action::PutLifecyclePolicy(document) => Some(document.clone()),
                _ => None,
            })?;
            Some((it, document))
        })
    }

    /// Whether applying the plan would write anything.
    pub fn writes(&self) -> bool {
        self.repositories.iter().any(|it| !it.steps.is_empty())
    }
}

/// The plan that brings `observed` to `desired`. Without a project nothing is foreign.
pub fn plan(desired: &[DesiredRepository], project: Option<&str>, observed: &Observed) -> Plan {
    let repositories = desired.iter().map(|it| match observed.repositories.get(&it.name) {
        None => creation(it),
        Some(found) => match foreign_owner(found, project) {
            Some(owner) => RepositoryPlan::new(it, State::Foreign(owner), Vec::new(), Vec::new()),
            None => convergence(it, found, observed),
        },
    });
    Plan { repositories: repositories.collect() }
}

/// The project that a repository belongs to, if that is another one than ours. A repository that is untagged,
/// or whose tags may not be read, counts as ours.
pub fn foreign_owner(found: &ObservedRepository, project: Option<&str>) -> Option<String> {
    let owner = found.tags.known()?.get("Project")?;
    (project? != owner).then(|| owner.clone())
}

/// Whether a repository that no configuration names was made here: the tags say so. Without a project there is no
/// telling whose it is.
pub fn is_orphan(tags: &BTreeMap<String, String>, project: Option<&str>) -> bool {
    project.is_some()
        && tags.get("ManagedBy").is_some_and(|it| it == MANAGED_BY)
        && tags.get("Project").map(String::as_str) == project
}

/// Whether the plan could depend on the registry's own scanning rules, which cost a call and a permission.
pub fn needs_scanning_rules(desired: &[DesiredRepository], observed: &Observed) -> bool {
    let differs = |it: &DesiredRepository| {
        observed.repositories.get(&it.name).is_some_and(|found| found.scan_on_push != it.scan_on_push)
    };
    desired.iter().any(differs)
}

impl RepositoryPlan {
    fn new(desired: &DesiredRepository, state: State, steps: Vec<Step>, blocked: Vec<Blocked>) -> Self {
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

fn creation(desired: &DesiredRepository) -> RepositoryPlan {
    let create = Step {
        action: Action::CreateRepository(Box::new(desired.clone())),
        field: None,
        observed: Value::Null,
        desired: describe(desired),
    };
    let policies = [
        lifecycle_step(desired, &Reading::Known(None)),
        repository_policy_step(desired, &Reading::Known(None)),
    ];
    let steps = std::iter::once(create).chain(policies.into_iter().flatten()).collect();
    RepositoryPlan::new(desired, State::Absent, steps, Vec::new())
}

fn convergence(
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
        (false, _) => State::Blocked,
        (true, true) => State::Current,
        (true, false) => State::Drifted,
    };
    RepositoryPlan::new(desired, state, steps, blocked)
}

#[cfg(test)]
mod tests;
