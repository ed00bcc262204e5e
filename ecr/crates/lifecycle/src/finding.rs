//! Reasons for which ECR rejects a policy, and warnings about accepted ones.

use ecr_types::document::{Place, Problem};

/// A reason for which ECR rejects a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The position of the mistake.
    pub place: Place,
    /// The `rulePriority` of the rule concerned; `None` if the finding is about the whole policy or the number cannot be read.
    pub rule: Option<i64>,
    /// The mistake in lower case and without a final period, such as ``a rule lacks `action` ``.
    pub message: String,
    /// The message of ECR itself; `None` if no public report quotes one for this mistake.
    pub sentence: Option<String>,
}

impl Finding {
    /// The constraint in ECR's `InvalidParameterException`, after `failed to satisfy constraint:`. It is made of
    /// [`Finding::message`] if ECR's message is not known.
    pub fn constraint(&self) -> String {
        match &self.sentence {
            Some(sentence) if sentence.starts_with("Member must") => sentence.clone(),
            Some(sentence) => format!("Lifecycle policy validation failure: {sentence}"),
            None => format!("Lifecycle policy validation failure: {}", self.message),
        }
    }

    /// The message, preceded by the rule's number: `rule 1: ...`.
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

/// A warning about a policy that ECR accepts and that may not do what was intended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// The name of the warning, such as `list-is-and`.
    pub id: &'static str,
    /// The `rulePriority` of the rule concerned; `None` if the warning is about the whole policy.
    pub rule: Option<i64>,
    /// The unexpected effect, in lower case and without a final period.
    pub message: String,
    /// A suggested change, with an example in JSON.
    pub help: String,
}

impl Lint {
    /// The message, preceded by the rule's number: `rule 1: ...`.
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
