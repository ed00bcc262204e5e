//! Configuration text -> values that know their place.
//!
//! TOML and JSON become the same tree, so that both are checked by the same readers and a problem always
//! names file, line and column. Readers add to [`Problems`] and go on: a run reports all of them at once.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

mod fields;
pub use fields::{Fields, Located, did_you_mean};

/// A place in a configuration file; prints as `app/Cargo.toml:12:3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as a person would name it: relative to the workspace's root where it lies inside.
    pub file: Arc<str>,
    /// The line, counted from 1; 0 stands for the file as a whole.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

impl Place {
    /// The file as a whole, for problems that no line is to blame for.
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

/// Something wrong in the configuration: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// What was found and what is allowed.
    pub message: String,
    /// What to type instead, where that is known.
    pub help: Option<String>,
}

/// The problems of a run, gathered by readers that do not stop at the first.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Adds a problem without advice.
    pub fn add(&self, place: &Place, message: impl Into<String>) {
        self.push(Problem { place: place.clone(), message: message.into(), help: None });
    }

    /// Adds a problem with what to do about it.
    pub fn add_with_help(&self, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        let help = Some(help.into());
        self.push(Problem { place: place.clone(), message: message.into(), help });
    }

    /// Adds a finished problem.
    pub fn push(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    /// All problems, in the order of files and lines; or none.
    pub fn into_result(self) -> Result<(), Vec<Problem>> {
        let mut problems = self.0.into_inner();
        problems.sort();
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value begins.
    pub place: Place,
    /// The value.
    pub value: Value,
}

/// What both TOML and JSON can say.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// JSON's `null`.
    Null,
    /// A boolean.
    Boolean(bool),
    /// A number, as it was written.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// A list.
    Array(Vec<Node>),
    /// A table or object, in the order of the file.
    Table(Vec<Entry>),
    /// A TOML date or time, which no key of ours takes.
    Datetime(String),
}

/// A key of a table, with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, unescaped.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// The value.
    pub node: Node,
}

impl Node {
    /// The value of `key`, if this is a table that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|it| it.key == key).map(|it| &it.node),
            _ => None,
        }
    }

    /// The value of a path of keys, such as `["package", "metadata", "ecr"]`.
    pub fn get_path(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// What a person would call the value: `a string`, `a table`.
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

    /// The value as JSON, without its places.
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

/// Parses TOML. The problem of a text that is none is the parser's own first one.
pub fn parse_toml(file: &str, text: &str) -> Result<Node, Problem> {
    let source = Source::new(file, text);
    let table = toml::de::DeTable::parse(text).map_err(|error| Problem {
        place: source.place(error.span().unwrap_or_default()),
        message: format!("not valid TOML: {}", error.message()),
        help: None,
    })?;
    Ok(Node { place: source.place(table.span()), value: source.toml_table(table.get_ref()) })
}

/// Parses JSON as RFC 8259 has it: no comments, no trailing commas, none of the other extensions.
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

/// The parser that knows places lets control characters and foreign white space pass; serde's does not.
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

struct Source<'a> {
    file: Arc<str>,
    text: &'a str,
    /// Where the lines begin.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    fn new(file: &str, text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { file: file.into(), text, lines: std::iter::once(0).chain(ends).collect() }
    }

    fn place(&self, span: Range<usize>) -> Place {
        let line = self.lines.partition_point(|it| *it <= span.start);
        let before = self.text.get(self.lines[line - 1]..span.start).unwrap_or_default();
        Place { file: self.file.clone(), line, column: before.chars().count() + 1 }
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
    fn toml_and_json_know_their_places() {
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
    fn extensions_of_json_are_refused_where_they_stand() {
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
