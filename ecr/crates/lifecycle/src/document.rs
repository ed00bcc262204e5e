//! A policy with its text: read once, and carried from the file to the request.

use ecr_types::document::Place;
use serde_json::Value;

use super::read::read;
use super::{Finding, Policy};

/// A lifecycle policy that ECR accepts: its text, what it says, and where each rule stands.
///
/// Two documents are equal if their policies mean the same: the order of keys and rules, and white space, do not count.
#[derive(Debug, Clone)]
pub struct Document {
    pub(super) text: String,
    pub(super) policy: Policy,
    /// Where each rule of the policy begins.
    pub(super) places: Vec<Place>,
    pub(super) file: Place,
}

impl Document {
    /// Reads a policy as ECR does: length, JSON, each rule, then rules against one another. `file` names the text in
    /// findings.
    ///
    /// # Errors
    /// Everything for which ECR would refuse the text, in the order of the text.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Finding>> {
        read(file, text)
    }

    /// The text as it was read, white space included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the text says.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Where the rule with a `rulePriority` begins; without one, the file as a whole.
    pub fn place(&self, rule: Option<i64>) -> &Place {
        let rules = self.policy.rules.iter().zip(&self.places);
        let mut found = rules.filter(|(it, _)| Some(it.priority) == rule).map(|(_, place)| place);
        found.next().unwrap_or(&self.file)
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.policy == other.policy
    }
}

impl Eq for Document {}

/// A policy that a registry has. ECR accepted it, even where this version cannot read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredPolicy {
    /// A policy that can be read.
    Read(Document),
    /// The text of one that cannot.
    Unreadable(String),
}

impl StoredPolicy {
    /// Reads a text that ECR gave.
    pub fn parse(text: String) -> Self {
        match Document::parse("the lifecycle policy in the registry", &text) {
            Ok(document) => Self::Read(document),
            Err(_) => Self::Unreadable(text),
        }
    }

    /// The document, if it can be read.
    pub fn document(&self) -> Option<&Document> {
        match self {
            Self::Read(document) => Some(document),
            Self::Unreadable(_) => None,
        }
    }

    /// The policy as JSON, for reports.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Read(document) => document.policy.to_json(),
            Self::Unreadable(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_is_equal_to_one_that_means_the_same() {
        let parse = |text: &str| Document::parse("", text).unwrap();
        let rule = |priority: i32, tag: &str| {
            format!(
                r#"{{"rulePriority": {priority}, "selection": {{"tagStatus": "tagged", "tagPrefixList": ["{tag}"],
                "countType": "imageCountMoreThan", "countNumber": 1}}, "action": {{"type": "expire"}}}}"#
            )
        };
        let a = parse(&format!(r#"{{"rules": [{}, {}]}}"#, rule(1, "a"), rule(2, "b")));
        let b = parse(&format!(r#"{{ "rules":[{},{}]}}"#, rule(2, "b"), rule(1, "a")));
        assert!(a == b && a.text() != b.text());
        assert!(a != parse(&format!(r#"{{"rules": [{}, {}]}}"#, rule(1, "a"), rule(2, "c"))));
        assert_eq!(b.place(Some(2)).to_string(), ":1:12");
    }

    #[test]
    fn stored_policy_that_cannot_be_read_keeps_its_text() {
        let stored = StoredPolicy::parse(r#"{"rules": [], "new": 1}"#.to_owned());
        assert!(stored.document().is_none());
        assert_eq!(stored.to_json(), serde_json::json!({"rules": [], "new": 1}));
    }
}
