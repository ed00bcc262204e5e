//! The operations and input shapes of ECR's service model, and the validation of requests.
//!
//! `service_model.json` is generated from botocore's `service-2.json` by `ecr/tests/peers/service_model.py`.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use regex_lite::Regex;
use serde_json::{Map, Value};

use crate::error::ApiError;

static MODEL: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("service_model.json")).unwrap_or_default());

/// The patterns of the model, anchored to match the whole value.
static PATTERNS: LazyLock<HashMap<&str, Regex>> = LazyLock::new(|| {
    let shapes = MODEL["shapes"].as_object().into_iter().flat_map(Map::values);
    let patterns = shapes.filter_map(|it| it["pattern"].as_str());
    patterns.filter_map(|it| Some((it, Regex::new(&format!("^(?:{it})$")).ok()?))).collect()
});

/// The support for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// The embedded ECR supports the operation.
    Supported,
    /// The model has the operation, but the embedded ECR does not support it.
    Unsupported,
    /// The model does not have the operation.
    Unknown,
}

pub fn support(operation: &str) -> Support {
    match MODEL["operations"].get(operation) {
        Some(Value::String(_)) => Support::Supported,
        Some(_) => Support::Unsupported,
        None => Support::Unknown,
    }
}

/// The names of all operations of the model.
pub fn operations() -> impl Iterator<Item = &'static str> {
    MODEL["operations"].as_object().into_iter().flat_map(Map::keys).map(String::as_str)
}

/// Validates an input with the model. The error is that of the first violated constraint.
pub fn check(operation: &str, input: &Value) -> Result<(), ApiError> {
    let shape = MODEL["operations"][operation].as_str().unwrap_or_default();
    Checker { path: String::new() }.shape(shape, input)
}

struct Checker {
    /// The path to a value in the notation of AWS: `imageIds.1.member.imageTag`.
    path: String,
}

impl Checker {
    fn shape(&self, name: &str, value: &Value) -> Result<(), ApiError> {
        let shape = &MODEL["shapes"][name];
        match shape["type"].as_str().unwrap_or_default() {
            "structure" => self.structure(shape, value),
            "list" => self.list(shape, value),
            "string" => self.string(name, shape, value),
            "blob" => self.blob(shape, value),
            "boolean" => value.as_bool().map(drop).ok_or_else(|| self.wrong_type("a boolean", value)),
            _ => self.number(shape, value),
        }
    }

    /// A member that is null is treated as absent. Unknown members are ignored, as in AWS.
    fn structure(&self, shape: &Value, value: &Value) -> Result<(), ApiError> {
        let object = value.as_object().ok_or_else(|| self.wrong_type("an object", value))?;
        let required = shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for key in required {
            if object.get(key).is_none_or(Value::is_null) {
                return Err(ApiError::invalid(&self.below(key).path, "Member must not be null"));
            }
        }
        let members = shape["members"].as_object().into_iter().flatten();
        for (key, shape) in members {
            if let Some(value) = object.get(key).filter(|it| !it.is_null()) {
                self.below(key).shape(shape.as_str().unwrap_or_default(), value)?;
            }
        }
        Ok(())
    }

    fn list(&self, shape: &Value, value: &Value) -> Result<(), ApiError> {
        let items = value.as_array().ok_or_else(|| self.wrong_type("a list", value))?;
        self.length(shape, items.len())?;
        let member = shape["member"].as_str().unwrap_or_default();
        let mut each = items.iter().enumerate();
        each.try_for_each(|(n, item)| self.below(&format!("{}.member", n + 1)).shape(member, item))
    }

    fn string(&self, name: &str, shape: &Value, value: &Value) -> Result<(), ApiError> {
        let text = value.as_str().ok_or_else(|| self.wrong_type("a string", value))?;
        self.length(shape, text.chars().count())?;
        if let Some(pattern) = shape["pattern"].as_str()
            && PATTERNS.get(pattern).is_some_and(|it| !it.is_match(text))
        {
            return Err(
                self.invalid(&format!("must satisfy regular expression '{}'", shown_pattern(name, pattern)))
            );
        }
        let allowed: Vec<_> =
            shape["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !allowed.is_empty() && !allowed.contains(&text) {
            return Err(
                self.invalid(&format!("Member must satisfy enum value set: [{}]", allowed.join(", ")))
            );
        }
        Ok(())
    }

