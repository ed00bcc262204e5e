//! The texts of the documents: the keys of the configuration, the length of sentences, and words that only we would know.

use std::collections::BTreeSet;

use crate::docs::{documents, prose, read, root};
use crate::support::Workspace;

/// The tables of `ecr/docs/keys.md` in the order in which the tool reports them: the heading of each.
const TABLES: [&str; 9] = [
    "[workspace.metadata.ecr]",
    "[workspace.metadata.ecr.environments.NAME]",
    "[workspace.metadata.ecr.registry]",
    "[workspace.metadata.ecr.image]",
    "[package.metadata.ecr]",
    "[package.metadata.ecr.image]",
    "[package.metadata.ecr.services.NAME]",
    "ecr/repositories.json",
    "repositories[]",
];
/// A key that is like no other, so that the error lists all.
const UNKNOWN: &str = "qqqqqqqq = 1\n";

/// The keys of each table that the tool reads, as its errors list them.
fn keys_that_are_read() -> Vec<BTreeSet<String>> {
    let [environments, registry, image] = ["environments.prod", "registry", "image"]
        .map(|it| format!("[workspace.metadata.ecr.{it}]\n{UNKNOWN}"));
    let workspace = Workspace::new().metadata(&[UNKNOWN, &environments, &registry, &image].concat());
    let [image, services] =
        ["image", "services.api"].map(|it| format!("[package.metadata.ecr.{it}]\n{UNKNOWN}"));
    let workspace = workspace.service("api", &[UNKNOWN, &image, &services].concat());
    workspace.file(
        "ecr/repositories.json",
        r#"{"qqqqqqqq": 1, "repositories": [{"name": "data", "qqqqqqqq": 1}]}"#,
    );
    let stderr = workspace.command(&["ecr", "plan", "--local"]).run().stderr;
    let lists = stderr.lines().filter_map(|it| it.split_once("the keys are ")).map(|it| it.1);
    lists.map(|it| it.split(", ").map(|it| it.trim_matches('`').to_owned()).collect()).collect()
}

#[test]
fn docs_keys_are_exactly_those_that_are_read() {
    let page = read(&root().join("ecr/docs/keys.md"));
    let read = keys_that_are_read();
    assert_eq!(read.len(), TABLES.len(), "{read:#?}");
    assert_eq!(page.matches("\n## ").count(), TABLES.len());
    for (table, wanted) in TABLES.iter().zip(read) {
        let (_, section) =
            page.split_once(&format!("\n## `{table}`\n")).unwrap_or_else(|| panic!("{table} is missing"));
        let section = section.split("\n## ").next().unwrap();
        let rows =
            section.lines().filter_map(|it| Some(it.strip_prefix("| `")?.split_once('`')?.0.to_owned()));
        let rows: Vec<_> = rows.collect();
        let found: BTreeSet<_> = rows.iter().cloned().collect();
        assert_eq!(found, wanted, "{table}");
        assert_eq!(found.len(), rows.len(), "{table} has a row twice");
    }
}

/// The longest sentence, in words. A code span is one word.
const LONGEST: usize = 35;

/// The paragraphs, items of lists and cells of tables of a document.
fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    for line in prose(text).map(str::trim) {
        let is_item =
            line.starts_with("- ") || line.split_once(". ").is_some_and(|it| it.0.parse::<u8>().is_ok());
        if line.is_empty() || line.starts_with('#') || line.starts_with('|') || is_item {
            paragraphs.push(String::new());
        }
        if line.starts_with('|') {
            paragraphs.extend(line.split('|').map(str::to_owned));
        } else if !line.starts_with('#') {
            let last = paragraphs.last_mut().unwrap();
            *last = format!("{last} {line}");
        }
    }
    paragraphs
}

/// The sentences of a paragraph. Code spans and targets of links are one word.
fn sentences(paragraph: &str) -> Vec<String> {
    let spans = paragraph.split('`').enumerate().map(|(n, it)| if n % 2 == 0 { it } else { "X" });
    let text: String = spans.collect();
    let text = text.split("](").enumerate().map(|(n, it)| match it.split_once(')') {
        Some((_, rest)) if n > 0 => rest.to_owned(),
        _ => it.to_owned(),
    });
    let words: Vec<String> =
        text.collect::<Vec<_>>().concat().split_whitespace().map(str::to_owned).collect();
    let is_end = |it: &String| it.trim_end_matches([')', '"', '*', ']']).ends_with(['.', '!', '?', ':']);
    words.split_inclusive(is_end).map(|it| it.join(" ")).collect()
}

#[test]
fn docs_sentences_are_short() {
    let mut long = Vec::new();
    for document in documents() {
        for sentence in paragraphs(&read(&document)).iter().flat_map(|it| sentences(it)) {
            let words = sentence.split(' ').count();
            if words > LONGEST {
                long.push(format!("{}: {words} words: {sentence}", document.file_name().unwrap().display()));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

/// Words that stand for something only where this project is made, each with what a reader would say.
const PRIVATE: [(&str, &str); 9] = [
    ("seed scripts", "the article's scripts"),
    ("the judge", "the test"),
    ("fixture registry", "the embedded ECR"),
    ("room", "module"),
    ("the farm", "the build machine"),
    ("drift guard", "`plan --check`"),
    ("happy path", "the case without errors"),
    ("world", "account or registry"),
    ("twin", "the embedded ECR"),
];

#[test]
fn docs_have_no_private_words() {
    let mut found = Vec::new();
    for document in documents() {
        let text = prose(&read(&document)).collect::<Vec<_>>().join(" ").to_lowercase();
        let words: Vec<_> = text.split(|c: char| !c.is_alphanumeric()).filter(|it| !it.is_empty()).collect();
        let text = format!(" {} ", words.join(" "));
        let private = PRIVATE.iter().filter(|(word, _)| text.contains(&format!(" {word} ")));
        found.extend(
            private.map(|(word, instead)| format!("{}: \"{word}\"; say {instead}", document.display())),
        );
    }
    assert!(found.is_empty(), "{found:#?}");
}
