//! The element `Condition`: operators, keys and values.

use serde_json::Value;

use super::decision::Request;

/// A key of a request that is compared with values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    operator: Operator,
    /// Whether a request without the key fulfils the condition (`...IfExists`, `ForAllValues:...`).
    if_exists: bool,
    key: String,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equals,
    NotEquals,
    EqualsIgnoreCase,
    NotEqualsIgnoreCase,
    Like,
    NotLike,
    Null,
    /// An operator for numbers, dates, binary values and IP addresses: no key that is known here has such a value.
    Other,
    /// The negation of one of those.
    NotOther,
}

/// All operators of IAM that compare something else than texts.
const OTHERS: [&str; 12] = [
    "NumericEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "DateEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "BinaryEquals",
    "IpAddress",
];

impl Operator {
    fn read(name: &str) -> Option<Self> {
        Some(match name {
            "StringEquals" => Self::Equals,
            "StringNotEquals" => Self::NotEquals,
            "StringEqualsIgnoreCase" | "Bool" => Self::EqualsIgnoreCase,
            "StringNotEqualsIgnoreCase" => Self::NotEqualsIgnoreCase,
            "StringLike" | "ArnLike" | "ArnEquals" => Self::Like,
            "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => Self::NotLike,
            "Null" => Self::Null,
            "NumericNotEquals" | "DateNotEquals" | "NotIpAddress" => Self::NotOther,
            other if OTHERS.contains(&other) => Self::Other,
            _ => return None,
        })
    }

    fn is_negated(self) -> bool {
        matches!(self, Self::NotEquals | Self::NotEqualsIgnoreCase | Self::NotLike | Self::NotOther)
    }

    fn matches(self, found: &str, value: &str) -> bool {
        match self {
            Self::Equals | Self::NotEquals => found == value,
            Self::EqualsIgnoreCase | Self::NotEqualsIgnoreCase => found.eq_ignore_ascii_case(value),
            Self::Like | Self::NotLike => super::decision::is_like(value, found),
            Self::Null | Self::Other | Self::NotOther => false,
        }
    }
}

impl Condition {
    /// Reads the element: operator -> key -> value or values.
    ///
    /// # Errors
    /// What is not valid.
    pub fn read(value: &Value) -> Result<Vec<Self>, String> {
        let operators = value.as_object().ok_or("must be an object of operators")?;
        let mut conditions = Vec::new();
        for (name, keys) in operators {
            let plain = name.trim_start_matches("ForAllValues:").trim_start_matches("ForAnyValue:");
            let (plain, if_exists) = match plain.strip_suffix("IfExists") {
                Some(plain) => (plain, true),
                // All of no values fulfil every condition.
                None => (plain, name.starts_with("ForAllValues:")),
            };
            let operator = Operator::read(plain).ok_or(format!("`{name}` is not a condition operator"))?;
            let keys = keys.as_object().ok_or(format!("`{name}` must be an object of condition keys"))?;
            for (key, values) in keys {
                let values = values_of(values)
                    .ok_or(format!("the values of `{key}` must be texts, numbers or booleans"))?;
                conditions.push(Self { operator, if_exists, key: key.to_ascii_lowercase(), values });
            }
        }
        Ok(conditions)
    }

    /// Whether a request fulfils the condition. One that depends on a key which is not known here is not fulfilled.
    pub fn is_fulfilled(&self, request: &Request<'_>) -> bool {
        let found = request.key(&self.key);
        if self.operator == Operator::Null {
            return self.values.iter().any(|it| (it == "true") == found.is_none());
        }
        match found {
            None => self.if_exists || self.operator.is_negated(),
            Some(found) => {
                self.values.iter().any(|it| self.operator.matches(&found, it)) != self.operator.is_negated()
            }
        }
    }
}

fn values_of(value: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    match value {
        Value::Array(items) => items.iter().map(one).collect(),
        value => Some(vec![one(value)?]),
    }
}
