//! The images of a repository, prepared for an evaluation under several readings.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;

use ecr_types::Pattern;

use super::super::question::Question;
use super::super::{Action, Image, Policy, Rule, TagFilter, Timestamp};
use super::rule::{RuleCursor, pushed};
use super::{Outcome, Reading};

/// The images of a repository. Images are identified by their index in `images`.
pub struct RepositoryImages<'a> {
    policy: &'a Policy,
    images: &'a [Image],
    now: Timestamp,
    tags: TagTable<'a>,
    /// The manifest lists that reference an image.
    parents: HashMap<usize, Vec<usize>>,
    /// Artifacts by their subjects, if those are in the repository.
    artifacts: HashMap<usize, Vec<usize>>,
    /// What the rules see, by the answers on which that depends.
    seen: HashMap<Sight, Rc<Vec<Vec<usize>>>>,
}

/// The answers on which it depends which images the rules see, and in which order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Sight {
    artifacts: bool,
    restored: bool,
}

impl Sight {
    fn of(reading: Reading) -> Self {
        Self {
            artifacts: reading.is_opposite(Question::ArtifactsCounted),
            restored: reading.is_opposite(Question::Restored),
        }
    }
}

impl<'a> RepositoryImages<'a> {
    pub fn new(policy: &'a Policy, images: &'a [Image], now: Timestamp) -> Self {
        let tagged = images.iter().enumerate();
        let tags = tagged.flat_map(|(n, image)| image.tags.iter().map(move |tag| (tag.as_str(), n)));
        let mut repository = Self {
            policy,
            images,
            now,
            tags: TagTable::new(tags.collect()),
            parents: HashMap::new(),
            artifacts: HashMap::new(),
            seen: HashMap::new(),
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
                self.parents.entry(*child).or_default().push(n);
            }
            if let Some(subject) = image.subject.as_ref().and_then(|it| numbers.get(it)) {
                self.artifacts.entry(*subject).or_default().push(n);
            }
        }
    }

    /// The number of visits of images by rules that one evaluation takes.
    pub fn work(&mut self) -> usize {
        let seen = self.seen(Reading::documented());
        seen.iter().map(Vec::len).sum::<usize>() + self.images.len()
    }

    /// The outcomes under a reading.
    pub fn decide(&mut self, reading: Reading) -> Vec<Outcome> {
        let seen = self.seen(reading);
        let alone = reading.with_documented(Question::ChildrenWithList);
        let mut is_protected = self.protected(alone, |_| true);
        let mut outcomes = self.apply(reading, &seen, &is_protected);
        if reading.is_opposite(Question::ChildrenWithList) {
            // An index that goes takes its images with it, and those may be indexes.
            loop {
                let stays = |parent: usize| outcomes[parent] == Outcome::Kept;
                let fewer = self.protected(reading, stays);
                if fewer == is_protected {
                    break;
                }
                is_protected = fewer;
                outcomes = self.apply(reading, &seen, &is_protected);
            }
        }
        self.cascade(reading, &mut outcomes);
        outcomes
    }

    /// Applies the rules in the order of their priority.
    fn apply(&self, reading: Reading, seen: &[Vec<usize>], is_protected: &[bool]) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::Kept; self.images.len()];
        let mut is_claimed = vec![false; self.images.len()];
        for (rule, seen) in self.policy.rules.iter().zip(seen) {
            let image = |n: &usize| (&self.images[*n], self.parents.contains_key(n));
            let mut cursor = RuleCursor::new(rule, self.now, reading, seen.iter().map(image));
            for &n in seen {
                let exceeds = cursor.is_exceeded_by(&self.images[n], self.parents.contains_key(&n));
                if exceeds && !is_claimed[n] && !is_protected[n] {
                    outcomes[n] = match rule.action {
                        Action::Expire => Outcome::Expired(rule.priority),
                        Action::Transition => Outcome::Transitioned(rule.priority),
                    };
                }
                is_claimed[n] = true;
            }
        }
        outcomes
    }

    /// What each rule sees, from the youngest image to the oldest.
    fn seen(&mut self, reading: Reading) -> Rc<Vec<Vec<usize>>> {
        let sight = Sight::of(reading);
        if let Some(seen) = self.seen.get(&sight) {
            return seen.clone();
        }
        let order = youngest_first(self.images, reading);
        let seen = self.policy.rules.iter().map(|it| self.seen_by(it, &order, sight.artifacts)).collect();
        self.seen.entry(sight).or_insert(Rc::new(seen)).clone()
    }

    /// The images that a rule sees, in the order of `order`. Every entry of a tag list must match at least one tag. An artifact
    /// is selected only by a rule with a tag list that matches its tags, unless `artifacts_too`.
    fn seen_by(&self, rule: &Rule, order: &[usize], artifacts_too: bool) -> Vec<usize> {
        let class = rule.storage_class();
        let is_own = |it: &Image| it.storage_class == class && (it.subject.is_none() || artifacts_too);
        let those = |is_seen: &dyn Fn(&Image) -> bool| {
            order.iter().copied().filter(|n| is_seen(&self.images[*n])).collect()
        };
        let patterns: Vec<_> = match &rule.tags {
            TagFilter::Prefixes(list) => list.iter().map(|it| Pattern::prefix(it)).collect(),
            TagFilter::Patterns(list) => list.iter().map(|it| Pattern::new(it)).collect(),
            TagFilter::Untagged => return those(&|it| it.tags.is_empty() && is_own(it)),
            TagFilter::Any => return those(&is_own),
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
        order.iter().copied().filter(is_seen).collect()
    }

    /// "If an image is referenced by a manifest list, it cannot be expired or archived without the manifest list
    /// being deleted or archived first" (LifecyclePolicies). `stays` tells whether a manifest list does.
    fn protected(&self, reading: Reading, stays: impl Fn(usize) -> bool) -> Vec<bool> {
        let mut is_protected = vec![false; self.images.len()];
        for (&child, parents) in &self.parents {
            let is_of_class = |parent: usize| {
                !reading.is_opposite(Question::OtherClass)
                    || self.images[parent].storage_class == self.images[child].storage_class
            };
            is_protected[child] = parents.iter().any(|it| stays(*it) && is_of_class(*it));
        }
        let is_unknown = || self.images.iter().any(Image::has_unknown_children);
        if reading.is_opposite(Question::ChildrenUnknown) && is_unknown() {
            // The index may list any untagged image.
            let untagged = self.images.iter().map(|it| it.tags.is_empty());
            is_protected.iter_mut().zip(untagged).for_each(|(it, untagged)| *it |= untagged);
        }
        is_protected
    }

    /// "Reference artifacts go within 24 h of deletion or archival of the subject" (LifecyclePolicies).
    fn cascade(&self, reading: Reading, outcomes: &mut [Outcome]) {
        let mut subjects: Vec<_> = self.artifacts.keys().copied().collect();
        // An artifact that goes is looked at again as a subject, once.
        while let Some(subject) = subjects.pop() {
            let follows = match outcomes[subject] {
                Outcome::Expired(rule) => Outcome::CascadedExpired(rule),
                Outcome::Transitioned(rule) => Outcome::CascadedTransitioned(rule),
                cascaded if !reading.is_opposite(Question::ArtifactOfArtifact) => cascaded,
                _ => Outcome::Kept,
            };
            if follows == Outcome::Kept {
                continue;
            }
            for &artifact in self.artifacts.get(&subject).into_iter().flatten() {
                if outcomes[artifact] == Outcome::Kept {
                    outcomes[artifact] = follows;
                    subjects.push(artifact);
                }
            }
        }
    }
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
fn youngest_first(images: &[Image], reading: Reading) -> Vec<usize> {
    let mut keys: Vec<_> = images.iter().enumerate().map(|(n, it)| (pushed(it, reading), n)).collect();
    keys.sort_unstable_by(|(a_time, a), (b_time, b)| match b_time.cmp(a_time) {
        Ordering::Equal => images[*a].digest.cmp(&images[*b].digest),
        different => different,
    });
    keys.into_iter().map(|(_, n)| n).collect()
}
