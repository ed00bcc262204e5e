//! The pages of the commands in `ecr/docs/commands`, which are made from `--help`: `UPDATE_EXPECT=1` writes them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use crate::docs::{commands, read, root};

/// The Markdown of one `--help`.
fn page(command: &str, help: &str) -> String {
    let mut page = format!(
        "<!-- Made from `--help` by ecr/tests/it/pages.rs. -->\n# cargo xtask {command}\n\n[All commands](../commands.md)\n\n"
    );
    let (about, rest) = help.split_once("\n\nUsage: ").unwrap();
    let (usage, rest) = rest.split_once('\n').unwrap();
    for paragraph in about.split("\n\n") {
        writeln!(page, "{}.\n", joined(paragraph).trim_end_matches('.')).unwrap();
    }
    writeln!(page, "```text\n{usage}\n```").unwrap();
    for (title, body) in sections(rest) {
        match title {
            "Exit codes" => {}
            "Examples" => {
                let lines = body.iter().map(|it| format!("$ {}\n", it.trim()));
                write!(page, "\n## {title}\n\n```console\n{}```\n", lines.collect::<String>()).unwrap();
            }
            _ => write!(page, "\n## {title}\n\n{}", entries(&body)).unwrap(),
        }
    }
    page
}

/// The parts of a help text below titles such as `Options:`, each with its lines.
fn sections(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        match line.strip_suffix(':').filter(|it| !it.starts_with(' ')) {
            Some(title) => sections.push((title, Vec::new())),
            None => sections.iter_mut().next_back().into_iter().for_each(|it| it.1.push(line)),
        }
    }
    for (_, lines) in &mut sections {
        while lines.last().is_some_and(|it| it.trim().is_empty()) {
            lines.pop();
        }
    }
    sections
}

/// A list of flags: the spelling of each, and its paragraphs.
fn entries(lines: &[&str]) -> String {
    let mut entries: Vec<(&str, Vec<Vec<&str>>)> = Vec::new();
    for line in lines {
        let text = line.strip_prefix("          ").unwrap_or_default().trim_end();
        match entries.last_mut() {
            _ if text.is_empty() && !line.trim().is_empty() => entries.push((line.trim(), vec![Vec::new()])),
            Some((_, paragraphs)) if text.is_empty() || text.starts_with("- ") => {
                paragraphs.push(vec![text]);
            }
            Some((_, paragraphs)) => {
                paragraphs.iter_mut().next_back().into_iter().for_each(|it| it.push(text))
            }
            None => {}
        }
    }
    entries.iter().map(|(spelling, paragraphs)| entry(spelling, paragraphs)).collect()
}

/// A flag as an item of a list.
fn entry(spelling: &str, paragraphs: &[Vec<&str>]) -> String {
    let texts = paragraphs.iter().map(|it| joined(&it.join(" "))).filter(|it| !it.is_empty());
    let texts = texts.enumerate().map(|(n, text)| match (n, text.starts_with("- ")) {
        (0, _) => format!(": {text}\n"),
        (_, true) => format!("  {text}\n"),
        _ => format!("\n  {text}\n"),
    });
    format!("- `{spelling}`{}", texts.collect::<String>())
}

/// A paragraph in one line.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn docs_pages_of_commands_are_those_of_the_help() {
    let folder = root().join("ecr/docs/commands");
    let commands = commands();
    let name = |command: &str| format!("{}.md", command.replace(' ', "-"));
    let wanted: BTreeMap<_, _> =
        commands.iter().map(|(command, help)| (name(command), page(command, help))).collect();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        wanted.iter().for_each(|(name, page)| fs::write(folder.join(name), page).unwrap());
    }
    let found: Vec<_> = fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path()).collect();
    let found: BTreeMap<_, _> =
        found.iter().map(|it| (it.file_name().unwrap().to_string_lossy().into_owned(), read(it))).collect();
    let differ: Vec<_> =
        wanted.iter().filter(|(name, page)| found.get(*name) != Some(page)).map(|it| it.0).collect();
    assert!(differ.is_empty(), "these differ from --help; UPDATE_EXPECT=1 writes them: {differ:?}");
    assert_eq!(found.len(), wanted.len(), "{:?}", found.keys());
    let index = read(&root().join("ecr/docs/commands.md"));
    let missing: Vec<_> = wanted.keys().filter(|it| !index.contains(&format!("](commands/{it})"))).collect();
    assert!(missing.is_empty(), "ecr/docs/commands.md does not lead to {missing:?}");
}
