//! The effect of a policy on a repository, in numbers and tags.

use serde::Serialize;

use super::evaluate::{Decision, Outcome, evaluate};
use super::{Image, Policy, Timestamp};

/// The images of a repository that a policy would expire or archive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(rename = "LifecycleImpact"))]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    /// The number of images that would be deleted.
    pub images: usize,
    /// The sum of their sizes in bytes, as in `imageSizeInBytes`: a layer of several images is counted for each of them.
    pub bytes: u64,
    /// The tags of the images that would be deleted, the youngest image first.
    pub tags: Vec<String>,
    /// The number of images that would be moved to the archive, from which they cannot be pulled.
    pub archived: usize,
    /// The tags of the images that would be moved to the archive, the youngest image first. Absent if there
    /// are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schemars", schemars(length(min = 1)))]
    pub archived_tags: Vec<String>,
    /// The number of images whose outcome depends on behaviour that AWS does not document.
    #[serde(rename = "inDoubt")]
    pub undocumented: usize,
    /// The images in use that would be deleted or archived, in the form in which they were named. Absent if
    /// there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schemars", schemars(length(min = 1)))]
    pub in_use: Vec<String>,
}

impl Impact {
    /// Evaluates `policy` at the time `now` and summarizes the outcomes. `in_use` returns a reference to an image that is in
    /// use, such as the one that [`super::in_use::InUse::names`] returns.
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

    /// Whether no image would be deleted or archived.
    pub fn is_nothing(&self) -> bool {
        self.images == 0 && self.archived == 0
    }
}
