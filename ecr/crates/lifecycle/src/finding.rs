//! What is wrong, or surprising, about a policy.

use ecr_types::document::{Place, Problem};

/// A reason for which ECR refuses a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where it stands in the file.
    pub place: Place,
    /// The `rulePriority` of the rule concerned, where there is one and it can be read.
    pub rule: Option<i64>,
    /// What is wrong, in plain words.
    pub message: String,
    /// ECR's own sentence, where one was ever seen.
    pub sentence: Option<String>,
}

impl Finding {
    /// What ECR answers behind `failed to satisfy constraint:`.
    pub fn constraint(&self) -> String {
        match &self.sentence {
            Some(sentence) if sentence.starts_with("Member must") => sentence.clone(),
            Some(sentence) => format!("Lifecycle policy validation failure: {sentence}"),
            None => format!("Lifecycle policy validation failure: {}", self.message),
        }
    }

    /// The message with the rule's number before it.
    pub fn text(&self) -> String {
        numbered(self.rule, &self.message)
    }
}

impl From<Finding> for Problem {
    fn from(finding: Finding) -> Self {
        let message = finding.text();
        let help = finding.sentence.map(|it| format!("ECR would answer: {it}"));
        Self { place: finding.place, message, help }
    }
}

/// Something that ECR accepts and that people do not expect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// The `rulePriority` of the rule concerned; `None` where it is the policy as a whole.
    pub rule: Option<i64>,
    /// What happens, in plain words.
    pub message: String,
    /// What to write instead, with an example.
    pub help: String,
}

impl Lint {
    /// The message with the rule's number before it.
    pub fn text(&self) -> String {
        numbered(self.rule, &self.message)
    }
}

fn numbered(rule: Option<i64>, message: &str) -> String {
    match rule {
        Some(rule) => format!("rule {rule}: {message}"),
        None => message.to_owned(),
    }
}
