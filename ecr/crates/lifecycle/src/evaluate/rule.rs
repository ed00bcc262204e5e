//! A rule that visits the images it sees.

use super::super::question::Question;
use super::super::{Count, Image, Rule, Timestamp};
use super::Reading;

/// In nanoseconds.
pub const DAY: i64 = 86_400_000_000_000;

/// A rule that visits the images it sees, from the youngest to the oldest.
pub struct RuleCursor<'a> {
    rule: &'a Rule,
    now: Timestamp,
    reading: Reading,
    /// The number of images visited so far.
    visited: i64,
    /// The push time of both the last image within the count and the first one beyond it, if it is the same and their order is
    /// not taken as documented. Any of the images pushed at this time may be within the count.
    tied: Option<Timestamp>,
}

impl<'a> RuleCursor<'a> {
    /// The rule before the images that it sees, the youngest first. Each comes with whether an index lists it.
    pub fn new<'i>(
        rule: &'a Rule,
        now: Timestamp,
        reading: Reading,
        seen: impl Iterator<Item = (&'i Image, bool)>,
    ) -> Self {
        let mut cursor = Self { rule, now, reading, visited: 0, tied: None };
        if let (Count::ImageCountMoreThan(number), true) =
            (rule.count, reading.is_opposite(Question::EqualTimes))
        {
            let mut counted = seen.filter(|(_, is_child)| cursor.counts(*is_child)).map(|(image, _)| image);
            let within = counted.nth(usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1));
            let times = within.zip(counted.next()).map(|(a, b)| (pushed(a, reading), pushed(b, reading)));
            cursor.tied = times.filter(|(within, beyond)| within == beyond).map(|(time, _)| time);
        }
        cursor
    }

    fn counts(&self, is_child: bool) -> bool {
        !(is_child && self.reading.is_opposite(Question::ChildrenCounted))
    }

    /// Whether the next image is beyond the rule's count or older than its age.
    pub fn is_exceeded_by(&mut self, image: &Image, is_child: bool) -> bool {
        match self.rule.count {
            Count::ImageCountMoreThan(_) if !self.counts(is_child) => false,
            Count::ImageCountMoreThan(number) => {
                self.visited += 1;
                let is_tied = self.tied.is_some_and(|it| it == pushed(image, self.reading));
                (self.visited > number) != is_tied
            }
            Count::SinceImagePushed(days) => self.is_older(Some(pushed(image, self.reading)), days),
            Count::SinceImagePulled(days) => self.is_older(Some(pulled(image)), days),
            Count::SinceImageTransitioned(days) => {
                let is_old = self.reading.is_opposite(Question::ArchivedWithoutDate);
                let undated = is_old.then_some(image.pushed_at);
                self.is_older(image.last_archived_at.or(undated), days)
            }
        }
    }

    fn is_older(&self, since: Option<Timestamp>, days: i64) -> bool {
        let Some(since) = since else { return false };
        let age = self.now.since(since);
        match self.reading.is_opposite(Question::WholeDays) {
            true => age >= (days + 1).saturating_mul(DAY),
            false => age > days.saturating_mul(DAY),
        }
    }
}

/// The time from which an image's age is counted: for a restored image, the time of its restoration.
pub fn pushed(image: &Image, reading: Reading) -> Timestamp {
    match image.last_activated_at {
        Some(activated) if !reading.is_opposite(Question::Restored) => activated,
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
