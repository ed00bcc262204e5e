//! TOML and JSON text -> a tree of values with source positions.
//!
//! [`parse_toml`] and [`parse_json`] return the same type, [`Node`], so that [`Fields`] reads both formats and every
//! [`Problem`] has a file, a line and a column. Readers add to [`Problems`] and continue, so that one run reports all
//! mistakes.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

mod fields;
pub use fields::{Fields, Located, did_you_mean, duplicates};

/// A position in a configuration file. Displayed as `app/Cargo.toml:12:3`, or as the file alone if `line` is 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's name as it was passed to the parser, usually relative to the workspace's root.
    pub file: Arc<str>,
    /// The line, counted from 1; 0 means the file as a whole.
    pub line: usize,
    /// The column in characters, counted from 1; 0 if `line` is 0.
    pub column: usize,
}

impl Place {
    /// The file as a whole, for problems without a line.
    pub fn file(file: &str) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            _ => write!(f, "{}:{}:{}", self.file, self.line, self.column),
        }
    }
}

/// A mistake in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The position of the mistake.
    pub place: Place,
    /// What was found and what is allowed, in lower case and without a final period.
    pub message: String,
    /// A suggested correction, if there is one.
    pub help: Option<String>,
}

/// A list of problems. Readers add to it through a shared reference and do not stop at the first problem.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Adds a problem without a suggested correction.
    pub fn add(&self, place: &Place, message: impl Into<String>) {
        self.push(Problem { place: place.clone(), message: message.into(), help: None });
    }

    /// Adds a problem with a suggested correction.
    pub fn add_with_help(&self, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        let help = Some(help.into());
        self.push(Problem { place: place.clone(), message: message.into(), help });
    }

    /// Adds a problem.
    pub fn push(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    /// Ends the list.
    ///
    /// # Errors
    /// All problems, sorted by file, line and column, without duplicates; only if there is at least one.
    pub fn into_result(self) -> Result<(), Vec<Problem>> {
        let mut problems = self.0.into_inner();
        problems.sort();
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// A value of a document, with its position.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The position of the value's first character.
    pub place: Place,
    /// The value, with the nodes below it.
    pub value: Value,
}

/// A value of TOML or JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// JSON's `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number, in the notation of the document.
    Number(String),
    /// A string, with escape sequences decoded.
    String(String),
    /// A TOML or JSON array.
    Array(Vec<Node>),
    /// A TOML table or JSON object, its entries in the order of the file. JSON objects may have duplicate keys.
    Table(Vec<Entry>),
    /// A TOML date or time, as text. No key of this project accepts one.
    Datetime(String),
}

/// An entry of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, with escape sequences decoded.
    pub key: String,
    /// The position of the key's first character.
    pub place: Place,
    /// The key's value, with its own position.
    pub node: Node,
}

impl Node {
    /// The value of `key`; `None` if this is not a table or does not have the key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|it| it.key == key).map(|it| &it.node),
            _ => None,
        }
    }

    /// The value at a path of keys, such as `["package", "metadata", "ecr"]`; `None` if a key is absent.
    pub fn get_path(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The type of the value for messages, with its article: `a string`, `a table`.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Boolean(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
            Value::Datetime(_) => "a date",
        }
    }

    /// The value as JSON, without positions. TOML dates become strings.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Boolean(it) => Json::Bool(*it),
            Value::Number(it) => serde_json::from_str(it).unwrap_or_else(|_| Json::String(it.clone())),
            Value::String(it) | Value::Datetime(it) => Json::String(it.clone()),
            Value::Array(items) => items.iter().map(Node::to_json).collect(),
            Value::Table(entries) => entries.iter().map(|it| (it.key.clone(), it.node.to_json())).collect(),
        }
    }
}

/// Parses TOML 1.0. `file` is the name that positions have.
///
/// # Errors
/// The first syntax error, with the TOML parser's message.
pub fn parse_toml(file: &str, text: &str) -> Result<Node, Problem> {
    let source = Source::new(file, text);
    let table = toml::de::DeTable::parse(text).map_err(|error| Problem {
        place: source.place(error.span().unwrap_or_default()),
        message: format!("not valid TOML: {}", error.message()),
        help: None,
    })?;
    Ok(Node { place: source.place(table.span()), value: source.toml_table(table.get_ref()) })
}

