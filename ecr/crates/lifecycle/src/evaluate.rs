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

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use ecr_types::Pattern;

use super::question::Question;
use super::{Action, Count, Image, Policy, Rule, TagFilter, Timestamp};

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

impl Outcome {
    /// Whether the image is deleted, by a rule or with its subject.
    pub fn is_deleted(self) -> bool {
        matches!(self, Self::Expired(_) | Self::CascadedExpired(_))
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
}

/// The outcome of an image, and the undocumented choices on which it depends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The outcome, with all choices of [`Question`] as documented there.
    pub outcome: Outcome,
    /// The choices for which the outcome would differ if AWS decided the other way.
    pub questions: Vec<Question>,
}

/// Computes the outcome of each image of one repository at the time `now`. The result has the order of `images`.
///
/// Each pattern is matched once with each tag. Each rule visits each image that it sees once, and once more for every
/// [`Question`] that can matter for this policy and these images.
pub fn evaluate(policy: &Policy, images: &[Image], now: Timestamp) -> Vec<Decision> {
    let repository = RepositoryImages::new(images);
    let seen: Vec<Vec<usize>> = policy.rules.iter().map(|it| repository.seen(it, false)).collect();
    let outcomes = repository.decide(policy, &seen, now, None, &[]);
    let mut decisions: Vec<_> =
        outcomes.iter().map(|outcome| Decision { outcome: *outcome, questions: Vec::new() }).collect();
    for question in Question::ALL.into_iter().filter(|it| it.concerns(policy, images)) {
        let otherwise = repository.decide(policy, &seen, now, Some(question), &outcomes);
        for (decision, outcome) in decisions.iter_mut().zip(otherwise) {
            if decision.outcome != outcome {
                decision.questions.push(question);
            }
        }
    }
    decisions
}

/// In nanoseconds.
const DAY: i64 = 86_400_000_000_000;

/// The images of a repository, prepared for several evaluations. Images are identified by their index in `images`.
struct RepositoryImages<'a> {
    images: &'a [Image],
    /// From the youngest to the oldest.
    order: Vec<usize>,
    tags: TagTable<'a>,
    /// Whether a manifest list references the image.
    is_listed: Vec<bool>,
    /// The manifest lists that reference an image.
    parents: HashMap<usize, Vec<usize>>,
    /// Artifacts with their subjects, if those are in the repository.
    subjects: Vec<(usize, usize)>,
}

impl<'a> RepositoryImages<'a> {
    fn new(images: &'a [Image]) -> Self {
        let tagged = images.iter().enumerate();
        let tags = tagged.flat_map(|(n, image)| image.tags.iter().map(move |tag| (tag.as_str(), n)));
        let order = youngest_first(images, None);
        let tags = TagTable::new(tags.collect());
        let mut repository = Self {
            images,
            order,
            tags,
            is_listed: vec![false; images.len()],
            parents: HashMap::new(),
            subjects: Vec::new(),
        };
        if images.iter().any(|it| it.subject.is_some() || !it.children().is_empty()) {
            repository.link();
        }
        repository
    }

    fn link(&mut self) {
        let numbers: HashMap<_, _> = self.images.iter().enumerate().map(|(n, it)| (&it.digest, n)).collect();
        for (n, image) in self.images.iter().enumerate() {
            for child in image.children().iter().filter_map(|it| numbers.get(it)) {
                self.is_listed[*child] = true;
                self.parents.entry(*child).or_default().push(n);
            }
            let subject = image.subject.as_ref().and_then(|it| numbers.get(it));
            self.subjects.extend(subject.map(|subject| (n, *subject)));
        }
    }

    /// The images that a rule sees, from the youngest to the oldest. Every entry of a tag list must match at least one tag.
    /// An artifact is selected only by a rule with a tag list that matches its tags.
    fn seen(&self, rule: &Rule, artifacts_too: bool) -> Vec<usize> {
        let class = rule.storage_class();
        let is_own = |it: &Image| it.subject.is_none() || artifacts_too;
        let patterns: Vec<_> = match &rule.tags {
            TagFilter::Prefixes(list) => list.iter().map(|it| Pattern::prefix(it)).collect(),
            TagFilter::Patterns(list) => list.iter().map(|it| Pattern::new(it)).collect(),
            TagFilter::Untagged => {
                return self.those(|it| it.storage_class == class && it.tags.is_empty() && is_own(it));
            }
            TagFilter::Any => return self.those(|it| it.storage_class == class && is_own(it)),
        };
        // The number of leading entries of the list that the tags of each image match.
        let mut matched = vec![0_usize; self.images.len()];
        for (step, pattern) in patterns.iter().enumerate() {
            for &(tag, n) in self.tags.candidates(pattern) {
                if matched[n] == step && pattern.matches(tag) {
                    matched[n] += 1;
                }
            }
        }
        let is_seen = |n: &usize| matched[*n] == patterns.len() && self.images[*n].storage_class == class;
        self.order.iter().copied().filter(is_seen).collect()
    }

