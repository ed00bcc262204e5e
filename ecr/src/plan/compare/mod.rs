//! Comparison of repository policies and KMS keys with what AWS makes of them.

use std::collections::BTreeSet;

use serde_json::Value;

/// Whether two repository policies mean the same to IAM. AWS returns a policy in a form of its own: account numbers as
/// ARNs, single values for lists, principals in another order.
///
/// The rules are those of the IAM user guide, "JSON policy elements"; each row of the test has its source. A unique ID
/// such as `AIDAEXAMPLE`, which stands for a principal that was deleted, is equal to nothing else.
pub fn same_repository_policy(a: &str, b: &str) -> bool {
    match (Policy::parse(a), Policy::parse(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// A policy in a form in which equal ones are equal values. The order of statements has no meaning.
#[derive(PartialEq)]
struct Policy {
    version: String,
    id: String,
    statements: BTreeSet<Statement>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Statement {
    sid: String,
    effect: String,
    /// The element's name and its values: actions and resources.
    lists: BTreeSet<(String, BTreeSet<String>)>,
    /// The element's name, the type of principal, and the principals.
    principals: BTreeSet<(String, String, BTreeSet<String>)>,
    /// The operator, the key, and the values.
    conditions: BTreeSet<(String, String, BTreeSet<String>)>,
    /// Whatever else stands there, as text.
    others: BTreeSet<(String, String)>,
}

impl Policy {
    fn parse(text: &str) -> Option<Self> {
        let policy: Value = serde_json::from_str(text).ok()?;
        let version = policy["Version"].as_str().unwrap_or(DEFAULT_VERSION).to_owned();
        let statements = items(&policy["Statement"]).iter().map(|it| Statement::read(it)).collect();
        policy.is_object().then(|| Self { version, id: text_of(&policy["Id"]), statements })
    }
}

/// The version of a policy that names none ("JSON policy elements: Version").
const DEFAULT_VERSION: &str = "2008-10-17";

impl Statement {
    fn read(value: &Value) -> Self {
        let elements = value.as_object().into_iter().flatten();
        let mut statement = Self {
            sid: text_of(&value["Sid"]),
            effect: text_of(&value["Effect"]).to_lowercase(),
            lists: BTreeSet::new(),
            principals: BTreeSet::new(),
            conditions: BTreeSet::new(),
            others: BTreeSet::new(),
        };
        for (name, value) in elements {
            statement.add(name, value);
        }
        statement
    }

    fn add(&mut self, name: &str, value: &Value) {
        match name {
            "Sid" | "Effect" => {}
            // The names of services and actions are not case-sensitive.
            "Action" | "NotAction" => self.lists.extend([(name.to_owned(), texts(value, str::to_lowercase))]),
            "Resource" | "NotResource" => self.lists.extend([(name.to_owned(), texts(value, str::to_owned))]),
            "Principal" | "NotPrincipal" => self.principals.extend(principals(name, value)),
            "Condition" => self.conditions.extend(conditions(value)),
            _ => self.others.extend([(name.to_owned(), value.to_string())]),
        }
    }
}

/// The principals of an element. `"*"` and `{"AWS": "*"}` are the same; an element without principals is an absent one.
fn principals(name: &str, value: &Value) -> Vec<(String, String, BTreeSet<String>)> {
    let of_type = |kind: &str, value: &Value| {
        let normal = |text: &str| if kind == "AWS" { iam_principal(text) } else { text.to_owned() };
        (name.to_owned(), kind.to_owned(), texts(value, normal))
    };
    let types = match value {
        Value::Object(types) => types.iter().map(|(kind, value)| of_type(kind, value)).collect(),
        _ => vec![of_type("AWS", value)],
    };
    types.into_iter().filter(|(.., principals)| !principals.is_empty()).collect()
}

/// A principal, with the number of an account for the ARN of its root user.
fn iam_principal(text: &str) -> String {
    let parts: Vec<_> = text.split(':').collect();
    match parts[..] {
        ["arn", _, "iam", "", account, "root"] => account.to_owned(),
        _ => text.to_owned(),
    }
}

/// The conditions. The names of operators and keys are not case-sensitive, and numbers and booleans may be strings.
fn conditions(value: &Value) -> Vec<(String, String, BTreeSet<String>)> {
    let operators = value.as_object().into_iter().flatten();
    let keys = operators.flat_map(|(operator, keys)| {
        let operator = operator.to_lowercase();
        let keys = keys.as_object().into_iter().flatten();
        keys.map(move |(key, value)| {
            let is_boolean = operator.starts_with("bool") || operator.starts_with("null");
            let normal = |text: &str| if is_boolean { text.to_lowercase() } else { text.to_owned() };
            (operator.clone(), key.to_lowercase(), texts(value, normal))
        })
    });
    keys.collect()
}

/// The values of a list, or the single value in place of one.
fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().collect(),
        single => vec![single],
    }
}

fn texts(value: &Value, normal: impl Fn(&str) -> String) -> BTreeSet<String> {
    items(value).into_iter().map(|it| normal(&text_of(it))).collect()
}

/// The text of a string, and the notation of other values.
fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a configured KMS key may be the one that AWS returns, which is the ARN of a key whatever the request named:
/// the key's ID or ARN, or the name or ARN of an alias (ECR API reference, `EncryptionConfiguration`). An alias and a
/// key cannot be compared without KMS, and count as equal.
pub fn same_kms_key(a: &str, b: &str) -> bool {
    let (a, b) = (KmsKey::parse(a), KmsKey::parse(b));
    let is_same_place = a.place.is_none() || b.place.is_none() || a.place == b.place;
    a.is_alias != b.is_alias || a.name == b.name && is_same_place
}

/// A key or an alias.
struct KmsKey<'a> {
    /// The ARN up to the resource.
    place: Option<&'a str>,
    is_alias: bool,
    name: &'a str,
}

impl<'a> KmsKey<'a> {
    fn parse(text: &'a str) -> Self {
        let (place, resource) = match text.rsplit_once(':') {
            Some((place, resource)) => (Some(place), resource),
            None => (None, text),
        };
        match resource.strip_prefix("alias/") {
            Some(name) => Self { place, is_alias: true, name },
            None => Self { place, is_alias: false, name: resource.strip_prefix("key/").unwrap_or(resource) },
        }
    }
}

#[cfg(test)]
mod tests;
