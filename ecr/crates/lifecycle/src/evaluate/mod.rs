//! (policy, images, now) -> the outcome of each image.
//!
//! "All rules are evaluated at the same time … then applied based on rule priority" (LifecyclePolicies). The rules are
//! applied in the order of their priority:
//!
//! 1. A rule *sees* the images of its storage class whose tags match. Images that an earlier rule affects are among them
//!    and count.
//! 2. Of these, the images beyond the rule's count or older than its age *exceed* the rule.
//! 3. The rule applies its action to these images, except to those that an earlier rule has seen (whether or not that rule
//!    affected them) and to those that a manifest list references.
//! 4. Artifacts follow their subject.
//!
//! What AWS does not document is taken both ways: [`evaluate`] computes the outcome under every [`Reading`] that can matter.

use super::question::Question;
use super::reading::Reading;
use super::{Action, Image, Policy, Timestamp};

mod repository;
mod rule;
mod settle;
use repository::RepositoryImages;
pub(super) use rule::DAY;
pub use settle::settle;

/// The effect of a policy on an image. The numbers are those of `rulePriority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The image stays where it is.
    Kept,
    /// The rule with this priority deletes the image.
    Expired(i64),
    /// The rule with this priority moves the image to the archive storage class.
    Transitioned(i64),
    /// The image is an artifact. It is deleted with its subject, which the rule with this priority deletes.
    CascadedExpired(i64),
    /// The image is an artifact. It is archived with its subject, which the rule with this priority moves.
    CascadedTransitioned(i64),
}

/// What becomes of an image, whichever rule decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The image stays where it is.
    Kept,
    /// The image is deleted.
    Deleted,
    /// The image is moved to the archive storage class.
    Archived,
}

impl Outcome {
    /// What becomes of the image.
    pub fn fate(self) -> Fate {
        match self {
            Self::Kept => Fate::Kept,
            Self::Expired(_) | Self::CascadedExpired(_) => Fate::Deleted,
            Self::Transitioned(_) | Self::CascadedTransitioned(_) => Fate::Archived,
        }
    }

    /// Whether the image is deleted, by a rule or with its subject.
    pub fn is_deleted(self) -> bool {
        self.fate() == Fate::Deleted
    }

    /// Whether the image is an artifact that is deleted or archived with its subject, and not by a rule that selects it.
    pub fn is_cascaded(self) -> bool {
        matches!(self, Self::CascadedExpired(_) | Self::CascadedTransitioned(_))
    }

    /// The `rulePriority` and the action of the rule that selects the image itself; `None` for kept images and for artifacts
    /// that follow their subject.
    pub fn rule(self) -> Option<(i64, Action)> {
        match self {
            Self::Expired(rule) => Some((rule, Action::Expire)),
            Self::Transitioned(rule) => Some((rule, Action::Transition)),
            _ => None,
        }
    }

    /// The `rulePriority` of the rule that decides, for an artifact that of its subject; `None` for kept images.
    pub fn priority(self) -> Option<i64> {
        match self {
            Self::Kept => None,
            Self::Expired(rule)
            | Self::Transitioned(rule)
            | Self::CascadedExpired(rule)
            | Self::CascadedTransitioned(rule) => Some(rule),
        }
    }
}

/// The outcome of an image, and what else may become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The outcome under the documented reading ([`Reading::documented`]).
    pub outcome: Outcome,
    /// An outcome for each other fate that the image has under some reading; empty if its fate is certain.
    pub others: Vec<Outcome>,
    /// The questions on which the fate depends; empty if it is certain.
    pub questions: Vec<Question>,
}

impl Decision {
    fn certain(outcome: Outcome) -> Self {
        Self { outcome, others: Vec::new(), questions: Vec::new() }
    }

    /// Whether the fate of the image is the same under every reading.
    pub fn is_certain(&self) -> bool {
        self.others.is_empty()
    }

    /// The outcomes that are possible, the documented one first.
    pub fn possible(&self) -> impl Iterator<Item = Outcome> + '_ {
        std::iter::once(self.outcome).chain(self.others.iter().copied())
    }

    /// The outcome with this fate, if the image has it under some reading.
    pub fn with_fate(&self, fate: Fate) -> Option<Outcome> {
        self.possible().find(|it| it.fate() == fate)
    }

    /// Whether the image is deleted or archived under some reading.
    pub fn may_go(&self) -> bool {
        self.possible().any(|it| it != Outcome::Kept)
    }
}

/// Computes the outcome of each image of one repository at the time `now`, under every reading. The result has the order of
/// `images`.
///
/// Each pattern is matched once with each tag. Each rule visits each image that it sees once for every reading that can matter
/// for this policy and these images. Where that would be too much work, the readings are those that differ from the documented
/// one in at most two questions, and the one that differs in all.
pub fn evaluate(policy: &Policy, images: &[Image], now: Timestamp) -> Vec<Decision> {
    let questions: Vec<_> = Question::ALL.into_iter().filter(|it| it.concerns(policy, images, now)).collect();
    let mut repository = RepositoryImages::new(policy, images, now);
    let readings = readings(&questions, repository.work());
    let outcomes: Vec<_> = readings.iter().map(|it| repository.decide(*it)).collect();
    let Some((documented, others)) = outcomes.split_first() else { return Vec::new() };
    let decision = |n: usize| {
        let fate = documented[n].fate();
        if others.iter().all(|it| it[n].fate() == fate) {
            return Decision::certain(documented[n]);
        }
        let mut decision = Decision::certain(documented[n]);
        for outcome in others.iter().map(|it| it[n]) {
            if decision.with_fate(outcome.fate()).is_none() {
                decision.others.push(outcome);
            }
        }
        let depends = |it: &Question| depends_on(*it, &readings, |reading| outcomes[reading][n].fate());
        decision.questions = questions.iter().copied().filter(depends).collect();
        decision
    };
    (0..images.len()).map(decision).collect()
}

/// Computes the outcomes under one reading.
pub fn evaluate_under(policy: &Policy, images: &[Image], now: Timestamp, reading: Reading) -> Vec<Outcome> {
    RepositoryImages::new(policy, images, now).decide(reading)
}

/// The number of visits of images by rules that an evaluation may take: less than a second.
const MAX_VISITS: usize = 60_000_000;

fn readings(questions: &[Question], work: usize) -> Vec<Reading> {
    let visits = work.saturating_mul(1 << questions.len());
    if visits <= MAX_VISITS { Reading::all(questions) } else { Reading::pairs(questions) }
}

/// Whether two readings that differ in a question only give different fates.
fn depends_on(question: Question, readings: &[Reading], fate: impl Fn(usize) -> Fate) -> bool {
    let opposite = readings.iter().enumerate().filter(|(_, it)| it.is_opposite(question));
    opposite.into_iter().any(|(n, reading)| {
        let documented = reading.with_documented(question);
        let partner = readings.iter().position(|it| *it == documented);
        partner.is_some_and(|partner| fate(partner) != fate(n))
    })
}
