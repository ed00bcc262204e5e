//! The rules of the tree, held by reading it.

use std::path::{Path, PathBuf};

use crate::support::files_below;

/// Modules of values and functions, with what is below them.
const CORE: [&str; 18] = [
    "advice",
    "definitions",
    "desired",
    "iam",
    "image",
    "inventory",
    "lifecycle",
    "metadata",
    "name",
    "observed",
    "plan",
    "report",
    "scan",
    "settings",
    "source",
    "error",
    "table",
    "words",
];
/// Modules with one outside world each.
const EDGES: [&str; 12] = [
    "aws",
    "compile",
    "distribution",
    "docker",
    "git",
    "github",
    "ineffective",
    "layers",
    "layout",
    "local",
    "shell",
    "workspace",
];
/// What edges share.
const BELOW: [&str; 2] = ["files", "http"];
/// What belongs to an outside world.
const OUTSIDE: [&str; 16] = [
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::os",
    "std::time::SystemTime",
    "SystemTime::now",
    "Instant::now",
    "tokio",
    "aws_",
    "xshell",
    "hyper",
    "anstream",
    "println!",
    "eprintln!",
    "cargo_metadata",
];

fn sources() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let named = |path: PathBuf| (path.strip_prefix(&root).unwrap().display().to_string(), path.clone());
    files_below(&root).into_iter().map(named).filter(|(name, _)| name.ends_with(".rs")).collect()
}

fn module_of(name: &str) -> &str {
    name.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The lines of a file that are neither comments nor tests.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().enumerate().map(|(n, line)| (n + 1, line.trim().to_owned()));
    lines.filter(|(_, line)| !line.starts_with("//")).collect()
}

fn violations(is_checked: impl Fn(&str) -> bool, is_wrong: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let files =
        sources().into_iter().filter(|(name, _)| is_checked(module_of(name)) && !name.ends_with("tests.rs"));
    let mut found = Vec::new();
    for (name, path) in files {
        for (n, line) in code(&path) {
            if is_wrong(module_of(&name), &line) {
                found.push(format!("{name}:{n}: {line}"));
            }
        }
    }
    found
}

#[test]
fn every_module_is_core_edge_or_command() {
    let above = ["lib", "flags", "commands", "bin"];
    let all: Vec<_> = CORE.iter().chain(&EDGES).chain(&BELOW).chain(&above).collect();
    let known = |name: &str| all.contains(&&name);
    let unknown: Vec<_> =
        sources().into_iter().map(|(name, _)| name).filter(|it| !known(module_of(it))).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn core_touches_no_outside_world() {
    let found =
        violations(|module| CORE.contains(&module), |_, line| OUTSIDE.iter().any(|it| line.contains(it)));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn core_does_not_know_the_edges() {
    let above = ["flags", "commands"];
    let found = violations(
        |module| CORE.contains(&module),
        |_, line| EDGES.iter().chain(&BELOW).chain(&above).any(|it| line.contains(&format!("crate::{it}"))),
    );
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn edges_do_not_know_one_another() {
    let found = violations(
        |module| EDGES.contains(&module),
        |own, line| {
            let others = EDGES.iter().filter(|it| **it != own).chain(&["flags", "commands"]);
            others.into_iter().any(|it| line.contains(&format!("crate::{it}::")))
        },
    );
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn only_the_shell_prints() {
    let found = violations(
        |module| module != "shell",
        |_, line| line.contains("println!(") || line.contains("print!("),
    );
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn files_are_small() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(name, path)| (std::fs::read_to_string(path).unwrap().lines().count(), name))
        .filter(|(lines, _)| *lines > 420)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}