/// Parses JSON as in RFC 8259: comments, trailing commas and other extensions are errors. `file` is the name that
/// positions have. Duplicate keys are kept; see [`Fields::new`].
///
/// # Errors
/// The first syntax error, or an empty text.
pub fn parse_json(file: &str, text: &str) -> Result<Node, Problem> {
    let source = Source::new(file, text);
    let parsed = jsonc_parser::parse_to_ast(text, &Default::default(), &STRICT);
    let parsed = parsed.map_err(|error| {
        let reason = error.kind().to_string();
        let range = error.range();
        Problem {
            place: source.place(range.start..range.end),
            message: format!("not valid JSON: {}", lower_first(&reason)),
            help: None,
        }
    })?;
    let value = parsed.value.ok_or_else(|| Problem {
        place: Place::file(file),
        message: "not valid JSON: the file is empty".to_owned(),
        help: None,
    })?;
    check_strictly(file, text)?;
    Ok(source.json(&value))
}

/// Rejects control characters in strings and Unicode white space, which `jsonc_parser` accepts and `serde_json` does not.
fn check_strictly(file: &str, text: &str) -> Result<(), Problem> {
    let strict = serde_json::from_str::<serde::de::IgnoredAny>(text);
    strict.map(drop).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.split_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason).to_owned();
        let place = Place { file: file.into(), line: error.line(), column: error.column().max(1) };
        Problem { place, message: format!("not valid JSON: {reason}"), help: None }
    })
}

const STRICT: jsonc_parser::ParseOptions = jsonc_parser::ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}

/// The number of characters that begin in a part of UTF-8.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|it| (**it & 0xC0) != 0x80).count()
}

struct Source<'a> {
    file: Arc<str>,
    text: &'a str,
    /// The byte offset of the beginning of each line.
    lines: Vec<usize>,
    /// The number of characters before each stride of [`STRIDE`] bytes, so that columns of a long line are cheap. Empty for
    /// ASCII, where each byte is a character.
    strides: Vec<usize>,
}

/// The number of bytes whose characters are counted for a column.
const STRIDE: usize = 256;

impl<'a> Source<'a> {
    fn new(file: &str, text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let others = if text.is_ascii() { "" } else { text };
        let strides = others.as_bytes().chunks(STRIDE).scan(0, |chars, stride| {
            let before = *chars;
            *chars += characters(stride);
            Some(before)
        });
        let strides = strides.collect();
        Self { file: file.into(), text, lines: std::iter::once(0).chain(ends).collect(), strides }
    }

    /// The number of characters that begin before a byte offset.
    fn characters_before(&self, at: usize) -> usize {
        let at = at.min(self.text.len());
        if self.strides.is_empty() {
            return at;
        }
        let stride = at / STRIDE;
        let before = self.strides.get(stride).copied();
        before.unwrap_or_default() + characters(&self.text.as_bytes()[stride * STRIDE..at])
    }

    fn place(&self, span: Range<usize>) -> Place {
        let line = self.lines.partition_point(|it| *it <= span.start);
        let before = self.characters_before(span.start) - self.characters_before(self.lines[line - 1]);
        Place { file: self.file.clone(), line, column: before + 1 }
    }