    fn those(&self, is_seen: impl Fn(&Image) -> bool) -> Vec<usize> {
        self.order.iter().copied().filter(|n| is_seen(&self.images[*n])).collect()
    }

    /// The outcomes, with the choice of `question` (if any) reversed. `before` are the outcomes without that.
    fn decide(
        &self,
        policy: &Policy,
        seen: &[Vec<usize>],
        now: Timestamp,
        question: Option<Question>,
        before: &[Outcome],
    ) -> Vec<Outcome> {
        let is_protected = self.protected(question, before);
        let mut outcomes = vec![Outcome::Kept; self.images.len()];
        let mut is_claimed = vec![false; self.images.len()];
        let order = matches!(question, Some(Question::EqualTimes | Question::Restored))
            .then(|| ranks(self.images, question));
        for (rule, seen) in policy.rules.iter().zip(seen) {
            let mut cursor = RuleCursor { rule, now, question, visited: 0 };
            let seen = self.seen_in_doubt(rule, seen, question, order.as_deref());
            for &n in seen.iter() {
                let exceeds = cursor.is_exceeded_by(&self.images[n], self.is_listed[n]);
                if exceeds && !is_claimed[n] && !is_protected[n] {
                    outcomes[n] = match rule.action {
                        Action::Expire => Outcome::Expired(rule.priority),
                        Action::Transition => Outcome::Transitioned(rule.priority),
                    };
                }
                is_claimed[n] = true;
            }
        }
        self.cascade(question, &mut outcomes);
        outcomes
    }

    /// The images that a rule sees, if the reversed choice changes which ones or in which order.
    fn seen_in_doubt<'s>(
        &self,
        rule: &Rule,
        seen: &'s [usize],
        question: Option<Question>,
        ranks: Option<&[usize]>,
    ) -> Cow<'s, [usize]> {
        let has_no_list = matches!(rule.tags, TagFilter::Untagged | TagFilter::Any);
        match (question, ranks) {
            (Some(Question::ArtifactsSelected), _) if has_no_list => Cow::Owned(self.seen(rule, true)),
            // Only a count depends on the order of the images.
            (_, Some(ranks)) if matches!(rule.count, Count::ImageCountMoreThan(_)) => {
                let mut seen = seen.to_vec();
                seen.sort_unstable_by_key(|n| ranks[*n]);
                Cow::Owned(seen)
            }
            _ => Cow::Borrowed(seen),
        }
    }

    /// "If an image is referenced by a manifest list, it cannot be expired or archived without the manifest list
    /// being deleted or archived first" (LifecyclePolicies).
    fn protected(&self, question: Option<Question>, before: &[Outcome]) -> Vec<bool> {
        let mut is_protected = vec![false; self.images.len()];
        for (&child, parents) in &self.parents {
            let protects = |&parent: &usize| match question {
                Some(Question::ChildrenWithList) => before[parent] == Outcome::Kept,
                Some(Question::OtherClass) => {
                    self.images[parent].storage_class == self.images[child].storage_class
                }
                _ => true,
            };
            is_protected[child] = parents.iter().any(protects);
        }
        if question == Some(Question::ChildrenUnknown) {
            // The index may list any untagged image.
            let untagged = self.images.iter().map(|it| it.tags.is_empty());
            is_protected.iter_mut().zip(untagged).for_each(|(it, untagged)| *it |= untagged);
        }
        is_protected
    }

    /// "Reference artifacts go within 24 h of deletion or archival of the subject" (LifecyclePolicies).
    fn cascade(&self, question: Option<Question>, outcomes: &mut [Outcome]) {
        let mut artifacts: HashMap<usize, Vec<usize>> = HashMap::new();
        for &(artifact, subject) in &self.subjects {
            artifacts.entry(subject).or_default().push(artifact);
        }
        let mut subjects: Vec<_> = artifacts.keys().copied().collect();
        // An artifact that goes is looked at again as a subject, once.
        while let Some(subject) = subjects.pop() {
            let follows = match outcomes[subject] {
                Outcome::Expired(rule) => Outcome::CascadedExpired(rule),
                Outcome::Transitioned(rule) => Outcome::CascadedTransitioned(rule),
                cascaded if question != Some(Question::ArtifactOfArtifact) => cascaded,
                _ => Outcome::Kept,
            };
            if follows == Outcome::Kept {
                continue;
            }
            for &artifact in artifacts.get(&subject).into_iter().flatten() {
                if outcomes[artifact] == Outcome::Kept {
                    outcomes[artifact] = follows;
                    subjects.push(artifact);
                }
            }
        }
    }
}