    fn blob(&self, shape: &Value, value: &Value) -> Result<(), ApiError> {
        let text = value.as_str().ok_or_else(|| self.wrong_type("a string in base64", value))?;
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| self.wrong_type("a string in base64", value))?;
        self.length(shape, bytes.len())
    }

    fn number(&self, shape: &Value, value: &Value) -> Result<(), ApiError> {
        let number = value.as_i64().ok_or_else(|| self.wrong_type("a whole number", value))?;
        self.bounds(shape, number, "value")
    }

    fn length(&self, shape: &Value, length: usize) -> Result<(), ApiError> {
        self.bounds(shape, i64::try_from(length).unwrap_or(i64::MAX), "length")
    }

    fn bounds(&self, shape: &Value, number: i64, what: &str) -> Result<(), ApiError> {
        if let Some(min) = shape["min"].as_i64().filter(|min| number < *min) {
            return Err(self.invalid(&format!("Member must have {what} greater than or equal to {min}")));
        }
        if let Some(max) = shape["max"].as_i64().filter(|max| number > *max) {
            return Err(self.invalid(&format!("Member must have {what} less than or equal to {max}")));
        }
        Ok(())
    }

    fn below(&self, key: &str) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { path }
    }

    fn invalid(&self, constraint: &str) -> ApiError {
        ApiError::invalid(&self.path, constraint)
    }

    fn wrong_type(&self, wanted: &str, value: &Value) -> ApiError {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        let path = if self.path.is_empty() { "the request" } else { &self.path };
        ApiError::new("SerializationException", format!("{path} must be {wanted}, found {found}"))
    }
}

/// The pattern in ECR's message. For repository names, public reports quote an older pattern than that of the model.
fn shown_pattern<'a>(shape: &str, pattern: &'a str) -> &'a str {
    match shape {
        "RepositoryName" => "(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*",
        _ => pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(operation: &str, input: Value) -> String {
        let error = check(operation, &input).unwrap_err();
        format!("{}: {}", error.code, error.message)
    }

    #[test]
    fn service_model_is_complete() {
        assert_eq!(support("CreateRepository"), Support::Supported);
        assert_eq!(support("StartReplicationBackfill"), Support::Unsupported);
        assert_eq!(support("Nonsense"), Support::Unknown);
        let shapes = MODEL["shapes"].as_object().unwrap();
        assert!(shapes.values().filter_map(|it| it["pattern"].as_str()).all(|it| PATTERNS.contains_key(it)));
    }

    #[test]
    fn service_model_constraints_are_checked() {
        assert!(check("CreateRepository", &json!({"repositoryName": "a--b/c__d", "unknown": 1})).is_ok());
        expect_test::expect![[r#"
            InvalidParameterException: Invalid parameter at 'repositoryName' failed to satisfy constraint: 'Member must not be null'
            InvalidParameterException: Invalid parameter at 'repositoryName' failed to satisfy constraint: 'Member must have length greater than or equal to 2'
            InvalidParameterException: Invalid parameter at 'imageIds.1.member.imageTag' failed to satisfy constraint: 'Member must have length greater than or equal to 1'
            InvalidParameterException: Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value less than or equal to 1000'
            InvalidParameterException: Invalid parameter at 'imageTagMutability' failed to satisfy constraint: 'Member must satisfy enum value set: [MUTABLE, IMMUTABLE, IMMUTABLE_WITH_EXCLUSION, MUTABLE_WITH_EXCLUSION]'
            SerializationException: layerPartBlob must be a string in base64, found a string"#]]
        .assert_eq(&[
            refused("CreateRepository", json!({"repositoryName": null})),
            refused("CreateRepository", json!({"repositoryName": "a"})),
            refused("BatchGetImage", json!({"repositoryName": "ab", "imageIds": [{"imageTag": ""}]})),
            refused("ListImages", json!({"repositoryName": "ab", "maxResults": 1001})),
            refused("CreateRepository", json!({"repositoryName": "ab", "imageTagMutability": "NO"})),
            refused("UploadLayerPart", json!({"repositoryName": "ab", "partFirstByte": 0, "partLastByte": 1,
                "uploadId": "00000000-0000-0000-0000-000000000000", "layerPartBlob": "%"})),
        ].join("\n"));
    }
}
