//! Reading the keys of one table: every mistake is reported, and so is every unknown key.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use super::{Entry, Node, Place, Problems, Value};

/// A value read from a configuration file, with its position there.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// The position of the value's first character. For an entry of [`Fields::string_map`] it is that of the key.
    pub place: Place,
    /// The value, parsed.
    pub value: T,
}

impl<T> Located<T> {
    /// Applies `f` to the value and keeps the position.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Located<U> {
        Located { place: self.place, value: f(self.value) }
    }
}

/// Reads the keys of one table.
///
/// Each reading method returns `None` if the key is absent. A value of the wrong type is reported to [`Problems`] and is
/// `None`, too. [`Fields::finish`] reports the keys that were never read.
///
/// ```
/// use ecr_types::document::{Fields, Problems, parse_toml};
///
/// let node = parse_toml("ecr.toml", "name = 'my-app'\nscan = 'yes'\n").map_err(|it| it.message)?;
/// let problems = Problems::default();
/// let mut fields = Fields::new(&node, "the file", &problems);
/// assert_eq!(fields.string("name").map(|it| it.value).as_deref(), Some("my-app"));
/// assert_eq!(fields.boolean("scan"), None);
/// fields.finish();
/// let problems = problems.into_result().unwrap_err();
/// assert_eq!(problems[0].place.to_string(), "ecr.toml:2:8");
/// assert_eq!(problems[0].message, "`scan` must be true or false, found a string");
/// # Ok::<(), String>(())
/// ```
pub struct Fields<'a> {
    title: String,
    place: &'a Place,
    entries: &'a [Entry],
    known: Vec<&'static str>,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// A reader of `node`. Messages call the table `title`, such as `the file`.
    ///
    /// Duplicate keys are reported here. A node that is not a table is reported and treated as an empty table.
    pub fn new(node: &'a Node, title: impl Into<String>, problems: &'a Problems) -> Self {
        let title = title.into();
        let entries = match &node.value {
            Value::Table(entries) => entries.as_slice(),
            _ => {
                problems.add(&node.place, format!("{title} must be a table, found {}", node.kind()));
                &[]
            }
        };
        for entry in duplicates(entries) {
            problems.add(&entry.place, format!("duplicate key `{}` in {title}", entry.key));
        }
        Self { title, place: &node.place, entries, known: Vec::new(), problems }
    }

    /// The list of problems that the readers report to, for further checks by the caller.
    pub fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// The position at which the table begins.
    pub fn place(&self) -> &'a Place {
        self.place
    }

    /// The value of `key`, of any type. The first one counts if the key is duplicated.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.iter().find(|it| it.key == key).map(|it| &it.node)
    }

    /// A reader of the table at `key`.
    pub fn fields(&mut self, key: &'static str) -> Option<Fields<'a>> {
        let title = format!("`{key}`");
        let problems = self.problems;
        self.node(key).map(|node| Fields::new(node, title, problems))
    }

    /// The string at `key`, unescaped.
    pub fn string(&mut self, key: &'static str) -> Option<Located<String>> {
        let node = self.node(key)?;
        string(node, key, self.problems)
    }

    /// The string at `key`, parsed as `T`. A parse error is reported with its own message.
    pub fn parsed<T: FromStr>(&mut self, key: &'static str) -> Option<Located<T>>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.string(key)?;
        parsed(text, self.problems)
    }

    /// The boolean at `key`.
    pub fn boolean(&mut self, key: &'static str) -> Option<Located<bool>> {
        let node = self.node(key)?;
        match node.value {
            Value::Boolean(value) => Some(Located { place: node.place.clone(), value }),
            _ => self.wrong_type(node, key, "true or false"),
        }
    }

    /// The number at `key`, parsed as `T` from its notation. A parse error is reported with its own message.
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

    /// The list at `key`, each element read by `read`. Elements for which `read` returns `None` are left out.
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

    /// The list of strings at `key`. Elements of another type are reported and left out.
    pub fn strings(&mut self, key: &'static str) -> Option<Located<Vec<Located<String>>>> {
        self.list(key, |node, problems| match &node.value {
            Value::String(value) => Some(Located { place: node.place.clone(), value: value.clone() }),
            _ => wrong_type(node, key, "a list of strings", problems),
        })
    }

    /// The table of strings at `key`, such as resource tags, with the position of each key. Empty if the key is absent.
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

    /// Reports the keys that were never read as unknown, with the most similar known key as a suggestion.
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

/// The entries whose key an earlier entry has.
pub fn duplicates(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    let mut seen = BTreeSet::new();
    entries.iter().filter(move |it| !seen.insert(it.key.as_str()))
}

/// The candidate that is most similar to `word`, as cargo and rustc suggest corrections; `None` if none is similar.
///
/// The measure is the Damerau-Levenshtein distance, without regard to case, `-` and `_`. A distance of up to a third of
/// the word's length is accepted.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The cost is the product of the lengths.
    if word.len() > MAX_SIMILAR {
        return None;
    }
    let folded = fold(word);
    let distance = |it: &&str| strsim::damerau_levenshtein(&folded, &fold(it));
    let best = candidates.into_iter().min_by_key(distance)?;
    (distance(&best) <= (word.len().max(3) / 3)).then_some(best)
}

/// The number of bytes of the longest word for which a correction is looked for.
const MAX_SIMILAR: usize = 200;

/// The word in lower case and without `-` and `_`, so that `imageTag`, `image-tag` and `image_tag` are equal.
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
    fn fields_report_all_mistakes_of_a_table() {
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
                "x.json:1:46: duplicate key `list` in the file / -",
            ]
        );
    }

    /// Reads a table of `n` unknown keys, half of them twice where the format allows that.
    fn read_unknown(n: usize, is_toml: bool) -> usize {
        let key = |it: usize| format!("unknown-{it}");
        let node = if is_toml {
            let lines: Vec<_> = (0..n).map(|it| format!("{} = 1", key(it))).collect();
            super::super::parse_toml("x.toml", &lines.join("\n"))
        } else {
            // In one line, so that a column is far from the beginning of its line.
            let entries: Vec<_> = (0..n).map(|it| format!("\"{}\": 1", key(it % (n / 2)))).collect();
            parse_json("x.json", &format!("{{{}}}", entries.join(",")))
        };
        let (node, problems) = (node.unwrap(), Problems::default());
        let mut fields = Fields::new(&node, "the file", &problems);
        fields.string("name");
        fields.finish();
        problems.into_result().unwrap_err().len()
    }

    #[test]
    fn cost_of_unknown_keys_is_linear() {
        for is_toml in [true, false] {
            let cost = |n: usize| {
                let began = std::time::Instant::now();
                assert!(read_unknown(n, is_toml) >= n);
                began.elapsed()
            };
            // Linear is 8 times as much, quadratic 64 times. Other work on the machine may slow one of them down, and not each time.
            let is_linear = || cost(8000) < cost(1000) * 32;
            assert!((0..5).any(|_| is_linear()), "8,000 unknown keys cost over 32 times as much as 1,000");
        }
        let long = "x".repeat(10_000_000);
        assert_eq!(did_you_mean(&long, ["name"]), None);
    }

    #[test]
    fn did_you_mean_suggests_similar_words_only() {
        let keys = ["image-tag-mutability", "scan-on-push", "tags"];
        assert_eq!(did_you_mean("imageTagMutability", keys), Some("image-tag-mutability"));
        assert_eq!(did_you_mean("scan-on-psh", keys), Some("scan-on-push"));
        assert_eq!(did_you_mean("colour", keys), None);
    }
}