/// The rank of each image: 0 is the youngest.
fn ranks(images: &[Image], question: Option<Question>) -> Vec<usize> {
    let mut ranks = vec![0; images.len()];
    for (rank, n) in youngest_first(images, question).into_iter().enumerate() {
        ranks[n] = rank;
    }
    ranks
}

/// A tag and its image.
type Tagged<'a> = (&'a str, usize);

/// All tags, indexed by their first and by their last byte, so that most patterns are matched with a part of them only.
struct TagTable<'a> {
    all: Vec<Tagged<'a>>,
    by_first: Vec<Vec<Tagged<'a>>>,
    by_last: Vec<Vec<Tagged<'a>>>,
}

impl<'a> TagTable<'a> {
    fn new(all: Vec<Tagged<'a>>) -> Self {
        let (mut by_first, mut by_last) = (vec![Vec::new(); 256], vec![Vec::new(); 256]);
        for &tagged in &all {
            if let (Some(first), Some(last)) = (tagged.0.as_bytes().first(), tagged.0.as_bytes().last()) {
                by_first[usize::from(*first)].push(tagged);
                by_last[usize::from(*last)].push(tagged);
            }
        }
        Self { all, by_first, by_last }
    }

    fn candidates(&self, pattern: &Pattern) -> &[Tagged<'a>] {
        match (pattern.first_byte(), pattern.last_byte()) {
            (Some(first), _) => &self.by_first[usize::from(first)],
            (None, Some(last)) => &self.by_last[usize::from(last)],
            (None, None) => &self.all,
        }
    }
}

/// The images from the youngest to the oldest.
fn youngest_first(images: &[Image], question: Option<Question>) -> Vec<usize> {
    let mut keys: Vec<_> = images.iter().enumerate().map(|(n, it)| (pushed(it, question), n)).collect();
    keys.sort_unstable_by(|(a_time, a), (b_time, b)| match b_time.cmp(a_time) {
        Ordering::Equal if question == Some(Question::EqualTimes) => {
            images[*b].digest.cmp(&images[*a].digest)
        }
        Ordering::Equal => images[*a].digest.cmp(&images[*b].digest),
        different => different,
    });
    keys.into_iter().map(|(_, n)| n).collect()
}

/// A rule that visits the images it sees, from the youngest to the oldest.
struct RuleCursor<'a> {
    rule: &'a Rule,
    now: Timestamp,
    question: Option<Question>,
    /// The number of images visited so far.
    visited: i64,
}

impl RuleCursor<'_> {
    /// Whether the next image is beyond the rule's count or older than its age.
    fn is_exceeded_by(&mut self, image: &Image, is_child: bool) -> bool {
        match self.rule.count {
            Count::ImageCountMoreThan(number) => {
                if is_child && self.question == Some(Question::ChildrenCounted) {
                    return false;
                }
                self.visited += 1;
                self.visited > number
            }
            Count::SinceImagePushed(days) => self.is_older(Some(pushed(image, self.question)), days),
            Count::SinceImagePulled(days) => self.is_older(Some(pulled(image)), days),
            Count::SinceImageTransitioned(days) => {
                let undated =
                    (self.question == Some(Question::ArchivedWithoutDate)).then_some(image.pushed_at);
                self.is_older(image.last_archived_at.or(undated), days)
            }
        }
    }

    fn is_older(&self, since: Option<Timestamp>, days: i64) -> bool {
        let Some(since) = since else { return false };
        let days = if self.question == Some(Question::WholeDays) { days + 1 } else { days };
        let limit = days.saturating_mul(DAY);
        let age = self.now.since(since);
        if self.question == Some(Question::WholeDays) { age >= limit } else { age > limit }
    }
}

/// The time from which an image's age is counted: for a restored image, the time of its restoration.
fn pushed(image: &Image, question: Option<Question>) -> Timestamp {
    match image.last_activated_at {
        Some(activated) if question != Some(Question::Restored) => activated,
        _ => image.pushed_at,
    }
}

/// "`last_recorded_pulltime`, or `pushed_at_time` if never pulled, or `last_activated_at` if restored and not pulled
/// since" (LifecyclePolicies).
fn pulled(image: &Image) -> Timestamp {
    match (image.last_pulled_at, image.last_activated_at) {
        (Some(pulled), Some(activated)) => pulled.max(activated),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => image.pushed_at,
    }
}
