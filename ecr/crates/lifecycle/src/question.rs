//! The questions that no document of AWS answers.
//!
//! [`super::evaluate::evaluate`] takes each of them both ways, and [`super::evaluate::Decision::questions`] lists those on which
//! the fate of an image depends.

use super::evaluate::DAY;
use super::{Count, Image, Policy, Rule, StorageClass, TagFilter, Timestamp};

/// A question. Each variant states the answer of the documented reading, which is the more likely one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// An image is older than N days as soon as more than N times 24 hours have passed, and not only after another whole day.
    WholeDays,
    /// Of images pushed at the same time, those with smaller digests are younger. The opposite is not one other order, but any:
    /// where some of them are within the last N and some are not, those that are within may be beyond, and the other way round.
    EqualTimes,
    /// Images that a manifest list references count among the last N of `imageCountMoreThan`.
    ChildrenCounted,
    /// Images that a manifest list references are not affected in the evaluation that deletes the list.
    ChildrenWithList,
    /// A manifest list protects the images that it references even if it is stored in another storage class.
    OtherClass,
    /// An artifact with a subject is neither selected nor counted by rules for `untagged` and `any`.
    ArtifactsCounted,
    /// An artifact whose subject is itself an artifact follows it, too.
    ArtifactOfArtifact,
    /// The age of an image that was restored from the archive is counted from the restoration.
    Restored,
    /// `sinceImageTransitioned` does not apply to an archived image whose archival date is unknown.
    ArchivedWithoutDate,
    /// An index whose manifest could not be read protects no untagged image. This is a gap in the image list, not in the
    /// documents of AWS.
    ChildrenUnknown,
}

impl Question {
    /// All questions.
    pub const ALL: [Self; 10] = [
        Self::WholeDays,
        Self::EqualTimes,
        Self::ChildrenCounted,
        Self::ChildrenWithList,
        Self::OtherClass,
        Self::ArtifactsCounted,
        Self::ArtifactOfArtifact,
        Self::Restored,
        Self::ArchivedWithoutDate,
        Self::ChildrenUnknown,
    ];

