//! Where AWS's documents are silent: the choice that is taken, and how to tell which images depend on it.
//!
//! An image's outcome is in question where it would be another with one choice taken the other way.

use super::{Count, Image, Policy, Rule, StorageClass, TagFilter};

/// A choice that no document decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// An image is old as soon as N times 24 hours have passed, not only after another whole day.
    WholeDays,
    /// Of images pushed at the same moment, those with the smaller digests count as younger.
    EqualTimes,
    /// Images that a manifest list names count among the last N.
    ChildrenCounted,
    /// They do not go in the same evaluation as their list.
    ChildrenWithList,
    /// A list protects them also where it is stored in another class.
    OtherClass,
    /// An artifact with a subject is not selected by `untagged` and `any`, nor counted there.
    ArtifactsSelected,
    /// An artifact of an artifact goes too.
    ArtifactOfArtifact,
    /// An image restored from the archive counts as pushed when it was restored.
    Restored,
    /// An archived image without a date is not old.
    ArchivedWithoutDate,
    /// Not AWS is silent here, but the list: what an index lists is not known, and protects nothing.
    ChildrenUnknown,
}

impl Question {
    /// All of them.
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

    /// The choice that was taken, as it is printed behind "not documented:".
    pub fn choice(self) -> &'static str {
        match self {
            Self::WholeDays => "ages are taken to the second, not in whole days",
            Self::EqualTimes => "of images pushed at the same moment, the smaller digest is taken as younger",
            Self::ChildrenCounted => "the images of an index are taken to count among the last N",
            Self::ChildrenWithList => "the images of an index are taken to stay until it is gone",
            Self::OtherClass => "an index is taken to protect its images in every storage class",
            Self::ArtifactsSelected => {
                "attached artifacts are taken not to be selected by `untagged` and `any`"
            }
            Self::ArtifactOfArtifact => "artifacts of artifacts are taken to go too",
            Self::Restored => "a restored image is taken to be as young as its restoration",
            Self::ChildrenUnknown => {
                "what an index lists is not known here; it is taken to protect no untagged image"
            }
            Self::ArchivedWithoutDate => "an archived image without a date is taken not to be old",
        }
    }

    /// Whether the choice could matter at all; looking is cheaper than evaluating once more.
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
