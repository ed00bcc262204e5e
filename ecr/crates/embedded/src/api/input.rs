//! The body of a request after validation with the service model.

use serde_json::Value;

/// An object in the body of a request. Its members have the types of the service model, so a member is either absent or valid.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    value: &'a Value,
    operation: &'a str,
}

impl<'a> Input<'a> {
    pub fn new(value: &'a Value, operation: &'a str) -> Self {
        Self { value, operation }
    }

    /// The operation of the request.
    pub fn operation(self) -> &'a str {
        self.operation
    }

    fn at(self, value: &'a Value) -> Self {
        Self { value, ..self }
    }

    pub fn text(self, key: &str) -> Option<&'a str> {
        self.value[key].as_str()
    }

    /// A string that is required in the service model.
    pub fn required(self, key: &str) -> &'a str {
        self.text(key).unwrap_or_default()
    }

    pub fn number(self, key: &str) -> Option<u64> {
        self.value[key].as_u64()
    }

    /// A boolean; `false` if it is absent.
    pub fn flag(self, key: &str) -> bool {
        self.value[key].as_bool().unwrap_or_default()
    }

    pub fn part(self, key: &str) -> Option<Input<'a>> {
        self.value.get(key).filter(|it| it.is_object()).map(|it| self.at(it))
    }

    pub fn parts(self, key: &str) -> Option<Vec<Input<'a>>> {
        self.value[key].as_array().map(|it| it.iter().map(|it| self.at(it)).collect())
    }

    pub fn texts(self, key: &str) -> Option<Vec<&'a str>> {
        self.value[key].as_array().map(|it| it.iter().filter_map(Value::as_str).collect())
    }

    pub fn value(self) -> &'a Value {
        self.value
    }
}
