//! Checks of nodes with the messages of ECR's JSON Schema. The messages are those of the Java library
//! json-schema-validator, which ECR quotes in its responses.

use std::cell::RefCell;

use ecr_types::document::{Node, Place, Value, did_you_mean, duplicates};

use super::Finding;

/// Collects the findings of one rule, or of the policy around the rules.
pub struct Shape<'a> {
    /// The rule's `rulePriority`, if it could be read.
    pub rule: Option<i64>,
    /// The position of the rule in the list, counted from 1. It is displayed if `rulePriority` cannot be read.
    pub position: Option<usize>,
    /// All findings of the policy.
    pub findings: &'a RefCell<Vec<Finding>>,
}

impl Shape<'_> {
    /// Adds a finding with the message of ECR.
    pub fn report(&self, place: &Place, message: impl Into<String>, sentence: impl Into<String>) {
        self.push(place, message.into(), Some(sentence.into()));
    }

    /// Adds a finding for which no message of ECR is known.
    pub fn report_without_sentence(&self, place: &Place, message: impl Into<String>) {
        self.push(place, message.into(), None);
    }

    fn push(&self, place: &Place, message: String, sentence: Option<String>) {
        let message = match (self.rule, self.position) {
            (None, Some(position)) => format!("rule at position {position}: {message}"),
            _ => message,
        };
        let finding = Finding { place: place.clone(), rule: self.rule, message, sentence };
        self.findings.borrow_mut().push(finding);
    }

    /// Whether `node` is an object with all required keys. Missing, unknown and duplicate keys are reported.
    pub fn object(&self, node: &Node, title: &str, required: &[&str], optional: &[&str]) -> bool {
        let Value::Table(entries) = &node.value else {
            self.wrong_type(node, title, "object");
            return false;
        };
        let missing: Vec<_> = required.iter().copied().filter(|key| node.get(key).is_none()).collect();
        if !missing.is_empty() {
            let message = format!("{title} lacks {}", words(&missing));
            let sentence = format!("object has missing required properties ({})", listed(&missing));
            self.report(&node.place, message, sentence);
        }
        let known = || required.iter().chain(optional).copied();
        for entry in entries {
            let key = entry.key.as_str();
            if !known().any(|it| it == key) {
                let hint = match did_you_mean(key, known()) {
                    Some(similar) => format!("did you mean `{similar}`?"),
                    None => format!("it takes {}", words(&known().collect::<Vec<_>>())),
                };
                let sentence = format!(
                    "object instance has properties which are not allowed by the schema: {}",
                    listed(&[key])
                );
                self.report(&entry.place, format!("{title} has an unknown key `{key}`: {hint}"), sentence);
            }
        }
        // AWS does not document how ECR treats duplicate keys. A policy that deletes must not be ambiguous.
        for entry in duplicates(entries) {
            self.report_without_sentence(&entry.place, format!("{title} has the key `{}` twice", entry.key));
        }
        missing.is_empty()
    }

    /// A string that is one of `allowed`.
    pub fn word(&self, node: &Node, key: &str, allowed: &[&'static str]) -> Option<&'static str> {
        let text = self.string(node, key)?;
        let found = allowed.iter().find(|it| **it == text).copied();
        if found.is_none() {
            let hint = match did_you_mean(&text, allowed.iter().copied()) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => format!("it must be {}", either(allowed)),
            };
            let possible = listed(allowed);
            let sentence =
                format!("instance value (\"{text}\") not found in enum (possible values: {possible})");
            self.report(&node.place, format!("`{key}` is `{text}`: {hint}"), sentence);
        }
        found
    }

    pub fn string(&self, node: &Node, key: &str) -> Option<String> {
        match &node.value {
            Value::String(text) => Some(text.clone()),
            _ => {
                self.wrong_type(node, &format!("`{key}`"), "string");
                None
            }
        }
    }

    /// A non-empty list of strings.
    pub fn strings(&self, node: &Node, key: &str) -> Option<Vec<String>> {
        let Value::Array(items) = &node.value else {
            self.wrong_type(node, &format!("`{key}`"), "array");
            return None;
        };
        if items.is_empty() {
            self.report(
                &node.place,
                format!("`{key}` is empty"),
                "array is too short: must have at least 1 elements but instance has 0 elements",
            );
            return None;
        }
        let title = format!("an entry of `{key}`");
        let read = |item: &Node| match &item.value {
            Value::String(text) => Some(text.clone()),
            _ => {
                self.wrong_type(item, &title, "string");
                None
            }
        };
        let strings: Vec<_> = items.iter().map(read).collect();
        strings.into_iter().collect()
    }

    /// A whole number from `minimum` to 2^31-1, the maximum of an integer in the service model.
    pub fn integer(&self, node: &Node, key: &str, minimum: i64) -> Option<i64> {
        let number = match &node.value {
            Value::Number(text) => text.parse::<i64>().ok().or_else(|| {
                let is_whole = text.bytes().all(|it| it.is_ascii_digit() || it == b'-');
                // Too many digits for an integer: reported as out of range below.
                is_whole.then_some(if text.starts_with('-') { i64::MIN } else { i64::MAX })
            }),
            _ => None,
        };
        let Some(number) = number else {
            self.wrong_type(node, &format!("`{key}`"), "integer");
            return None;
        };
        if number < minimum {
            let sentence = format!(
                "numeric instance is lower than the required minimum (minimum: {minimum}, found: {number})"
            );
            self.report(&node.place, format!("`{key}` is {number}: it must be {minimum} or more"), sentence);
            return None;
        }
        if number > i64::from(i32::MAX) {
            self.report_without_sentence(&node.place, format!("`{key}` is larger than {}", i32::MAX));
            return None;
        }
        Some(number)
    }

    fn wrong_type(&self, node: &Node, title: &str, wanted: &str) {
        let found = type_name(&node.value);
        let sentence = format!(
            "instance type ({found}) does not match any allowed primitive type (allowed: [\"{wanted}\"])"
        );
        let wanted = if wanted == "integer" { "whole number" } else { wanted };
        let found = match &node.value {
            Value::Table(_) => "an object",
            Value::Number(number) => number,
            _ => node.kind(),
        };
        self.report(
            &node.place,
            format!("{title} must be {} {wanted}, found {found}", article(wanted)),
            sentence,
        );
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Boolean(_) => "boolean",
        Value::Number(text) if text.contains(['.', 'e', 'E']) => "number",
        Value::Number(_) => "integer",
        Value::String(_) | Value::Datetime(_) => "string",
        Value::Array(_) => "array",
        Value::Table(_) => "object",
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'o']) { "an" } else { "a" }
}

/// `["a","b"]`.
fn listed(words: &[&str]) -> String {
    serde_json::json!(words).to_string()
}

/// `` `a`, `b` ``.
fn words(words: &[&str]) -> String {
    words.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}

/// `` `a` or `b` ``.
pub fn either(words: &[&str]) -> String {
    words.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(" or ")
}
