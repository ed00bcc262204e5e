//! Reading a table key by key, with every mistake reported and every key accounted for.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{Entry, Node, Place, Problems, Value};

/// A value and the place that it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// Where it stands.
    pub place: Place,
    /// What stands there.
    pub value: T,
}

impl<T> Located<T> {
    /// The same place with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Located<U> {
        Located { place: self.place, value: f(self.value) }
    }
}

/// The keys of one table. Each reader takes its key; what no reader took is reported by [`Fields::finish`].
pub struct Fields<'a> {
    title: String,
    place: &'a Place,
    entries: &'a [Entry],
    known: Vec<&'static str>,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// The fields of `node`, called `title` in messages. A node that is no table is reported and has none.
    pub fn new(node: &'a Node, title: impl Into<String>, problems: &'a Problems) -> Self {
        let title = title.into();
        let entries = match &node.value {
            Value::Table(entries) => entries.as_slice(),
            _ => {
                problems.add(&node.place, format!("{title} must be a table, found {}", node.kind()));
                &[]
            }
        };
        for (n, entry) in entries.iter().enumerate() {
            if entries[..n].iter().any(|earlier| earlier.key == entry.key) {
                problems.add(&entry.place, format!("key `{}` stands twice in {title}", entry.key));
            }
        }
        Self { title, place: &node.place, entries, known: Vec::new(), problems }
    }

    /// Where mistakes go that the readers here do not find.
    pub fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// Where the table begins.
    pub fn place(&self) -> &'a Place {
        self.place
    }

    /// The node of `key`, whatever it is.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.iter().find(|it| it.key == key).map(|it| &it.node)
    }

    /// A table below this one.
    pub fn fields(&mut self, key: &'static str) -> Option<Fields<'a>> {
        let title = format!("`{key}`");
        let problems = self.problems;
        self.node(key).map(|node| Fields::new(node, title, problems))
    }

    /// A string.
    pub fn string(&mut self, key: &'static str) -> Option<Located<String>> {
        let node = self.node(key)?;
        string(node, key, self.problems)
    }

    /// A string that parses as `T`; the parser's error is the message.
    pub fn parsed<T: FromStr>(&mut self, key: &'static str) -> Option<Located<T>>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.string(key)?;
        parsed(text, self.problems)
    }

    /// A boolean.
    pub fn boolean(&mut self, key: &'static str) -> Option<Located<bool>> {
        let node = self.node(key)?;
        match node.value {
            Value::Boolean(value) => Some(Located { place: node.place.clone(), value }),
            _ => self.wrong_type(node, key, "true or false"),
        }
    }

    /// A number that parses as `T`; the parser's error is the message.
    pub fn number<T: FromStr>(&mut self, key: &'static str) -> Option<Located<T>>
    where
        T::Err: std::fmt::Display,
    {
        let node = self.node(key)?;
        match &node.value {
            Value::Number(text) => {
                parsed(Located { place: node.place.clone(), value: text.clone() }, self.problems)
            }
            _ => self.wrong_type(node, key, "a number"),
        }
    }

    /// A list, each element read by `read`.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&'a Node, &'a Problems) -> Option<T>,
    ) -> Option<Located<Vec<T>>> {
        let node = self.node(key)?;
        let problems = self.problems;
        match &node.value {
            Value::Array(items) => {
                let value = items.iter().filter_map(|it| read(it, problems)).collect();
                Some(Located { place: node.place.clone(), value })
            }
            _ => self.wrong_type(node, key, "a list"),
        }
    }

    /// A list of strings.
    pub fn strings(&mut self, key: &'static str) -> Option<Located<Vec<Located<String>>>> {
        self.list(key, |node, problems| match &node.value {
            Value::String(value) => Some(Located { place: node.place.clone(), value: value.clone() }),
            _ => wrong_type(node, key, "a list of strings", problems),
        })
    }

    /// A table of strings, such as resource tags; the places are those of the keys.
    pub fn string_map(&mut self, key: &'static str) -> BTreeMap<String, Located<String>> {
        let Some(node) = self.node(key) else { return BTreeMap::new() };
        let Value::Table(entries) = &node.value else {
            self.wrong_type::<()>(node, key, "a table of strings");
            return BTreeMap::new();
        };
        let problems = self.problems;
        let read = |entry: &Entry| {
            let value = string(&entry.node, &entry.key, problems)?;
            Some((entry.key.clone(), Located { place: entry.place.clone(), value: value.value }))
        };
        entries.iter().filter_map(read).collect()
    }

    /// Reports the keys that no reader asked for.
    pub fn finish(self) {
        for entry in self.entries.iter().filter(|it| !self.known.contains(&it.key.as_str())) {
            let message = format!("unknown key `{}` in {}", entry.key, self.title);
            let help = match did_you_mean(&entry.key, self.known.iter().copied()) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => format!("the keys are {}", quoted(&self.known)),
            };
            self.problems.add_with_help(&entry.place, message, help);
        }
    }

    fn wrong_type<T>(&self, node: &Node, key: &str, wanted: &str) -> Option<T> {
        wrong_type(node, key, wanted, self.problems)
    }
}

