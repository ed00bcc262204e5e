//! Rules that are being read.

use ecr_types::document::Place;

use super::{Rule, StorageClass, TagFilter};

/// The parts of a rule that could be read. They are validated against other rules even if the rule has errors.
pub struct Draft {
    /// `rulePriority`.
    pub priority: Option<i64>,
    /// `tagStatus` with its list.
    pub tags: Option<TagFilter>,
    /// The storage class that its `countType` selects.
    pub class: StorageClass,
    /// The position at which the rule begins.
    pub place: Place,
    /// The rule, if it has no errors.
    pub rule: Option<Rule>,
}
