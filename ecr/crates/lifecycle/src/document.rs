//! A lifecycle policy with its text, and the policy that a registry has.

use ecr_types::document::Place;
use serde_json::Value;

use super::read::read;
use super::{Finding, Policy};

/// A valid lifecycle policy: its text, the parsed [`Policy`], and the position of each rule.
///
/// Two documents are equal if their policies are equal. The order of keys and rules, and white space, do not matter.
#[derive(Debug, Clone)]
pub struct Document {
    pub(super) text: String,
    pub(super) policy: Policy,
    /// The position of each rule of `policy.rules`.
    pub(super) places: Vec<Place>,
    pub(super) file: Place,
}

impl Document {
    /// Parses and validates a policy as `PutLifecyclePolicy` does: the length (service model, `LifecyclePolicyText`: 100 to
    /// 30,720 characters), the JSON, each rule, then the rules against each other. `file` is the file name in findings.
    ///
    /// # Errors
    /// Every reason for which ECR would reject the policy, sorted by position.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Finding>> {
        read(file, text)
    }

    /// The text that was parsed, unchanged.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The policy that the text describes.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The position of the rule with this `rulePriority`. For `None` and for a number that no rule has: the file as a whole.
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

/// A lifecycle policy that is stored in a registry. ECR accepted it, so a policy that this version of the crate rejects is
/// kept as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredPolicy {
    /// A policy that [`Document::parse`] accepts.
    Read(Document),
    /// The text of a policy that [`Document::parse`] rejects.
    Unreadable(String),
}

impl StoredPolicy {
    /// Parses a text from `GetLifecyclePolicy`.
    pub fn parse(text: String) -> Self {
        match Document::parse("the lifecycle policy in the registry", &text) {
            Ok(document) => Self::Read(document),
            Err(_) => Self::Unreadable(text),
        }
    }

    /// The document; `None` if the text could not be parsed.
    pub fn document(&self) -> Option<&Document> {
        match self {
            Self::Read(document) => Some(document),
            Self::Unreadable(_) => None,
        }
    }

    /// The policy as JSON. A text that is not JSON becomes a JSON string.
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
    fn document_equality_ignores_order_and_white_space() {
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
