//! A request's body, once the service model has allowed it.

use serde_json::Value;

/// An object of a request. Its members have the model's types, so that what is asked for is there or absent.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a>(&'a Value);

impl<'a> Input<'a> {
    /// The object.
    pub fn new(value: &'a Value) -> Self {
        Self(value)
    }

    /// A string.
    pub fn text(self, key: &str) -> Option<&'a str> {
        self.0[key].as_str()
    }

    /// A string that the model requires.
    pub fn required(self, key: &str) -> &'a str {
        self.text(key).unwrap_or_default()
    }

    /// A number.
    pub fn number(self, key: &str) -> Option<u64> {
        self.0[key].as_u64()
    }

    /// A boolean; absent is false.
    pub fn flag(self, key: &str) -> bool {
        self.0[key].as_bool().unwrap_or_default()
    }

    /// An object below this one.
    pub fn part(self, key: &str) -> Option<Input<'a>> {
        self.0.get(key).filter(|it| it.is_object()).map(Input)
    }

    /// A list of objects.
    pub fn parts(self, key: &str) -> Option<Vec<Input<'a>>> {
        self.0[key].as_array().map(|it| it.iter().map(Input).collect())
    }

    /// A list of strings.
    pub fn texts(self, key: &str) -> Option<Vec<&'a str>> {
        self.0[key].as_array().map(|it| it.iter().filter_map(Value::as_str).collect())
    }

    /// The value as it came.
    pub fn value(self) -> &'a Value {
        self.0
    }
}
