//! The choices that this crate makes where AWS documents nothing.
//!
//! The outcome of an image depends on a choice if the opposite choice, with all others unchanged, gives another outcome.
//! [`super::evaluate::Decision::questions`] lists these choices for each image.

use super::{Count, Image, Policy, Rule, StorageClass, TagFilter};

/// A choice that no document of AWS decides. Each variant states the choice of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// An image is older than N days as soon as more than N times 24 hours have passed, and not only after another whole day.
    WholeDays,
    /// Of images pushed at the same time, those with smaller digests are younger.
    EqualTimes,
    /// Images that a manifest list references count among the last N of `imageCountMoreThan`.
    ChildrenCounted,
    /// Images that a manifest list references are not affected in the evaluation that deletes the list.
    ChildrenWithList,
    /// A manifest list protects the images that it references even if it is stored in another storage class.
    OtherClass,
    /// An artifact with a subject is neither selected nor counted by rules for `untagged` and `any`.
    ArtifactsSelected,
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
    /// All choices.
    pub const ALL: [Self; 10] = [
        Self::WholeDays,
        Self::EqualTimes,
        Self::ChildrenCounted,
        Self::ChildrenWithList,
        Self::OtherClass,
        Self::ArtifactsSelected,
        Self::ArtifactOfArtifact,
        Self::Restored,
        Self::ArchivedWithoutDate,
        Self::ChildrenUnknown,
    ];

    /// The choice as a sentence in lower case, printed after `not documented:`.
    pub fn choice(self) -> &'static str {
        match self {
            Self::WholeDays => "ages are measured to the second, not in whole days",
            Self::EqualTimes => {
                "of images pushed at the same time, the smaller digest is assumed to be younger"
            }
            Self::ChildrenCounted => "the images of an index are assumed to count among the last N",
            Self::ChildrenWithList => "the images of an index are assumed to stay until it is deleted",
            Self::OtherClass => "an index is assumed to protect its images in every storage class",
            Self::ArtifactsSelected => {
                "attached artifacts are assumed not to be selected by `untagged` and `any`"
            }
            Self::ArtifactOfArtifact => "artifacts of artifacts are assumed to follow their subject, too",
            Self::Restored => "a restored image is assumed to be as young as its restoration",
            Self::ChildrenUnknown => {
                "the images of an index are unknown; it is assumed to protect no untagged image"
            }
            Self::ArchivedWithoutDate => "an archived image without a date is assumed not to be old",
        }
    }

    /// Whether the choice can matter for this policy and these images. This is cheaper than another evaluation.
    pub(super) fn concerns(self, policy: &Policy, images: &[Image]) -> bool {
        let any_rule = |is: fn(&Rule) -> bool| policy.rules.iter().any(is);
        let any_image = |is: fn(&Image) -> bool| images.iter().any(is);
        let counts = |it: &Rule| matches!(it.count, Count::ImageCountMoreThan(_));
        match self {
            Self::WholeDays => any_rule(|it| !matches!(it.count, Count::ImageCountMoreThan(_))),
            Self::EqualTimes => policy.rules.iter().any(counts) && has_equal_times(images),
            Self::ChildrenCounted => policy.rules.iter().any(counts) && any_image(has_children),
            Self::ChildrenWithList => any_image(has_children),
            Self::OtherClass => {
                any_image(has_children) && any_image(|it| it.storage_class == StorageClass::Archive)
            }
            Self::ArtifactsSelected => {
                any_image(|it| it.subject.is_some())
                    && any_rule(|it| matches!(it.tags, TagFilter::Any | TagFilter::Untagged))
            }
            Self::ArtifactOfArtifact => any_image(|it| it.subject.is_some()),
            Self::ChildrenUnknown => any_image(Image::has_unknown_children),
            Self::Restored => any_image(|it| it.last_activated_at.is_some()),
            Self::ArchivedWithoutDate => {
                any_image(|it| it.storage_class == StorageClass::Archive && it.last_archived_at.is_none())
            }
        }
    }
}

fn has_children(image: &Image) -> bool {
    !image.children().is_empty()
}

fn has_equal_times(images: &[Image]) -> bool {
    let mut times: Vec<_> = images.iter().map(|it| it.last_activated_at.unwrap_or(it.pushed_at)).collect();
    times.sort_unstable();
    times.windows(2).any(|it| it[0] == it[1])
}