    /// The name of the question in documents.
    pub fn id(self) -> &'static str {
        match self {
            Self::WholeDays => "whole-days",
            Self::EqualTimes => "equal-times",
            Self::ChildrenCounted => "children-counted",
            Self::ChildrenWithList => "children-with-list",
            Self::OtherClass => "other-storage-class",
            Self::ArtifactsCounted => "artifacts-counted",
            Self::ArtifactOfArtifact => "artifact-of-artifact",
            Self::Restored => "restored",
            Self::ArchivedWithoutDate => "archived-without-date",
            Self::ChildrenUnknown => "children-unknown",
        }
    }

    /// The question, in lower case and with a question mark.
    pub fn text(self) -> &'static str {
        match self {
            Self::WholeDays => {
                "is an image older than N days after N times 24 hours, or only after another whole day?"
            }
            Self::EqualTimes => {
                "which of several images that were pushed at the same time is the younger one?"
            }
            Self::ChildrenCounted => "do the images of an index count among the last N?",
            Self::ChildrenWithList => "do the images of an index go together with it, or only afterwards?",
            Self::OtherClass => "does an index protect its images that are in another storage class?",
            Self::ArtifactsCounted => {
                "are artifacts attached to an image counted among the last N, and selected by `untagged` and `any`?"
            }
            Self::ArtifactOfArtifact => "do artifacts of artifacts follow their subject, too?",
            Self::Restored => "is a restored image as old as its push, or as its restoration?",
            Self::ArchivedWithoutDate => "how old is an archived image whose archival date is unknown?",
            Self::ChildrenUnknown => "which images does the index list whose manifest could not be read?",
        }
    }

    /// What is known of the answer, in lower case.
    pub fn known(self) -> &'static str {
        match self {
            Self::ChildrenCounted => {
                "AWS does not say; the only public report (DefangLabs/pulumi-defang#466) fits both"
            }
            Self::ChildrenWithList => {
                "AWS does not say; users asked for it in 2021 (aws/containers-roadmap#1466)"
            }
            Self::ArtifactsCounted => {
                "AWS does not say; the only public report says that they are counted (aws/containers-roadmap#2613)"
            }
            Self::Restored => "the user guide says both",
            Self::ChildrenUnknown => "the permission ecr:BatchGetImage shows them",
            Self::WholeDays
            | Self::EqualTimes
            | Self::OtherClass
            | Self::ArtifactOfArtifact
            | Self::ArchivedWithoutDate => "AWS does not say",
        }
    }

    /// The question and what is known of it.
    pub fn text_and_known(self) -> String {
        format!("{} {}", self.text(), self.known())
    }

    /// Whether the answer can matter for this policy and these images. This is cheaper than another evaluation.
    pub(super) fn concerns(self, policy: &Policy, images: &[Image], now: Timestamp) -> bool {
        let any_rule = |is: fn(&Rule) -> bool| policy.rules.iter().any(is);
        let any_image = |is: fn(&Image) -> bool| images.iter().any(is);
        let has_count = any_rule(|it| matches!(it.count, Count::ImageCountMoreThan(_)));
        match self {
            Self::WholeDays => policy.rules.iter().any(|rule| is_within_a_day(rule, images, now)),
            Self::EqualTimes => has_count && has_equal_times(images),
            Self::ChildrenCounted => has_count && any_image(has_children),
            Self::ChildrenWithList => any_image(has_children),
            Self::OtherClass => {
                any_image(has_children) && any_image(|it| it.storage_class == StorageClass::Archive)
            }
            Self::ArtifactsCounted => {
                any_image(|it| it.subject.is_some())
                    && any_rule(|it| matches!(it.tags, TagFilter::Any | TagFilter::Untagged))
            }
            Self::ArtifactOfArtifact => has_artifact_of_artifact(images),
            Self::ChildrenUnknown => any_image(Image::has_unknown_children),
            Self::Restored => any_image(|it| it.last_activated_at.is_some()),
            Self::ArchivedWithoutDate => {
                any_image(|it| it.storage_class == StorageClass::Archive && it.last_archived_at.is_none())
            }
        }
    }
}

/// Whether an image has an age between that of a rule and another day.
fn is_within_a_day(rule: &Rule, images: &[Image], now: Timestamp) -> bool {
    if matches!(rule.count, Count::ImageCountMoreThan(_)) {
        return false;
    }
    let from = rule.count.number().saturating_mul(DAY);
    let is_within = |since: Timestamp| (from..from.saturating_add(DAY)).contains(&now.since(since));
    images.iter().any(|it| {
        let times = [Some(it.pushed_at), it.last_pulled_at, it.last_activated_at, it.last_archived_at];
        times.into_iter().flatten().any(is_within)
    })
}

fn has_children(image: &Image) -> bool {
    !image.children().is_empty()
}

fn has_artifact_of_artifact(images: &[Image]) -> bool {
    let artifacts: std::collections::HashSet<_> =
        images.iter().filter(|it| it.subject.is_some()).map(|it| &it.digest).collect();
    images.iter().filter_map(|it| it.subject.as_ref()).any(|it| artifacts.contains(it))
}

fn has_equal_times(images: &[Image]) -> bool {
    let repeats = |mut times: Vec<Timestamp>| {
        times.sort_unstable();
        times.windows(2).any(|it| it[0] == it[1])
    };
    let pushed: Vec<_> = images.iter().map(|it| it.pushed_at).collect();
    let is_restored = images.iter().any(|it| it.last_activated_at.is_some());
    let youngest = || images.iter().map(|it| it.last_activated_at.unwrap_or(it.pushed_at)).collect();
    repeats(pushed) || (is_restored && repeats(youngest()))
}