    fn toml_table(&self, table: &toml::de::DeTable<'_>) -> Value {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (
            &toml::Spanned<toml::de::DeString<'_>>,
            &toml::Spanned<toml::de::DeValue<'_>>,
        )| Entry {
            key: key.get_ref().to_string(),
            place: self.place(key.span()),
            node: self.toml(value),
        };
        Value::Table(entries.into_iter().map(entry).collect())
    }

    fn toml(&self, value: &toml::Spanned<toml::de::DeValue<'_>>) -> Node {
        use toml::de::DeValue;
        let place = self.place(value.span());
        let value = match value.get_ref() {
            DeValue::String(it) => Value::String(it.to_string()),
            DeValue::Integer(it) => Value::Number(it.to_string()),
            DeValue::Float(it) => Value::Number(it.to_string()),
            DeValue::Boolean(it) => Value::Boolean(*it),
            DeValue::Datetime(it) => Value::Datetime(it.to_string()),
            DeValue::Array(items) => Value::Array(items.iter().map(|it| self.toml(it)).collect()),
            DeValue::Table(table) => self.toml_table(table),
        };
        Node { place, value }
    }

    fn json(&self, value: &jsonc_parser::ast::Value<'_>) -> Node {
        use jsonc_parser::ast::Value as Json;
        let (range, value) = match value {
            Json::StringLit(it) => (it.range, Value::String(it.value.to_string())),
            Json::NumberLit(it) => (it.range, Value::Number(it.value.to_owned())),
            Json::BooleanLit(it) => (it.range, Value::Boolean(it.value)),
            Json::NullKeyword(it) => (it.range, Value::Null),
            Json::Array(it) => (it.range, Value::Array(it.elements.iter().map(|it| self.json(it)).collect())),
            Json::Object(it) => {
                (it.range, Value::Table(it.properties.iter().map(|it| self.json_entry(it)).collect()))
            }
        };
        Node { place: self.place(range.start..range.end), value }
    }

    fn json_entry(&self, property: &jsonc_parser::ast::ObjectProp<'_>) -> Entry {
        Entry {
            key: property.name.as_str().to_owned(),
            place: self.place(property.range.start..property.range.end),
            node: self.json(&property.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_has_the_same_shape_and_position_in_toml_and_json() {
        let toml = parse_toml("Cargo.toml", "[a]\n  b = { c = [1, \"ü\", true] }\n").unwrap();
        let list = toml.get_path(&["a", "b", "c"]).unwrap();
        assert_eq!(list.place.to_string(), "Cargo.toml:2:13");
        assert_eq!(list.to_json(), serde_json::json!([1, "ü", true]));

        let json = parse_json("r.json", "{\n \"a\": {\"b\": [1, \"ü\", true]}}").unwrap();
        let list = json.get_path(&["a", "b"]).unwrap();
        assert_eq!(list.place.to_string(), "r.json:2:13");
        assert_eq!(list.to_json(), serde_json::json!([1, "ü", true]));
    }

    #[test]
    fn places_in_a_long_line_count_characters() {
        for unit in ["a", "ü", "漢", "🦀"] {
            let (padding, n) = (unit.repeat(1000), 1000);
            let text = format!("{{\n\"{padding}\": [\"{padding}\", 1]}}");
            let node = parse_json("r.json", &text).unwrap();
            let Value::Array(items) = &node.get(&padding).unwrap().value else { panic!("no list") };
            let columns: Vec<_> = items.iter().map(|it| (it.place.line, it.place.column)).collect();
            assert_eq!(columns, [(2, n + 6), (2, 2 * n + 10)], "{unit}");
        }
    }

    #[test]
    fn parse_refuses_deep_nesting_at_once() {
        let deep = 100_000;
        for text in
            ["[".repeat(deep), format!("{}{}", "[".repeat(deep), "]".repeat(deep)), "{\"a\":".repeat(deep)]
        {
            let problem = parse_json("r.json", &text).unwrap_err();
            assert!(problem.message.starts_with("not valid JSON"), "{problem:?}");
        }
        for text in [
            format!("a = {}", "[".repeat(deep)),
            "a = {b = ".repeat(deep),
            format!("{} = 1", "a.".repeat(deep) + "b"),
        ] {
            assert!(parse_toml("x.toml", &text).is_err());
        }
    }

    #[test]
    fn parse_json_rejects_extensions_at_their_position() {
        let problem = |text| {
            let Problem { place, message, .. } = parse_json("r.json", text).unwrap_err();
            format!("{place}: {message}")
        };
        assert_eq!(
            problem("{\n  \"a\": 1,\n}"),
            "r.json:2:9: not valid JSON: trailing commas are not allowed"
        );
        assert!(problem("{ // hi\n}").contains("not allowed"));
        assert!(problem("{'a': 1}").contains("not allowed"));
        assert!(problem("").contains("empty"));
        assert!(problem("{\"a\": \"x\ny\"}").contains("control character"));
        assert!(problem("{\u{a0}\"a\": 1}").contains("not valid JSON"));
    }
}
