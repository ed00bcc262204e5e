//! `push --since`, `--list` and `--explain`: what is built, and what becomes of the rest.

use std::collections::BTreeMap;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Fixture, Output, Workspace};

const LIBRARY: &str = "pub fn text() -> &'static str { include_str!(\"../../texts/hello.txt\") }\n";
const DEPENDENCY: &str = "[dependencies]\nlibrary = { path = \"../library\" }\n";

fn service(workspace: &mut Workspace, name: &str, more: &str, source: &str) {
    workspace.add_member(name);
    let head = format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
    workspace.file(&format!("{name}/Cargo.toml"), head + more);
    workspace
        .file(&format!("{name}/src/main.rs"), format!("fn main() {{ println!(\"{{}}\", {source}); }}\n"));
}

/// Two services with a library, and one without.
fn workspace() -> Workspace {
    let mut it = Workspace::new();
    it.add_member("library");
    it.file("library/Cargo.toml", "[package]\nname = \"library\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
    it.file("library/src/lib.rs", LIBRARY);
    it.file("texts/hello.txt", "hello\n");
    let tags = "[package.metadata.ecr.image]\ntags = [\"{version}\", \"{git-sha}\"]\n";
    service(&mut it, "api", &format!("{DEPENDENCY}{tags}"), "library::text()");
    service(&mut it, "job", &format!("{DEPENDENCY}{tags}"), "library::text()");
    let own = format!("[package.metadata.ecr]\naffected-by = [\"../schemas/**\"]\n{tags}");
    service(&mut it, "web", &own, "1");
    it
}

/// A registry to which the first commit was pushed.
fn pushed() -> Fixture {
    let fixture = workspace().start().created();
    fixture.workspace.git_init();
    fixture.run(&["push", "--profile", "dev"]).good();
    fixture.registry.calls();
    fixture
}

fn commit(fixture: &Fixture) {
    fixture.workspace.git(&["add", "."]);
    fixture.workspace.git(&["commit", "--quiet", "--message", "Next"]);
}

fn push(fixture: &Fixture, args: &[&str]) -> Output {
    fixture.run(&[&["push", "--profile", "dev"], args].concat())
}

/// The outcomes by package.
fn outcomes(output: &Output) -> BTreeMap<String, String> {
    let report = output.json_with(0);
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let images = report["images"].as_array().unwrap().iter();
    images.map(|it| (text(&it["package"]), text(&it["outcome"]))).collect()
}

/// The services that a change affects, and the first reason of each.
fn listed(workspace: &Workspace, args: &[&str]) -> Vec<(String, String)> {
    let args = [&["push", "--profile", "dev", "--list", "--format", "json"], args].concat();
    let report = workspace.command(&args).run().json_with(0);
    let services = report["services"].as_array().unwrap().iter().filter(|it| it["affected"] == true);
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    services.map(|it| (text(&it["service"]), text(&it["reasons"][0]))).collect()
}

#[test]
fn since_builds_what_has_changed_and_tags_the_rest() {
    let fixture = pushed();
    fixture.workspace.file("web/src/main.rs", "fn main() { println!(\"changed\"); }\n");
    commit(&fixture);
    let output = push(&fixture, &["--since", "HEAD~1", "-t", "{git-sha}", "--format", "json"]);
    let wanted = [("api", "unaffected"), ("job", "unaffected"), ("web", "pushed")];
    assert_eq!(outcomes(&output), wanted.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    let report = output.json();
    let first = &report["images"][0];
    assert!(first["reference"].as_str().unwrap().contains("/api@sha256:"), "{first}");
    // One tag names the whole set, and no byte of the others was sent.
    let calls = fixture.registry.calls();
    assert_eq!(calls["PutImage"], 3, "{calls:?}");
    let again = push(&fixture, &["--since", "HEAD~1", "-t", "{git-sha}", "--format", "json"]);
    assert_eq!(outcomes(&again)["api"], "unaffected");
    assert_eq!(fixture.registry.calls().get("PutImage"), None);
}

#[test]
fn since_says_why() {
    let fixture = pushed();
    fixture.workspace.file("texts/hello.txt", "changed\n");
    commit(&fixture);
    let output =
        push(&fixture, &["--since", "HEAD~1", "--explain", "-t", "{git-sha}", "--image-refs", "refs.txt"]);
    let lines: Vec<_> = output.stderr.lines().filter(|it| it.contains("ffected")).map(str::trim).collect();
    assert_eq!(lines[0], "Affected api: texts/hello.txt was changed", "{output:#?}");
    assert_eq!(lines[1], "Affected job: texts/hello.txt was changed");
    assert!(lines[2].starts_with("Unaffected web "), "{lines:?}");
    assert!(
        lines[3].ends_with("3 images, 2 pushed, 1 unaffected in [TIME]") || lines[3].contains("1 unaffected"),
        "{lines:?}"
    );
    assert_eq!(output.stdout.lines().count(), 3);
    let list = push(&fixture, &["--since", "HEAD~1", "--list"]);
    expect![[r#"
        api  affected    texts/hello.txt was changed
        job  affected    texts/hello.txt was changed
        web  unaffected
    "#]]
    .assert_eq(&list.shown());
}

#[test]
fn since_knows_what_each_service_is_made_of() {
    let workspace = workspace();
    workspace.git_init();
    let services = |change: &dyn Fn()| {
        change();
        let found = listed(&workspace, &["--since", "HEAD"]);
        workspace.git(&["checkout", "--quiet", "."]);
        workspace.git(&["clean", "--quiet", "--force", "-d"]);
        found.into_iter().map(|it| it.0).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(services(&|| ()), "");
    assert_eq!(services(&|| workspace.file("library/src/lib.rs", "pub fn text() -> u8 { 1 }\n")), "api job");
    assert_eq!(services(&|| workspace.file("library/src/new.rs", "")), "api job", "untracked");
    assert_eq!(services(&|| workspace.file("texts/hello.txt", "x")), "api job", "a path in a source");
    assert_eq!(services(&|| workspace.file("schemas/a/b.sql", "x")), "web", "affected-by");
    assert_eq!(services(&|| workspace.file("README.md", "x")), "");
    assert_eq!(services(&|| workspace.file("scripts/run", "x")), "api job web", "nobody owns it");
    assert_eq!(services(&|| workspace.append("Cargo.toml", "[profile.dev]\nopt-level = 1\n")), "api job web");
    assert_eq!(services(&|| workspace.append("Cargo.toml", "[profile.release]\nopt-level = 1\n")), "");
    assert_eq!(services(&|| workspace.file("rust-toolchain.toml", "")), "api job web");
}

/// Services in a folder of a repository, and what they are made of in ways of other people.
fn elsewhere() -> Workspace {
    let mut it = Workspace::new();
    let package = |name: &str, more: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n{more}")
    };
    let library = |path: &str, more: &str| {
        it.file(&format!("{path}/Cargo.toml"), package(path.rsplit('/').next().unwrap(), more));
        it.file(&format!("{path}/src/lib.rs"), "pub fn text() -> u8 { 1 }\n");
    };
    library("patched/fnv", "");
    library("foreign/outer", "[dependencies]\ninner.workspace = true\n");
    library("foreign/inner", "[features]\nnew = []\n");
    it.file("foreign/Cargo.toml", "[workspace]\nmembers = [\"outer\", \"inner\"]\n[workspace.dependencies]\ninner = { path = \"inner\" }\n");
    it.file("shared/shared.rs", "pub fn text() -> u8 { 1 }\n");
    service(&mut it, "patch", "[dependencies]\nfnv = \"1\"\n[package.metadata.ecr]\n", "fnv::text()");
    service(
        &mut it,
        "foreign-user",
        "[dependencies]\nouter = { path = \"../foreign/outer\" }\n[package.metadata.ecr]\n",
        "outer::text()",
    );
    service(&mut it, "linked", "[package.metadata.ecr]\n", "shared::text()");
    it.append("linked/src/main.rs", "mod shared;\n");
    std::os::unix::fs::symlink("../../shared/shared.rs", it.root().join("linked/src/shared.rs")).unwrap();
    let content = "include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/content/post.md\"))";
    service(&mut it, "site", "[package.metadata.ecr]\n", content);
    it.file("site/content/post.md", "one");
    it.file("site/README.md", "one");
    let features = "[features]\nmetrics = []\n[package.metadata.ecr.image]\nfeatures = [\"metrics\"]\n";
    service(&mut it, "featured", features, "1");
    it.append("featured/src/main.rs", "#[cfg(feature = \"metrics\")]\nmod metrics;\n");
    it.file("featured/src/metrics.rs", "pub const A: u8 = 1;\n");
    let root = "exclude = [\"foreign\", \"patched\"]\n";
    let manifest = std::fs::read_to_string(it.root().join("Cargo.toml")).unwrap();
    it.file("Cargo.toml", manifest.replacen("[workspace]\n", &format!("[workspace]\n{root}"), 1));
    it.append("Cargo.toml", "[patch.crates-io]\nfnv = { path = \"patched/fnv\" }\n");
    it
}

fn cargo(workspace: &Workspace, args: &str) {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    let done = cargo.args(args.split(' ')).current_dir(workspace.root()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn since_knows_what_is_used_by_patches_links_documents_and_other_workspaces() {
    let workspace = elsewhere();
    workspace.git_init();
    cargo(&workspace, "generate-lockfile --quiet --offline");
    workspace.git(&["add", "--force", "Cargo.lock"]);
    workspace.git(&["commit", "--quiet", "--message", "Lock"]);
    let edits: [(&str, &str, &str); 7] = [
        ("patched/fnv/src/lib.rs", "pub fn text() -> u8 { 2 }\n", "patch"),
        ("foreign/inner/src/lib.rs", "pub fn text() -> u8 { 2 }\n", "foreign-user"),
        ("shared/shared.rs", "pub fn text() -> u8 { 2 }\n", "linked"),
        ("site/content/post.md", "two", "site"),
        ("site/README.md", "two", ""),
        ("featured/src/metrics.rs", "pub const A: u8 = 2;\n", "featured"),
        (
            "foreign/Cargo.toml",
            "[workspace]\nmembers = [\"outer\", \"inner\"]\n[workspace.dependencies]\ninner = { path = \"inner\", features = [\"new\"] }\n",
            "foreign-user",
        ),
    ];
    let check = |state: &str| {
        for (path, text, wanted) in edits {
            workspace.file(path, text);
            let found = listed(&workspace, &["--since", "HEAD"]);
            workspace.git(&["checkout", "--quiet", "."]);
            let names = found.iter().map(|it| it.0.as_str()).collect::<Vec<_>>().join(" ");
            assert_eq!(names, wanted, "{path}, {state}: {found:?}");
        }
    };
    check("before a build");
    workspace.command(&["push", "--profile", "dev", "--dry-run", "--offline"]).run().good();
    check("after a build");
    // A build with other features leaves its own dep-info.
    let plain = std::process::Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--offline",
            "--package",
            "featured",
            "--target",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(workspace.root())
        .output()
        .unwrap();
    assert!(plain.status.success(), "{}", String::from_utf8_lossy(&plain.stderr));
    check("after another build");
}

#[test]
fn since_published_heals_what_a_red_run_has_left() {
    let fixture = pushed();
    // This commit is not pushed: the run failed.
    fixture.workspace.file("web/src/main.rs", "fn main() { println!(\"changed\"); }\n");
    commit(&fixture);
    fixture.workspace.file("api/src/main.rs", "fn main() { println!(\"changed\"); }\n");
    commit(&fixture);
    let only_last = listed(&fixture.workspace, &["--since", "HEAD~1"]);
    assert_eq!(only_last.len(), 1, "{only_last:?}");
    let output = push(&fixture, &["--since", "published", "-t", "{git-sha}", "--format", "json"]);
    let wanted = [("api", "pushed"), ("job", "unaffected"), ("web", "pushed")];
    assert_eq!(outcomes(&output), wanted.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    // The next one finds all of them at this commit.
    let output = push(&fixture, &["--since", "published", "-t", "{git-sha}", "--format", "json"]);
    assert!(outcomes(&output).values().all(|it| it == "unaffected"));
    let list = push(&fixture, &["--since", "published", "--list", "--format", "json"]).json_with(0);
    assert!(list["services"].as_array().unwrap().iter().all(|it| it["affected"] == json!(false)));
}

#[test]
fn since_never_takes_an_image_for_that_of_another_commit() {
    let fixture = pushed();
    // A run that failed leaves the tag of the version on the image before.
    fixture.workspace.file("web/src/main.rs", "fn main() { println!(\"changed\"); }\n");
    commit(&fixture);
    fixture.workspace.file("NOTES.md", "x");
    // The next second: the age of the commit before is compared with the time of the push.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    fixture.workspace.git(&["commit", "--quiet", "--allow-empty", "--amend", "--message", "Later"]);
    commit(&fixture);
    let report = push(&fixture, &["--since", "HEAD~1", "-t", "{version}", "--format", "json"]).json();
    let web = report["images"].as_array().unwrap().iter().find(|it| it["package"] == "web").unwrap();
    assert_eq!(web["outcome"], "conflict", "{report:#}");
}

#[test]
fn since_without_an_image_builds() {
    let fixture = workspace().start().created();
    fixture.workspace.git_init();
    commit_empty(&fixture);
    let output = push(&fixture, &["--since", "HEAD~1", "--explain", "--format", "json"]);
    assert!(outcomes(&output).values().all(|it| it == "pushed"));
    let text = "Affected web: there is no image of HEAD~1, under `1.0.0`, `";
    assert!(output.stderr.contains(text), "{output:#?}");
    let zeros = "0".repeat(40);
    let output = push(&fixture, &["--since", &zeros, "--explain", "--format", "json"]);
    assert!(outcomes(&output).values().all(|it| it == "unchanged"));
    assert!(output.stderr.contains("Affected api: there is no commit before"), "{output:#?}");
}

fn commit_empty(fixture: &Fixture) {
    fixture.workspace.git(&["commit", "--quiet", "--allow-empty", "--message", "Empty"]);
}

#[test]
fn since_a_commit_that_is_not_there_is_refused() {
    let fixture = pushed();
    commit_empty(&fixture);
    let shown = push(&fixture, &["--since", "origin/main", "--list"]).shown();
    expect![[r#"
        --- stderr
        error: --since: failed to find what has changed

        Caused by:
          `origin/main` is not a commit of this repository

        help: fetch it (`git fetch origin`, in a shallow clone `git fetch --unshallow`; on GitHub Actions, set `fetch-depth: 0`), or pass `--since published`
        --- exit 1
    "#]]
    .assert_eq(&shown);
    // A shallow clone in which the branches do not meet.
    let shallow = fixture.workspace.root().join("shallow");
    fixture.workspace.git(&["checkout", "--quiet", "-b", "other", "HEAD~1"]);
    fixture.workspace.git(&["commit", "--quiet", "--allow-empty", "--message", "Other"]);
    let url = format!("file://{}", fixture.workspace.root().display());
    fixture.workspace.git(&[
        "clone",
        "--quiet",
        "--depth=1",
        "--no-single-branch",
        &url,
        shallow.to_str().unwrap(),
    ]);
    let branches = ["origin/main", "origin/master"];
    let main = branches
        .into_iter()
        .find(|it| shallow.join(".git/refs/remotes").join(it).exists() || packed(&shallow, it));
    let manifest = shallow.join("Cargo.toml");
    let args = ["--list", "--since", main.unwrap(), "--manifest-path", manifest.to_str().unwrap()];
    let output = push(&fixture, &args);
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("have no common commit in this clone, which is shallow"), "{output:#?}");
    assert!(output.stderr.contains("git fetch --deepen=100"), "{output:#?}");
}

fn packed(clone: &std::path::Path, name: &str) -> bool {
    std::fs::read_to_string(clone.join(".git/packed-refs"))
        .is_ok_and(|it| it.contains(&format!("refs/remotes/{name}")))
}

#[test]
fn since_published_reads_the_commit_of_a_label() {
    let mut workspace = Workspace::new();
    service(&mut workspace, "web", "[package.metadata.ecr.image]\nports = [80]\n", "1");
    let fixture = workspace.start().created();
    fixture.workspace.git_init();
    let commit = fixture.workspace.git(&["rev-parse", "HEAD"]);
    let label = format!("labels = {{ \"org.opencontainers.image.revision\" = \"{commit}\" }}\n");
    fixture.workspace.append("web/Cargo.toml", &label);
    push(&fixture, &["--allow-dirty"]).good();
    fixture.workspace.git(&["checkout", "--quiet", "."]);
    let output = push(&fixture, &["--since", "published", "--format", "json"]);
    assert_eq!(outcomes(&output)["web"], "unaffected", "{output:#?}");
    fixture.workspace.append("web/Cargo.toml", "# changed\n");
    let output = push(&fixture, &["--allow-dirty", "--since", "published", "--list"]);
    assert!(output.stdout.starts_with("web  affected    web/Cargo.toml was changed"), "{output:#?}");
}
