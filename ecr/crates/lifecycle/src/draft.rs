//! Rules on their way from the text to the policy.

use ecr_types::document::Place;

use super::{Rule, StorageClass, TagFilter};

/// What could be read of a rule: enough to hold it against others, even if something in it is wrong.
pub struct Draft {
    /// `rulePriority`.
    pub priority: Option<i64>,
    /// `tagStatus` with its list.
    pub tags: Option<TagFilter>,
    /// The class that its `countType` looks into.
    pub class: StorageClass,
    /// Where it begins.
    pub place: Place,
    /// The rule, if nothing in it is wrong.
    pub rule: Option<Rule>,
}
