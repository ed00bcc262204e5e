//! Resource-based policies: IAM policy documents that are attached to a repository or to a registry.
//!
//! Sources: IAM user guide, "Grammar of the IAM JSON policy language", "JSON policy elements: Principal", "IAM JSON policy
//! elements: Condition operators", "Policy evaluation logic"; Amazon ECR user guide, "Private repository policies" and
//! "Registry permissions"; awsdocs/amazon-ecr-user-guide#20 (ECR refuses the element `Resource`), hashicorp/
//! terraform-provider-aws#39064 (principals).

mod condition;
mod decision;
mod principal;

use serde_json::{Map, Value};
use thiserror::Error;

use condition::Condition;
pub use decision::{Decision, Request};
use principal::Principals;
pub use principal::is_caller;

/// What a policy is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// A repository. Its statements are about this repository, and have no element `Resource`.
    Repository,
    /// A registry. Its statements name their resources.
    Registry,
}

/// A policy that was read and whose elements are valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq)]
struct Statement {
    is_allow: bool,
    principals: Principals,
    actions: Names,
    /// `None` for a statement about the repository of the policy.
    resources: Option<Names>,
    conditions: Vec<Condition>,
}

/// The names of `Action` and `Resource`, or all but those of `NotAction` and `NotResource`.
#[derive(Debug, Clone, PartialEq)]
struct Names {
    is_negated: bool,
    patterns: Vec<String>,
}

/// A problem of a policy, with the path to the element, such as `Statement[0].Principal`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {reason}")]
pub struct PolicyProblem {
    /// The path to the element; empty for the whole document.
    pub path: String,
    /// What is wrong, and what is allowed.
    pub reason: String,
    /// Whether a principal is the problem, which ECR reports in a message of its own.
    pub is_principal: bool,
}

impl PolicyProblem {
    /// The constraint that ECR names for this problem.
    pub fn constraint(&self, kind: PolicyKind) -> &'static str {
        match kind {
            _ if self.is_principal => "Principal not found",
            PolicyKind::Repository => "Invalid repository policy provided",
            PolicyKind::Registry => "Invalid registry policy provided",
        }
    }
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// All elements that AWS refuses.
    ///
    /// ```
    /// use ecr_types::policy::{Policy, PolicyKind};
    ///
    /// let text = r#"{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:*", "Resource": "*"}]}"#;
    /// let problems = Policy::parse(text, PolicyKind::Repository).unwrap_err();
    /// assert_eq!(problems[0].path, "Statement[0].Resource");
    /// ```
    pub fn parse(text: &str, kind: PolicyKind) -> Result<Self, Vec<PolicyProblem>> {
        let mut reader = Reader { kind, problems: Vec::new() };
        let policy = match serde_json::from_str(text) {
            Ok(document) => reader.document(&document),
            Err(error) => {
                reader.problem("", &format!("not JSON: {error}"));
                None
            }
        };
        match policy {
            Some(policy) if reader.problems.is_empty() => Ok(policy),
            _ => Err(reader.problems),
        }
    }
}

/// Reads a document, and collects what is wrong with it.
struct Reader {
    kind: PolicyKind,
    problems: Vec<PolicyProblem>,
}

impl Reader {
    fn problem(&mut self, path: &str, reason: &str) {
        let (path, reason) = (path.to_owned(), reason.to_owned());
        self.problems.push(PolicyProblem { path, reason, is_principal: false });
    }

    fn document(&mut self, document: &Value) -> Option<Policy> {
        let Value::Object(elements) = document else {
            self.problem("", "not an object");
            return None;
        };
        self.check_elements("", elements, &["Version", "Id", "Statement"]);
        if let Some(version) = elements.get("Version")
            && !matches!(version.as_str(), Some("2012-10-17" | "2008-10-17"))
        {
            self.problem("Version", "must be \"2012-10-17\"");
        }
        let statements: Vec<(String, &Value)> = match elements.get("Statement") {
            Some(Value::Array(statements)) => {
                statements.iter().enumerate().map(|(n, it)| (format!("Statement[{n}]"), it)).collect()
            }
            Some(statement @ Value::Object(_)) => vec![("Statement".to_owned(), statement)],
            _ => Vec::new(),
        };
        if statements.is_empty() {
            self.problem("Statement", "must have at least one statement");
        }
        let statements = statements.iter().filter_map(|(path, it)| self.statement(path, it)).collect();
        Some(Policy { statements })
    }

