//! The texts of the documents: the length of sentences, and words that only we would know.

use crate::docs::{documents, prose, read};

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
