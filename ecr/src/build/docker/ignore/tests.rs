use std::collections::BTreeSet;

use serde::Deserialize;

use super::*;

/// `ecr/tests/dockerignore.json`: a tree of files, and what docker 28.2 leaves out of it for each text. The peer tests
/// give the same texts to docker.
#[derive(Deserialize)]
struct Table {
    tree: BTreeSet<String>,
    rows: Vec<Row>,
    refused: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    source: String,
    text: String,
    #[serde(default)]
    excluded: BTreeSet<String>,
}

fn table() -> Table {
    serde_json::from_str(include_str!("../../../../tests/dockerignore.json")).unwrap()
}

/// The files that a walk does not reach, or leaves out.
fn excluded(ignore: &DockerIgnore, tree: &BTreeSet<String>) -> BTreeSet<String> {
    tree.iter().filter(|it| !is_sent(ignore, it.as_bytes())).cloned().collect()
}

fn is_sent(ignore: &DockerIgnore, path: &[u8]) -> bool {
    let mut state = Ignored::default();
    for (at, _) in path.iter().enumerate().filter(|(_, it)| **it == b'/') {
        state = ignore.state(&path[..at], &state);
        if state.is_excluded && !ignore.has_exceptions_below(&path[..at]) {
            return false;
        }
    }
    !ignore.state(path, &state).is_excluded
}

#[test]
fn ignore_file_excludes_what_docker_leaves_out() {
    let table = table();
    assert!(table.rows.len() >= 50);
    let mut tree = table.tree;
    tree.insert(".dockerignore".to_owned());
    for row in table.rows {
        let ignore = DockerIgnore::parse(row.text.as_bytes()).unwrap();
        assert_eq!(excluded(&ignore, &tree), row.excluded, "{}: {:?}", row.source, row.text);
    }
}

#[test]
fn ignore_file_is_refused_where_docker_refuses_it() {
    for row in table().refused {
        assert!(DockerIgnore::parse(row.text.as_bytes()).is_err(), "{}: {:?}", row.source, row.text);
    }
    let error = |text: &[u8]| DockerIgnore::parse(text).unwrap_err().to_string();
    assert_eq!(
        error(b"docs\n  [ \n# [\n!\n"),
        "line 2: `[` is not a valid pattern; line 4: `!` is not a valid pattern"
    );
    assert!(error(b"\xff\xfed\0o\0").contains("UTF-16"));
}

#[test]
fn ignore_file_with_bytes_that_are_no_text() {
    let ignore = DockerIgnore::parse(b"caf\xe9\n*.m\xe9\n").unwrap();
    assert!(ignore.excludes(b"caf\xe9") && ignore.excludes(b"a.m\xe9"));
    assert!(!ignore.excludes(b"caf\xc3\xa9"));
}

#[test]
fn ignore_file_exceptions_win_over_the_exclusions_of_this_tool() {
    let ignore = |text: &str| {
        let own = ["target".to_owned(), "a[1]".to_owned()];
        DockerIgnore::parse(text.as_bytes()).unwrap().after_exclusions(&own)
    };
    assert!(ignore("").excludes(b"target/x") && ignore("!other").excludes(b"a[1]"));
    assert!(!ignore("").excludes(b"a1"));
    let one = ignore("!target/release/svc");
    assert!(one.excludes(b"target/release/other") && !one.excludes(b"target/release/svc"));
    assert!(one.has_exceptions_below(b"target/release") && !one.has_exceptions_below(b"target/debug"));
    // The Dockerfile is sent in any case; see `TrimBuildFilesFromExcludes` in docker/cli.
    let dockerfile = ignore("**/Dockerfile").with_exceptions(&["a[1]/Dockerfile", "kept"]);
    assert!(!dockerfile.excludes(b"a[1]/Dockerfile") && dockerfile.has_exceptions_below(b"a[1]"));
}
