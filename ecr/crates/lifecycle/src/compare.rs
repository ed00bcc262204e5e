//! Policies as texts: do two of them mean the same?

use ecr_types::document::{Problem, parse_json};
use serde_json::Value;

/// The problems of a text that only has to be JSON.
pub fn check_json(file: &str, text: &str) -> Vec<Problem> {
    parse_json(file, text).err().into_iter().collect()
}

/// Whether two lifecycle policies mean the same: the order of keys and rules, and white space, do not count.
/// ECR gives rules back sorted by priority.
pub fn same_lifecycle_policy(a: &str, b: &str) -> bool {
    same(a, b, |policy| {
        if let Some(Value::Array(rules)) = policy.get_mut("rules") {
            rules.sort_by_key(|rule| rule.get("rulePriority").and_then(Value::as_i64));
        }
    })
}

/// Whether two repository policies mean the same: as IAM reads them, one value and a list of that one value are
/// equal, and the order within `Action`, `Resource` and principals does not count.
pub fn same_repository_policy(a: &str, b: &str) -> bool {
    same(a, b, |policy| {
        if let Some(statements) = policy.get_mut("Statement") {
            listed(statements);
            statements.as_array_mut().into_iter().flatten().for_each(normalise_statement);
        }
    })
}

fn normalise_statement(statement: &mut Value) {
    for key in ["Action", "NotAction", "Resource", "NotResource"] {
        statement.get_mut(key).into_iter().for_each(listed);
    }
    for key in ["Principal", "NotPrincipal"] {
        let principals = statement.get_mut(key).and_then(Value::as_object_mut);
        principals.into_iter().flat_map(|it| it.values_mut()).for_each(listed);
    }
}

/// One value as a list of one; a list of strings sorted.
fn listed(value: &mut Value) {
    match value {
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
        Value::Array(_) => {}
        other => *other = Value::Array(vec![other.take()]),
    }
}

fn same(a: &str, b: &str, normalise: impl Fn(&mut Value)) -> bool {
    let read = |text| {
        let mut value: Value = serde_json::from_str(text).ok()?;
        normalise(&mut value);
        Some(value)
    };
    match (read(a), read(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifecycle_policies_are_compared_by_meaning() {
        let a = r#"{"rules": [{"rulePriority": 2, "x": 1}, {"rulePriority": 1}]}"#;
        let b = r#"{"rules":[{"rulePriority":1},{"x":1,"rulePriority":2}]}"#;
        assert!(same_lifecycle_policy(a, b));
        assert!(!same_lifecycle_policy(a, r#"{"rules":[{"rulePriority":1}]}"#));
    }

    #[test]
    fn repository_policies_are_compared_as_iam_reads_them() {
        let a = r#"{"Statement": {"Effect": "Allow", "Action": "ecr:GetImage", "Principal": {"AWS": ["b", "a"]}}}"#;
        let b = r#"{"Statement": [{"Action": ["ecr:GetImage"], "Effect": "Allow", "Principal": {"AWS": ["a", "b"]}}]}"#;
        assert!(same_repository_policy(a, b));
        assert!(!same_repository_policy(a, &b.replace("Allow", "Deny")));
    }
}
