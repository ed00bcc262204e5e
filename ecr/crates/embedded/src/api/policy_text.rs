//! The text in which ECR returns a repository policy.
//!
//! Sources: IAM user guide, "JSON policy elements: Principal" (account numbers become ARNs); the examples of `aws ecr
//! get-repository-policy` (layout, single values); crossplane-contrib/provider-aws#700 and hashicorp/terraform-provider-aws
//! #28799 (single values for lists of one, principals in another order).

use serde_json::Value;

/// A policy as ECR returns it, from the text that was set. A text that is no JSON stays as it is.
pub fn as_returned(text: &str) -> String {
    let Ok(mut policy) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    if let Some(statement) = policy.get_mut("Statement") {
        if statement.is_object() {
            *statement = Value::Array(vec![statement.take()]);
        }
        statement.as_array_mut().into_iter().flatten().for_each(rewrite);
    }
    let mut printed = String::new();
    print(&policy, 0, &mut printed);
    printed
}

fn rewrite(statement: &mut Value) {
    for element in ["Principal", "NotPrincipal"] {
        let Some(principals) = statement.get_mut(element) else { continue };
        match principals {
            Value::Object(types) => types.values_mut().for_each(rewrite_principals),
            single => rewrite_principals(single),
        }
    }
    for element in ["Action", "NotAction", "Resource", "NotResource"] {
        statement.get_mut(element).into_iter().for_each(unwrap_single);
    }
}

/// The order of the principals is not that of the request.
fn rewrite_principals(principals: &mut Value) {
    match principals {
        Value::Array(items) => {
            items.iter_mut().for_each(rewrite_principals);
            items.sort_by_key(ToString::to_string);
            items.dedup();
        }
        Value::String(text) if text.len() == 12 && text.bytes().all(|it| it.is_ascii_digit()) => {
            *text = format!("arn:aws:iam::{text}:root");
        }
        _ => {}
    }
    unwrap_single(principals);
}

fn unwrap_single(value: &mut Value) {
    if let Value::Array(items) = value
        && let [single] = items.as_mut_slice()
    {
        *value = single.take();
    }
}

/// The elements in the order in which AWS prints them. Others follow.
const ORDER: [&str; 12] = [
    "Version",
    "Id",
    "Statement",
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// Prints JSON in the layout of the examples: a space on each side of a colon, and lists on one line.
fn print(value: &Value, depth: usize, printed: &mut String) {
    match value {
        Value::Object(members) if members.is_empty() => printed.push_str("{ }"),
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| ORDER.iter().position(|it| it == name).unwrap_or(ORDER.len()));
            let indent = "  ".repeat(depth);
            for (n, (name, value)) in members.into_iter().enumerate() {
                printed.push_str(if n == 0 { "{" } else { "," });
                printed.push_str(&format!("\n{indent}  {} : ", Value::from(name.as_str())));
                print(value, depth + 1, printed);
            }
            printed.push_str(&format!("\n{indent}}}"));
        }
        Value::Array(items) if items.is_empty() => printed.push_str("[ ]"),
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                printed.push_str(if n == 0 { "[ " } else { ", " });
                print(item, depth, printed);
            }
            printed.push_str(" ]");
        }
        single => printed.push_str(&single.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn policy_is_returned_in_the_form_of_ecr() {
        let text = r#"{"Statement": {"Action": ["ecr:BatchGetImage"], "Effect": "Allow", "Sid": "pull",
            "Principal": {"AWS": ["222222222222", "111111111111", "222222222222"], "Service": ["ecs.amazonaws.com"]},
            "Condition": {"Bool": {"aws:SecureTransport": true}}}, "Version": "2012-10-17"}"#;
        let returned = as_returned(text);
        expect![[r#"
            {
              "Version" : "2012-10-17",
              "Statement" : [ {
                "Sid" : "pull",
                "Effect" : "Allow",
                "Principal" : {
                  "AWS" : [ "arn:aws:iam::111111111111:root", "arn:aws:iam::222222222222:root" ],
                  "Service" : "ecs.amazonaws.com"
                },
                "Action" : "ecr:BatchGetImage",
                "Condition" : {
                  "Bool" : {
                    "aws:SecureTransport" : true
                  }
                }
              } ]
            }"#]]
        .assert_eq(&returned);
        assert_eq!(as_returned(&returned), returned);
        assert_eq!(
            as_returned(r#"{"Statement": [{"Principal": "*"}]}"#),
            "{\n  \"Statement\" : [ {\n    \"Principal\" : \"*\"\n  } ]\n}"
        );
    }
}
