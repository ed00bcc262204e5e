//! Rules of the source tree that Cargo.toml cannot express: these tests read the sources.

use std::path::{Path, PathBuf};

use crate::support::files_below;

/// Folders of pure code, which uses no file, environment, clock, network, process or terminal.
const CORE: [&str; 14] = [
    "crates/types/src",
    "crates/lifecycle/src",
    "crates/oci/src/image",
    "src/adoption",
    "src/config",
    "src/deployment",
    "src/plan",
    "src/promotion",
    "src/registry",
    "src/inventory",
    "src/scan",
    "src/signing.rs",
    "src/build/docker/ignore",
    "src/cli/report",
];
/// Files in those folders that read files, or help tests.
const EXCEPTIONS: [&str; 6] = [
    "src/adoption/look.rs",
    "src/config/reader.rs",
    "src/config/workspace.rs",
    "src/config/files.rs",
    "src/deployment/files.rs",
    "crates/types/src/property.rs",
];
/// Names that pure code does not contain.
const OUTSIDE: [&str; 14] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::os",
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

/// The commands: they call the modules that read files, ask the clock or talk to the terminal.
const COMMANDS: &str = "src/cli/commands/";
/// Names that commands do not contain.
const OUTSIDE_OF_COMMANDS: [&str; 14] = [
    "std::fs",
    "std::env",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "stdin()",
    "SystemTime",
    "std::time::Instant",
    "cargo_metadata",
    "aws_sdk",
    "aws_config",
    "hyper",
    "xshell",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files of all crates, tests and benchmarks among them, relative to `ecr/`.
fn rust_files() -> impl Iterator<Item = (String, PathBuf)> {
    let files = ["src", "crates", "tests"].into_iter().flat_map(|it| files_below(&root().join(it)));
    let named = |path: PathBuf| (path.strip_prefix(root()).unwrap().display().to_string(), path);
    files.map(named).filter(|(name, _)| name.ends_with(".rs"))
}

/// The sources of all crates.
fn sources() -> impl Iterator<Item = (String, PathBuf)> {
    rust_files().filter(|(name, _)| name.contains("src/"))
}

/// The lines of a file that are neither comments nor tests.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().enumerate().map(|(n, line)| (n + 1, line.trim().to_owned()));
    lines.filter(|(_, line)| !line.starts_with("//")).collect()
}

fn violations(is_checked: impl Fn(&str) -> bool, is_wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (name, path) in sources().filter(|(name, _)| is_checked(name) && !name.ends_with("tests.rs")) {
        let lines = code(&path).into_iter().filter(|(_, line)| is_wrong(line));
        found.extend(lines.map(|(n, line)| format!("{name}:{n}: {line}")));
    }
    found
}

#[test]
fn tidy_core_touches_no_outside_world() {
    let is_core = |name: &str| CORE.iter().any(|it| name.starts_with(it)) && !EXCEPTIONS.contains(&name);
    let found = violations(is_core, |line| OUTSIDE.iter().any(|it| line.contains(it)));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn tidy_commands_touch_the_outside_world_through_other_modules() {
    let is_command = |name: &str| name.starts_with(COMMANDS);
    let found = violations(is_command, |line| OUTSIDE_OF_COMMANDS.iter().any(|it| line.contains(it)));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn tidy_only_the_shell_prints() {
    let is_other = |name: &str| !name.starts_with("src/cli/shell/");
    let found = violations(is_other, |line| line.contains("println!(") || line.contains("print!("));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn tidy_files_are_small() {
    let long: Vec<_> = rust_files()
        .map(|(name, path)| (std::fs::read_to_string(path).unwrap().lines().count(), name))
        .filter(|(lines, _)| *lines > 420)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}
