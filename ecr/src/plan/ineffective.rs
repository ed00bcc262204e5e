//! Writes that AWS takes and that change nothing.

use serde_json::Value;

use super::{Action, Blocked, RepositoryPlan, State, Step};

/// A write that AWS took and that reads back as it was: the repository, the field, and both values. What is
/// known to be without effect is not written again.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Ineffective {
    /// The repository's ARN.
    pub arn: String,
    /// The API's name of the field.
    pub field: String,
    /// What AWS has, before and after.
    pub observed: Value,
    /// What was written.
    pub desired: Value,
}

impl Ineffective {
    /// The steps of `again`, made from what was read back, that were in `plan` before and are still called for.
    pub fn find(plan: &RepositoryPlan, again: &RepositoryPlan, arn: &str) -> Vec<Self> {
        let was_made = |step: &&Step| step.is_read_back() && plan.steps.contains(step);
        let found = again.steps.iter().filter(was_made);
        found.map(|step| step.ineffective(arn)).collect()
    }
}

impl Step {
    /// Whether the field is one that DescribeRepositories tells.
    pub fn is_read_back(&self) -> bool {
        let action = &self.action;
        matches!(action, Action::PutImageTagMutability { .. } | Action::PutImageScanningConfiguration { .. })
    }

    fn ineffective(&self, arn: &str) -> Ineffective {
        Ineffective {
            arn: arn.to_owned(),
            field: self.field.unwrap_or_default().to_owned(),
            observed: self.observed.clone(),
            desired: self.desired.clone(),
        }
    }
}

impl RepositoryPlan {
    /// Turns steps that are known to be without effect into blocked fields.
    pub fn block(&mut self, arn: &str, known: &[Ineffective]) {
        let (steps, ineffective): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.steps).into_iter().partition(|it| !known.contains(&it.ineffective(arn)));
        self.steps = steps;
        if ineffective.is_empty() {
            return;
        }
        self.state = State::Blocked;
        self.blocked.extend(ineffective.into_iter().map(|step| Blocked {
            field: step.field.unwrap_or_default(),
            observed: step.observed,
            desired: step.desired,
            help: IGNORED.to_owned(),
        }));
    }
}

const IGNORED: &str = "AWS accepted the write, but the field still has its old value: check the settings of the registry \
                       (target/xtask-ecr/ignored-writes.json suppresses this write for a day)";
