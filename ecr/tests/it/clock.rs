//! `source-date-epoch`: build scripts that ask for the time, and the digest of a commit.

use expect_test::expect;

use crate::support::Workspace;

/// A build script that tells the time as vergen does: that of `SOURCE_DATE_EPOCH`, else that of the clock.
const BUILD: &str = "fn main() {\n    println!(\"cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH\");\n    \
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos().to_string();\n    \
    println!(\"cargo::rustc-env=BUILT={}\", std::env::var(\"SOURCE_DATE_EPOCH\").unwrap_or_else(|_| now()));\n}\n";

fn workspace(key: &str) -> Workspace {
    let manifest = format!(
        "[package]\nname = \"my-app\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[package.metadata.ecr.image]\n{key}\n"
    );
    let it = Workspace::new().member("my-app", &manifest, "fn main() { println!(env!(\"BUILT\")); }\n");
    it.file("my-app/build.rs", BUILD);
    it
}

/// The digests of two builds from nothing.
fn digests(workspace: &Workspace) -> [String; 2] {
    ["one", "two"].map(|target| {
        let args = ["push", "--allow-dirty", "--dry-run", "--profile", "dev", "--format", "json"];
        let output = workspace.command(&args).env("CARGO_TARGET_DIR", target).run().json_with(0);
        output["images"][0]["digest"].as_str().unwrap().to_owned()
    })
}

#[test]
fn clock_of_the_commit_makes_digests_equal() {
    let without = workspace("");
    without.git_init();
    let [first, second] = digests(&without);
    assert_ne!(first, second, "the clock");
    let with = workspace("source-date-epoch = \"commit\"");
    with.git_init();
    let [first, second] = digests(&with);
    assert_eq!(first, second);
    // The variable of the user has precedence.
    let args = ["push", "--allow-dirty", "--dry-run", "--profile", "dev", "--format", "json"];
    let own =
        with.command(&args).env("CARGO_TARGET_DIR", "one").env("SOURCE_DATE_EPOCH", "1").run().json_with(0);
    assert_ne!(own["images"][0]["digest"], first);
}

#[test]
fn clock_is_named_where_two_images_of_a_commit_differ() {
    let fixture = workspace("").start().created();
    fixture.workspace.git_init();
    let push = |target: &str| {
        let args = ["push", "--allow-dirty", "--profile", "dev", "-t", "{git-sha}"];
        fixture.command(&args).env("CARGO_TARGET_DIR", &format!("target/{target}")).run()
    };
    push("one").good();
    let output = push("two");
    assert_eq!(output.code, 3);
    let said = |text: &str| assert!(output.stderr.contains(text), "{text}: {output:#?}");
    said("note: of the image of `my-app` and that of the tag, these differ: the layers: binary");
    said("note: the build script of `my-app` tells the time of the build (BUILT)");
    said(
        "help: `source-date-epoch = \"commit\"` below [package.metadata.ecr.image] tells it the time of the commit",
    );
}

#[test]
fn clock_of_the_commit_needs_a_commit() {
    let output = workspace("source-date-epoch = \"commit\"").command(&["push", "--dry-run"]).run();
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("my-app/Cargo.toml:6:21: source-date-epoch: there is no git commit"),
        "{output:#?}"
    );
    let output = workspace("source-date-epoch = \"now\"").command(&["push", "--dry-run"]).run();
    expect![[r#"
        --- stderr
        error: there is a problem in the configuration

        my-app/Cargo.toml:6:21: `now` is not a value of `source-date-epoch`: use `commit`
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn compression_levels_are_those_of_the_compression() {
    let size = |key: &str| {
        let workspace = Workspace::new().service("my-app", &format!("[package.metadata.ecr.image]\n{key}\n"));
        let args = ["push", "--allow-dirty", "--dry-run", "--profile", "dev", "--format", "json"];
        let report = workspace.command(&args).run().json();
        report["images"][0]["compressedBytes"].as_u64().unwrap()
    };
    let (least, usual, most) = (size("compression-level = 1"), size(""), size("compression-level = 12"));
    assert!(least > usual && usual > most, "{least} {usual} {most}");
    let workspace =
        Workspace::new().service("my-app", "[package.metadata.ecr.image]\ncompression-level = 13\n");
    let output = workspace.command(&["push", "--dry-run"]).run();
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("compression-level: 13 is not a level of gzip, which has 1 to 12"),
        "{output:#?}"
    );
}
