//! What a policy would take from a repository, in numbers and names.

use serde::Serialize;

use super::evaluate::{Decision, Outcome, evaluate};
use super::{Image, Policy, Timestamp};

/// What would go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    /// Images that would be deleted.
    pub images: usize,
    /// Their sizes together, as ECR counts them: layers that images share are counted for each.
    pub bytes: u64,
    /// The tags among them, the newest first.
    pub tags: Vec<String>,
    /// Images that would be moved to the archive, from where nothing can be pulled.
    pub archived: usize,
    /// The tags among these, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub archived_tags: Vec<String>,
    /// Images whose outcome AWS does not document.
    #[serde(rename = "inDoubt")]
    pub undocumented: usize,
    /// Images in use that would go, as they were named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_use: Vec<String>,
}

impl Impact {
    /// What a policy would take, and which of that is in use; `in_use` names an image if it is.
    pub fn estimate(
        policy: &Policy,
        images: &[Image],
        now: Timestamp,
        in_use: impl Fn(&Image) -> Option<String>,
    ) -> Self {
        let decisions = evaluate(policy, images, now);
        let mut decided: Vec<(&Image, &Decision)> = images.iter().zip(&decisions).collect();
        decided.sort_by_key(|(image, _)| std::cmp::Reverse(image.pushed_at));
        let mut impact = Self::default();
        for (image, decision) in decided {
            impact.undocumented += usize::from(!decision.questions.is_empty());
            if decision.outcome.is_deleted() {
                impact.images += 1;
                impact.bytes += image.size_bytes;
                impact.tags.extend(image.tags.iter().cloned());
                impact.in_use.extend(in_use(image));
            } else if decision.outcome != Outcome::Kept {
                impact.archived += 1;
                impact.archived_tags.extend(image.tags.iter().cloned());
                impact.in_use.extend(in_use(image));
            }
        }
        impact
    }

    /// Whether nothing would go and nothing would move.
    pub fn is_nothing(&self) -> bool {
        self.images == 0 && self.archived == 0
    }
}