fn string(node: &Node, key: &str, problems: &Problems) -> Option<Located<String>> {
    match &node.value {
        Value::String(value) => Some(Located { place: node.place.clone(), value: value.clone() }),
        _ => wrong_type(node, key, "a string", problems),
    }
}

fn parsed<T: FromStr>(text: Located<String>, problems: &Problems) -> Option<Located<T>>
where
    T::Err: std::fmt::Display,
{
    match text.value.parse() {
        Ok(value) => Some(Located { place: text.place, value }),
        Err(error) => {
            problems.add(&text.place, error.to_string());
            None
        }
    }
}

fn wrong_type<T>(node: &Node, key: &str, wanted: &str, problems: &Problems) -> Option<T> {
    problems.add(&node.place, format!("`{key}` must be {wanted}, found {}", node.kind()));
    None
}

/// The candidate that `word` was most likely meant to be, as cargo and rustc guess it; `None` if none is near.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(word);
    let distance = |it: &&str| strsim::damerau_levenshtein(&folded, &fold(it));
    let best = candidates.into_iter().min_by_key(distance)?;
    (distance(&best) <= (word.len().max(3) / 3)).then_some(best)
}

/// Spellings that differ only in case or in `-` and `_` are the same word to a person.
fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::parse_json;
    use super::*;

    #[test]
    fn all_mistakes_of_a_table_are_reported() {
        let node =
            parse_json("x.json", r#"{"nmae": 1, "flag": "yes", "list": [1, "a"], "list": []}"#).unwrap();
        let problems = Problems::default();
        let mut fields = Fields::new(&node, "the file", &problems);
        assert!(fields.string("name").is_none());
        assert!(fields.boolean("flag").is_none());
        assert_eq!(fields.strings("list").unwrap().value.len(), 1);
        fields.finish();
        let problems = problems.into_result().unwrap_err();
        let lines: Vec<_> = problems
            .iter()
            .map(|it| format!("{}: {} / {}", it.place, it.message, it.help.as_deref().unwrap_or("-")))
            .collect();
        assert_eq!(
            lines,
            [
                "x.json:1:2: unknown key `nmae` in the file / did you mean `name`?",
                "x.json:1:21: `flag` must be true or false, found a string / -",
                "x.json:1:37: `list` must be a list of strings, found a number / -",
                "x.json:1:46: key `list` stands twice in the file / -",
            ]
        );
    }

    #[test]
    fn guesses_are_near_or_none() {
        let keys = ["image-tag-mutability", "scan-on-push", "tags"];
        assert_eq!(did_you_mean("imageTagMutability", keys), Some("image-tag-mutability"));
        assert_eq!(did_you_mean("scan-on-psh", keys), Some("scan-on-push"));
        assert_eq!(did_you_mean("colour", keys), None);
    }
}
