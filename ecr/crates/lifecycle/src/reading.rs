//! Readings: for each [`Question`], one of its two answers.

use super::question::Question;

/// An answer to every question: the one that [`Question`] documents, or the opposite one.
///
/// ```
/// use ecr_lifecycle::question::Question;
/// use ecr_lifecycle::reading::Reading;
///
/// let reading = Reading::documented().with_opposite(Question::WholeDays);
/// assert!(reading.is_opposite(Question::WholeDays));
/// assert!(!reading.is_opposite(Question::EqualTimes));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Reading(u16);

impl Reading {
    /// The answers that [`Question`] documents.
    pub fn documented() -> Self {
        Self(0)
    }

    /// The same reading with the opposite answer to one question.
    pub fn with_opposite(self, question: Question) -> Self {
        Self(self.0 | bit(question))
    }

    /// The same reading with the documented answer to one question.
    pub fn with_documented(self, question: Question) -> Self {
        Self(self.0 & !bit(question))
    }

    /// Whether the answer to a question is the opposite one.
    pub fn is_opposite(self, question: Question) -> bool {
        self.0 & bit(question) != 0
    }

    /// All readings that differ in `questions` only, the documented one first: `2 ^ questions.len()`.
    pub fn all(questions: &[Question]) -> Vec<Self> {
        questions.iter().fold(vec![Self::documented()], |readings, question| {
            let opposite: Vec<_> = readings.iter().map(|it| it.with_opposite(*question)).collect();
            [readings, opposite].concat()
        })
    }

    /// The readings with the opposite answer to at most two of `questions`, and the one with all opposite answers.
    pub fn pairs(questions: &[Question]) -> Vec<Self> {
        let one = |question: &Question| Self::documented().with_opposite(*question);
        let mut readings = vec![Self::documented()];
        for (n, first) in questions.iter().enumerate() {
            readings.push(one(first));
            readings.extend(questions[n + 1..].iter().map(|it| one(first).with_opposite(*it)));
        }
        readings.push(questions.iter().fold(Self::documented(), |it, question| it.with_opposite(*question)));
        readings
    }
}

fn bit(question: Question) -> u16 {
    1 << question as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_all_combinations_or_all_pairs() {
        let questions = &Question::ALL[..4];
        let all = Reading::all(questions);
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!((all.len(), distinct.len(), all[0]), (16, 16, Reading::documented()));
        let pairs = Reading::pairs(questions);
        assert_eq!(pairs.len(), 1 + 4 + 6 + 1);
        assert!(pairs.iter().all(|it| all.contains(it)));
        assert_eq!(Reading::pairs(&[]).first(), Some(&Reading::documented()));
    }
}
