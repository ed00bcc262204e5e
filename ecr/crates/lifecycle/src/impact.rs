//! The effect of a policy on a repository, in numbers and tags.

use serde::Serialize;

use super::evaluate::{Decision, Fate, evaluate};
use super::question::Question;
use super::{Image, Policy, Timestamp};

/// The images of a repository that a policy would expire or archive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(rename = "LifecycleImpact"))]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    /// The number of images that would certainly be deleted.
    pub images: usize,
    /// The sum of their sizes in bytes, as in `imageSizeInBytes`: a layer of several images is counted for each of them.
    pub bytes: u64,
    /// The tags of the images that would certainly be deleted, the youngest image first.
    pub tags: Vec<String>,
    /// The number of images that would certainly be moved to the archive, from which they cannot be pulled.
    pub archived: usize,
    /// The tags of the images that would certainly be moved to the archive, the youngest image first. Absent if there
    /// are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schemars", schemars(length(min = 1)))]
    pub archived_tags: Vec<String>,
    /// The images that may be deleted or archived, depending on what AWS does not document. Absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(with = "Doubt"))]
    pub may_go: Option<Doubt>,
    /// The images in use that would or may be deleted or archived, in the form in which they were named. Absent if
    /// there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schemars", schemars(length(min = 1)))]
    pub in_use: Vec<String>,
}

/// The images that may be deleted or archived, and may not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(rename = "LifecycleDoubt"))]
pub struct Doubt {
    /// Their number.
    pub images: usize,
    /// Their tags, the youngest image first.
    pub tags: Vec<String>,
    /// The questions on which it depends.
    pub questions: Vec<OpenQuestion>,
}

/// A question that no document of AWS answers, and the images whose fate depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct OpenQuestion {
    /// The name of the question.
    pub id: &'static str,
    /// The question.
    pub question: &'static str,
    /// What is known of the answer.
    pub known: &'static str,
    /// The number of images whose fate depends on the answer.
    pub images: usize,
}

impl OpenQuestion {
    /// The questions on which decisions depend, in the order of [`Question::ALL`].
    pub fn of(decisions: &[Decision]) -> Vec<Self> {
        let open = |question: Question| Self {
            id: question.id(),
            question: question.text(),
            known: question.known(),
            images: decisions.iter().filter(|it| it.questions.contains(&question)).count(),
        };
        Question::ALL.into_iter().map(open).filter(|it| it.images > 0).collect()
    }

    /// A line about the question for people: `20 images: is …? AWS does not say`.
    pub fn line(&self) -> String {
        let images = ecr_types::human::count(self.images as u64, "image");
        format!("{images}: {} {}", self.question, self.known)
    }
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
        let mut doubt = Doubt::default();
        for (image, decision) in decided.into_iter().filter(|(_, decision)| decision.may_go()) {
            impact.in_use.extend(in_use(image));
            let tags = image.tags.iter().cloned();
            match decision.outcome.fate() {
                _ if !decision.is_certain() => {
                    doubt.images += 1;
                    doubt.tags.extend(tags);
                }
                Fate::Deleted => {
                    impact.images += 1;
                    impact.bytes += image.size_bytes;
                    impact.tags.extend(tags);
                }
                Fate::Archived => {
                    impact.archived += 1;
                    impact.archived_tags.extend(tags);
                }
                Fate::Kept => {}
            }
        }
        doubt.questions = OpenQuestion::of(&decisions);
        impact.may_go = Some(doubt).filter(|it| it.images > 0);
        impact
    }

    /// Whether no image would or may be deleted or archived.
    pub fn is_nothing(&self) -> bool {
        self.images == 0 && self.archived == 0 && self.may_go.is_none()
    }

    /// The number of tags of the images that would or may be deleted or archived.
    pub fn affected_tags(&self) -> usize {
        self.tags.len() + self.archived_tags.len() + self.may_go.as_ref().map_or(0, |it| it.tags.len())
    }
}