    fn check_elements(&mut self, path: &str, elements: &Map<String, Value>, known: &[&str]) {
        for name in elements.keys().filter(|it| !known.contains(&it.as_str())) {
            let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let reason = match (self.kind, name.as_str()) {
                (PolicyKind::Repository, "Resource" | "NotResource") => {
                    "a repository policy is about its repository: ECR refuses this element".to_owned()
                }
                _ => format!("not an element of a policy: use {}", known.join(", ")),
            };
            self.problem(&at, &reason);
        }
    }

    fn statement(&mut self, path: &str, statement: &Value) -> Option<Statement> {
        let Value::Object(elements) = statement else {
            self.problem(path, "not an object");
            return None;
        };
        let resources = match self.kind {
            PolicyKind::Repository => &[][..],
            PolicyKind::Registry => &["Resource", "NotResource"],
        };
        let known = ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Condition"];
        self.check_elements(path, elements, &[&known, resources].concat());
        let is_allow = match elements.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => {
                self.problem(&format!("{path}.Effect"), "must be \"Allow\" or \"Deny\"");
                false
            }
        };
        if elements.get("Sid").is_some_and(|it| !it.is_string()) {
            self.problem(&format!("{path}.Sid"), "must be text");
        }
        let actions = self.names(path, elements, ["Action", "NotAction"], is_action);
        let resources = match self.kind {
            PolicyKind::Repository => None,
            PolicyKind::Registry => {
                Some(self.names(path, elements, ["Resource", "NotResource"], |it| !it.is_empty())?)
            }
        };
        let principals = self.principals(path, elements);
        let conditions = self.conditions(path, elements.get("Condition"));
        Some(Statement { is_allow, principals: principals?, actions: actions?, resources, conditions })
    }

    /// The element of a statement, or its negation; a statement has one of them.
    fn one_of<'a>(
        &mut self,
        path: &str,
        elements: &'a Map<String, Value>,
        [plain, negated]: [&str; 2],
    ) -> Option<(bool, String, &'a Value)> {
        match (elements.get(plain), elements.get(negated)) {
            (Some(value), None) => Some((false, format!("{path}.{plain}"), value)),
            (None, Some(value)) => Some((true, format!("{path}.{negated}"), value)),
            _ => {
                self.problem(path, &format!("must have one of {plain} and {negated}"));
                None
            }
        }
    }

    fn names(
        &mut self,
        path: &str,
        elements: &Map<String, Value>,
        names: [&str; 2],
        is_valid: fn(&str) -> bool,
    ) -> Option<Names> {
        let (is_negated, path, value) = self.one_of(path, elements, names)?;
        let texts = texts(value).filter(|it| !it.is_empty());
        match texts {
            Some(texts) => {
                for text in texts.iter().filter(|it| !is_valid(it)) {
                    self.problem(&path, &format!("`{text}` is not valid, such as \"ecr:BatchGetImage\" is"));
                }
                Some(Names { is_negated, patterns: texts.into_iter().map(str::to_owned).collect() })
            }
            None => {
                self.problem(&path, "must be text or a list of texts");
                None
            }
        }
    }

    fn principals(&mut self, path: &str, elements: &Map<String, Value>) -> Option<Principals> {
        let (is_negated, path, value) = self.one_of(path, elements, ["Principal", "NotPrincipal"])?;
        match Principals::read(is_negated, value) {
            Ok(principals) => Some(principals),
            Err(reasons) => {
                let problem = |reason| PolicyProblem { path: path.clone(), reason, is_principal: true };
                self.problems.extend(reasons.into_iter().map(problem));
                None
            }
        }
    }

    fn conditions(&mut self, path: &str, value: Option<&Value>) -> Vec<Condition> {
        let Some(value) = value else { return Vec::new() };
        match Condition::read(value) {
            Ok(conditions) => conditions,
            Err(reason) => {
                self.problem(&format!("{path}.Condition"), &reason);
                Vec::new()
            }
        }
    }
}

/// An action such as `ecr:BatchGetImage`, with wildcards.
fn is_action(text: &str) -> bool {
    let is_name =
        |it: &str| !it.is_empty() && it.chars().all(|c| c.is_ascii_alphanumeric() || "*?-".contains(c));
    text == "*" || text.split_once(':').is_some_and(|(service, name)| is_name(service) && is_name(name))
}

/// A text or a list of texts.
fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
