//! Comparison of repository policies.

use serde_json::Value;

/// Whether two repository policies are equivalent for IAM: a value is equal to a list of only that value, and the order
/// in `Action`, `Resource` and `Principal` does not matter.
pub fn same_repository_policy(a: &str, b: &str) -> bool {
    match (normalised(a), normalised(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn normalised(text: &str) -> Option<Value> {
    let mut policy: Value = serde_json::from_str(text).ok()?;
    if let Some(statements) = policy.get_mut("Statement") {
        make_list(statements);
        statements.as_array_mut().into_iter().flatten().for_each(normalise_statement);
    }
    Some(policy)
}

fn normalise_statement(statement: &mut Value) {
    for key in ["Action", "NotAction", "Resource", "NotResource"] {
        statement.get_mut(key).into_iter().for_each(make_list);
    }
    for key in ["Principal", "NotPrincipal"] {
        let principals = statement.get_mut(key).and_then(Value::as_object_mut);
        principals.into_iter().flat_map(|it| it.values_mut()).for_each(make_list);
    }
}

/// Turns a single value into a list, and sorts a list of strings.
fn make_list(value: &mut Value) {
    match value {
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
        Value::Array(_) => {}
        other => *other = Value::Array(vec![other.take()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_policy_is_compared_as_iam_reads_it() {
        let a = r#"{"Statement": {"Effect": "Allow", "Action": "ecr:GetImage", "Principal": {"AWS": ["b", "a"]}}}"#;
        let b = r#"{"Statement": [{"Action": ["ecr:GetImage"], "Effect": "Allow", "Principal": {"AWS": ["a", "b"]}}]}"#;
        assert!(same_repository_policy(a, b));
        assert!(!same_repository_policy(a, &b.replace("Allow", "Deny")));
    }
}
