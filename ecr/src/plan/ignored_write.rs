//! Writes that AWS accepts without effect.

use serde_json::Value;

use super::{BlockedField, RepositoryPlan, RepositoryState, Step, WriteAction};

/// A write that AWS accepted, although the field still has its old value. It is not repeated for a while.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct IgnoredWrite {
    /// The ARN of the repository.
    pub arn: String,
    /// The API name of the field.
    pub field: String,
    /// The value before and after the write.
    pub observed: Value,
    /// The value that was written.
    pub desired: Value,
}

impl IgnoredWrite {
    /// The ignored writes: the steps of `plan`, which was applied, that are also in `again`, the plan from the state
    /// after the writes.
    pub fn find(plan: &RepositoryPlan, again: &RepositoryPlan, arn: &str) -> Vec<Self> {
        let was_made = |step: &&Step| step.is_read_back() && plan.steps.contains(step);
        let found = again.steps.iter().filter(was_made);
        found.map(|step| step.ignored_write(arn)).collect()
    }

    /// Whether the plan of its repository leaves the write out because of this record.
    pub fn blocks(&self, plan: &RepositoryPlan) -> bool {
        let is_this = |it: &BlockedField| {
            it.field == self.field && it.observed == self.observed && it.desired == self.desired
        };
        plan.blocked.iter().any(is_this)
    }
}

impl Step {
    /// Whether `DescribeRepositories` returns the field.
    pub fn is_read_back(&self) -> bool {
        let action = &self.action;
        matches!(
            action,
            WriteAction::PutImageTagMutability { .. } | WriteAction::PutImageScanningConfiguration { .. }
        )
    }

    fn ignored_write(&self, arn: &str) -> IgnoredWrite {
        IgnoredWrite {
            arn: arn.to_owned(),
            field: self.field.unwrap_or_default().to_owned(),
            observed: self.observed.clone(),
            desired: self.desired.clone(),
        }
    }
}

impl RepositoryPlan {
    /// Turns steps that are among the ignored writes `known` into blocked fields.
    pub fn block_ignored(&mut self, arn: &str, known: &[IgnoredWrite]) {
        let (steps, ignored): (Vec<_>, Vec<_>) = std::mem::take(&mut self.steps)
            .into_iter()
            .partition(|it| !known.contains(&it.ignored_write(arn)));
        self.steps = steps;
        if ignored.is_empty() {
            return;
        }
        self.state = RepositoryState::Blocked;
        self.blocked.extend(ignored.into_iter().map(|step| BlockedField {
            field: step.field.unwrap_or_default(),
            observed: step.observed,
            desired: step.desired,
            help: IGNORED.to_owned(),
        }));
    }
}

const IGNORED: &str = "AWS accepted the change, but it had no effect: check the settings of the registry \
                       (target/xtask-ecr/ignored-writes.json suppresses this write for a day; remove it to try again)";
