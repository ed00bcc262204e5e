//! The README and the documents: their links lead somewhere, and they tell of all commands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::Workspace;

/// The root of this repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Markdown files of a folder.
fn pages(folder: &str) -> impl Iterator<Item = PathBuf> {
    let pages = std::fs::read_dir(root().join(folder)).unwrap().map(|it| it.unwrap().path());
    pages.filter(|it| it.extension().is_some_and(|it| it == "md"))
}

/// The documents for readers that are written by hand.
pub fn documents() -> Vec<PathBuf> {
    let others = ["README.md", ".github/CONTRIBUTING.md"].map(|it| root().join(it));
    pages("ecr/docs").filter(|it| !it.ends_with("SUMMARY.md")).chain(others).collect()
}

/// The lines of a document that are not code.
pub fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The targets of the links of a document.
fn links(text: &str) -> Vec<String> {
    let parts = prose(text).flat_map(|line| line.split("](").skip(1));
    parts.filter_map(|it| Some(it.split_once(')')?.0.to_owned())).collect()
}

/// The anchors of the headings of a document, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text)
        .filter_map(|it| it.trim_start_matches('#').strip_prefix(' ').filter(|_| it.starts_with('#')));
    let anchor = |heading: &str| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|it| it.is_alphanumeric() || matches!(it, '-' | '_')).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn docs_links_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents().into_iter().chain(pages("ecr/docs/commands")) {
        for link in links(&read(&document)) {
            if link.starts_with("http") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target =
                if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            let is_there = target.exists() && (anchor.is_empty() || anchors(&read(&target)).contains(anchor));
            if !is_there {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn docs_readme_is_short_and_leads_to_each_page() {
    let readme = read(&root().join("README.md"));
    assert!(readme.lines().count() <= 150, "{} lines", readme.lines().count());
    let linked: BTreeSet<_> = links(&readme).into_iter().collect();
    for page in documents() {
        let name = page.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        assert!(name == "README.md" || linked.contains(&name), "the README does not lead to {name}");
    }
}

/// The commands that the help lists, with their flags.
pub fn commands() -> Vec<(String, String)> {
    let workspace = Workspace::new();
    let help = |words: &[&str]| {
        let args: Vec<_> = words.iter().copied().chain(["--help"]).collect();
        workspace.command(&args).run().good().stdout
    };
    let below = |words: &[&str]| -> Vec<String> {
        let help = help(words);
        let list = help.split_once("\nCommands:\n").unwrap().1.split_once("\n\n").unwrap().0.to_owned();
        let names = list.lines().filter_map(|it| it.strip_prefix("  ")?.split_whitespace().next());
        let is_name = |it: &&str| it.starts_with(|c: char| c.is_ascii_lowercase()) && *it != "help";
        names.filter(is_name).map(str::to_owned).collect()
    };
    let mut paths: Vec<Vec<String>> = below(&[]).into_iter().map(|it| vec![it]).collect();
    for parent in [&["ecr"][..], &["ecr", "lifecycle"]] {
        let parent: Vec<String> = parent.iter().map(|it| (*it).to_owned()).collect();
        paths.retain(|it| *it != parent);
        let words: Vec<_> = parent.iter().map(String::as_str).collect();
        paths.extend(below(&words).into_iter().map(|it| [parent.clone(), vec![it]].concat()));
    }
    let text = |it: &Vec<String>| help(&it.iter().map(String::as_str).collect::<Vec<_>>());
    paths.iter().map(|it| (it.join(" "), text(it))).collect()
}

#[test]
fn docs_book_has_each_page_once() {
    let folder = root().join("ecr/docs");
    let mut listed = links(&read(&folder.join("SUMMARY.md")));
    let all = pages("ecr/docs").filter(|it| !it.ends_with("SUMMARY.md")).chain(pages("ecr/docs/commands"));
    let mut all: Vec<_> =
        all.map(|it| it.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned()).collect();
    listed.sort();
    all.sort();
    assert_eq!(listed, all);
}
