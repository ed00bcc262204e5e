//! A second evaluator, written from the texts of [`Question`] and as plain as they are: every rule looks at every image anew.

use std::cmp::Reverse;

use ecr_lifecycle::evaluate::Outcome;
use ecr_lifecycle::question::Question;
use ecr_lifecycle::reading::Reading;
use ecr_lifecycle::{Action, Count, Image, Policy, Rule, TagFilter, Timestamp};

pub const DAY: i64 = 86_400_000_000_000;

/// The outcomes under one reading, in the order of `images`.
pub fn outcomes(policy: &Policy, images: &[Image], now: Timestamp, reading: Reading) -> Vec<Outcome> {
    let world = World { policy, images, now, reading };
    let mut outcomes = world.by_rules(&vec![Outcome::Kept; images.len()]);
    if world.is(Question::ChildrenWithList) {
        loop {
            let next = world.by_rules(&outcomes);
            if next == outcomes {
                break;
            }
            outcomes = next;
        }
    }
    for _ in images {
        outcomes = world.cascaded(&outcomes);
    }
    outcomes
}

struct World<'a> {
    policy: &'a Policy,
    images: &'a [Image],
    now: Timestamp,
    reading: Reading,
}

impl World<'_> {
    /// Whether the answer is not the documented one.
    fn is(&self, question: Question) -> bool {
        self.reading.is_opposite(question)
    }

    /// What the rules do where the indexes that go are those of `before`.
    fn by_rules(&self, before: &[Outcome]) -> Vec<Outcome> {
        let decide = |image: &Image| {
            let Some(rule) = self.policy.rules.iter().find(|it| self.sees(it, image)) else {
                return Outcome::Kept;
            };
            match rule.action {
                _ if !self.exceeds(rule, image) || self.is_protected(image, before) => Outcome::Kept,
                Action::Expire => Outcome::Expired(rule.priority),
                Action::Transition => Outcome::Transitioned(rule.priority),
            }
        };
        self.images.iter().map(decide).collect()
    }

    fn sees(&self, rule: &Rule, image: &Image) -> bool {
        let is_counted = image.subject.is_none() || self.is(Question::ArtifactsCounted);
        rule.storage_class() == image.storage_class
            && match &rule.tags {
                TagFilter::Any => is_counted,
                TagFilter::Untagged => is_counted && image.tags.is_empty(),
                TagFilter::Prefixes(list) => {
                    list.iter().all(|it| image.tags.iter().any(|tag| tag.starts_with(it.as_str())))
                }
                TagFilter::Patterns(list) => {
                    list.iter().all(|it| image.tags.iter().any(|tag| covers(it, tag)))
                }
            }
    }

    fn exceeds(&self, rule: &Rule, image: &Image) -> bool {
        match rule.count {
            Count::ImageCountMoreThan(n) => {
                let counts = |it: &&Image| {
                    self.sees(rule, it) && !(self.is(Question::ChildrenCounted) && self.is_listed(it))
                };
                let counted = |is: &dyn Fn(&Image) -> bool| {
                    self.images.iter().filter(counts).filter(|it| is(it)).count() as i64
                };
                let is_beyond = counted(&|it| self.is_younger(it, image)) >= n;
                let within = counted(&|it| self.pushed(it) > self.pushed(image));
                let is_tied = within < n && n < counted(&|it| self.pushed(it) >= self.pushed(image));
                counts(&image) && is_beyond != (is_tied && self.is(Question::EqualTimes))
            }
            Count::SinceImagePushed(days) => self.is_older(self.pushed(image), days),
            Count::SinceImagePulled(days) => {
                let last = image.last_pulled_at.max(image.last_activated_at);
                self.is_older(last.unwrap_or(image.pushed_at), days)
            }
            Count::SinceImageTransitioned(days) => match image.last_archived_at {
                Some(archived) => self.is_older(archived, days),
                None => self.is(Question::ArchivedWithoutDate) && self.is_older(image.pushed_at, days),
            },
        }
    }

    fn pushed(&self, image: &Image) -> Timestamp {
        let restored = image.last_activated_at.filter(|_| !self.is(Question::Restored));
        restored.unwrap_or(image.pushed_at)
    }

    fn is_younger(&self, image: &Image, than: &Image) -> bool {
        (self.pushed(image), Reverse(&image.digest)) > (self.pushed(than), Reverse(&than.digest))
    }

    fn is_older(&self, since: Timestamp, days: i64) -> bool {
        let age = self.now.since(since);
        if self.is(Question::WholeDays) { age / DAY > days } else { age > days * DAY }
    }

    fn is_listed(&self, image: &Image) -> bool {
        self.images.iter().any(|it| it.children().contains(&image.digest))
    }

    fn is_protected(&self, image: &Image, before: &[Outcome]) -> bool {
        let lists = |(list, outcome): (&Image, &Outcome)| {
            let stays = !self.is(Question::ChildrenWithList) || *outcome == Outcome::Kept;
            let is_of_class = !self.is(Question::OtherClass) || list.storage_class == image.storage_class;
            list.children().contains(&image.digest) && stays && is_of_class
        };
        let is_unknown = self.is(Question::ChildrenUnknown)
            && image.tags.is_empty()
            && self.images.iter().any(Image::has_unknown_children);
        is_unknown || self.images.iter().zip(before).any(lists)
    }

    /// One step of artifacts that follow their subject.
    fn cascaded(&self, before: &[Outcome]) -> Vec<Outcome> {
        let follow = |(image, own): (&Image, &Outcome)| {
            let subject = image.subject.as_ref();
            let subject = self.images.iter().position(|it| Some(&it.digest) == subject);
            match (own, subject.map(|it| before[it])) {
                (Outcome::Kept, Some(Outcome::Expired(rule))) => Outcome::CascadedExpired(rule),
                (Outcome::Kept, Some(Outcome::Transitioned(rule))) => Outcome::CascadedTransitioned(rule),
                (Outcome::Kept, Some(cascaded)) if !self.is(Question::ArtifactOfArtifact) => cascaded,
                _ => *own,
            }
        };
        self.images.iter().zip(before).map(follow).collect()
    }
}

/// Whether a pattern with at most one `*` matches a tag.
fn covers(pattern: &str, tag: &str) -> bool {
    match pattern.split_once('*') {
        None => tag == pattern,
        Some((start, end)) => {
            tag.len() >= start.len() + end.len() && tag.starts_with(start) && tag.ends_with(end)
        }
    }
}
