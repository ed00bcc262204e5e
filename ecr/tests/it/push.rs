//! `push`: builds, uploads, tags and conflicts.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::fixture::{image, push};
use crate::support::{Fixture, Workspace, files_below, static_binary};

fn change(fixture: &Fixture) {
    fixture.workspace.file("my-app/src/main.rs", "fn main() { println!(\"changed\"); }\n");
}

#[test]
fn push_same_image_twice_is_unchanged() {
    let fixture = Fixture::service().created();
    let first = image(&push(&fixture, &[]), 0);
    assert_eq!((&first["outcome"], &first["tags"]), (&json!("pushed"), &json!(["1.0.0"])));
    assert_eq!(first["platforms"], json!([format!("linux/{}", architecture())]));
    assert_eq!(first["uploadedBytes"], first["compressedBytes"]);
    let host = fixture.registry.host();
    assert_eq!(first["reference"], format!("{host}/my-app@{}", first["digest"].as_str().unwrap()));
    fixture.registry.calls();

    let second = image(&push(&fixture, &[]), 0);
    assert_eq!((&second["outcome"], &second["uploadedBytes"]), (&json!("unchanged"), &json!(0)));
    assert_eq!(second["digest"], first["digest"]);
    let calls = fixture.registry.calls();
    assert!(!calls.contains_key("PutImage") && !calls.contains_key("InitiateLayerUpload"), "{calls:?}");
    assert_eq!(calls["BatchGetImage"], 1, "one HEAD request is enough");
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[test]
fn push_quiet_prints_references_on_stdout() {
    let fixture = Fixture::service().created();
    let file = fixture.workspace.root().join("refs.txt");
    let args = ["push", "--profile", "dev", "--quiet", "--image-refs", file.to_str().unwrap()];
    let output = fixture.run(&args).good();
    expect![[r#"
        127.0.0.1:[PORT]/my-app@sha256:[DIGEST]
    "#]]
    .assert_eq(&output.shown());
    assert_eq!(std::fs::read_to_string(file).unwrap(), output.stdout);
}

#[test]
fn push_conflict_on_an_immutable_tag_uploads_nothing() {
    let fixture = Fixture::service().created();
    push(&fixture, &[]).good();
    fixture.registry.calls();
    change(&fixture);
    let output = fixture.run(&["push", "--profile", "dev", "--quiet"]);
    let writes = fixture.registry.writes();
    assert!(!writes.iter().any(|it| it == "PutImage" || it == "InitiateLayerUpload"), "{writes:?}");
    assert_eq!(output.code, 3);
    let json = image(&push(&fixture, &[]), 3);
    assert_eq!((&json["outcome"], &json["uploadedBytes"]), (&json!("conflict"), &json!(0)));
    let error = json["error"].as_str().unwrap();
    assert_eq!(error.matches("sha256:").count(), 2, "{error}");
    let shown = fixture.run(&["push", "--profile", "dev"]).shown();
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
            Conflict my-app 1.0.0: tag `1.0.0` is immutable and points to sha256:[DIGEST]; this image is sha256:[DIGEST]
        help: bump the version in my-app/Cargo.toml, or push another tag, such as `--tag '{version}-{digest}'`, which never conflicts
            Finished 1 image: 1 in conflict in [TIME]
        --- exit 3"#]].assert_eq(shown.trim_end());
}

#[test]
fn push_new_tag_for_a_known_image_uploads_nothing() {
    let fixture = Fixture::service().created();
    push(&fixture, &[]).good();
    let json = image(&push(&fixture, &["--tag", "stable", "-t", "v{version}-{digest}"]), 0);
    assert_eq!((&json["outcome"], &json["uploadedBytes"]), (&json!("pushed"), &json!(0)));
    assert_eq!(json["skippedBytes"], json["compressedBytes"]);
    assert_eq!(json["tags"][0], "stable");
}

#[test]
fn push_moves_a_mutable_tag() {
    let fixture = Workspace::new()
        .service(
            "my-app",
            "image-tag-mutability = \"IMMUTABLE_WITH_EXCLUSION\"\nmutability-exclusions = [\"latest*\"]\n\
         [package.metadata.ecr.image]\ntags = [\"latest\"]\n",
        )
        .start();
    push(&fixture, &["--create"]).good();
    change(&fixture);
    assert_eq!(image(&push(&fixture, &[]), 0)["outcome"], "pushed");
    assert_eq!(image(&push(&fixture, &["--tag", "1.0.0"]), 0)["outcome"], "pushed");
    fixture.workspace.file("my-app/src/main.rs", "fn main() { println!(\"third\"); }\n");
    assert_eq!(image(&push(&fixture, &["--tag", "1.0.0"]), 3)["outcome"], "conflict");
}

#[test]
fn push_conflict_without_batch_get_image() {
    let fixture = Fixture::service().with_faults(&["deny=BatchGetImage"]).created();
    assert_eq!(image(&push(&fixture, &[]), 0)["outcome"], "pushed");
    let json = image(&push(&fixture, &[]), 3);
    assert!(json["error"].as_str().unwrap().contains("ecr:BatchGetImage"), "{json}");
}

#[test]
fn push_to_an_absent_repository_fails_before_the_build() {
    let fixture = Fixture::service();
    let output = fixture.run(&["push"]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
              Failed my-app: repository `my-app` does not exist
        help: create it with `cargo xtask ecr create`, or pass --create
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
    assert!(!fixture.workspace.root().join("target/xtask-ecr").exists());
    let json = image(&push(&fixture, &["--create"]), 0);
    assert_eq!(json["outcome"], "pushed");
}

#[test]
fn push_dry_run_asks_no_registry() {
    let fixture = Fixture::service();
    let args = ["push", "--dry-run", "--profile", "dev", "--format", "json"];
    let dry = image(&fixture.workspace.command(&args).run(), 0);
    assert_eq!((&dry["outcome"], &dry["uploadedBytes"]), (&json!("dry-run"), &json!(0)));
    let pushed = image(&push(&fixture, &["--create"]), 0);
    assert_eq!(pushed["digest"], dry["digest"]);
    assert_eq!(pushed["compressedBytes"], dry["compressedBytes"]);
}

#[test]
fn push_skip_existing_skips_the_build() {
    let fixture = Fixture::service().created();
    let pushed = image(&push(&fixture, &[]), 0);
    fixture.workspace.file("my-app/src/main.rs", "this does not compile\n");
    let json = image(&push(&fixture, &["--skip-existing"]), 0);
    assert_eq!((&json["outcome"], &json["digest"]), (&json!("unchanged"), &pushed["digest"]));
    let failed = image(&push(&fixture, &[]), 1);
    assert!(failed["error"].as_str().unwrap().contains("expected one of"), "{failed}");
}

#[test]
fn push_refuses_an_unclean_tree() {
    let fixture = Fixture::service().created();
    fixture.workspace.git_init();
    // What the push itself writes is no change, also where it lies there already.
    for _ in 0..2 {
        push(&fixture, &["--tag", "{git-sha}", "--image-refs", "refs.txt"]).good();
    }
    let without = push(&fixture, &["--tag", "{git-sha}"]);
    assert_eq!(without.code, 5, "{without:#?}");
    std::fs::remove_file(fixture.workspace.root().join("refs.txt")).unwrap();
    change(&fixture);
    fixture.workspace.file("new.txt", "");
    fixture.registry.calls();
    let output = fixture.run(&["push"]);
    expect![[r#"
        --- stderr
        error: the working tree has 2 uncommitted changes

        Caused by:
           M my-app/src/main.rs
          ?? new.txt

        help: commit the changes, or pass --allow-dirty
        --- exit 5
    "#]]
    .assert_eq(&output.shown());
    assert_eq!(fixture.registry.calls().len(), 0);
    push(&fixture, &["--allow-dirty", "--tag", "x"]).good();
    let local = fixture.workspace.local(&["push", "--create", "--profile", "dev"]).good();
    assert_eq!(local.warnings(), ["the working tree has 2 uncommitted changes"]);
}

#[test]
fn push_digest_ignores_empty_commits_and_the_folder() {
    let digest = |workspace: &Workspace| {
        let output = workspace.command(&["push", "--dry-run", "--profile", "dev", "--format", "json"]).run();
        image(&output, 0)["digest"].clone()
    };
    let panics = "fn main() { std::env::args().nth(9).unwrap(); }\n";
    let make = || {
        let workspace = Workspace::new().service("my-app", "");
        workspace.file("my-app/src/main.rs", panics);
        workspace.git_init();
        workspace
    };
    let (one, two) = (make(), make());
    let first = digest(&one);
    one.git(&["commit", "--quiet", "--allow-empty", "--message", "Second"]);
    assert_eq!(digest(&one), first);
    assert_eq!(digest(&two), first, "the folder's path is in the binary");
}

#[test]
fn push_digest_ignores_the_selection() {
    let shared =
        "[package]\nname = \"shared\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[features]\nloud = []\n";
    let user = |name: &str, features: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[dependencies]\n\
             shared = {{ path = \"../shared\", features = [{features}] }}\n[package.metadata.ecr]\n"
        )
    };
    let main = "fn main() { println!(\"{}\", shared::word()); }\n";
    let workspace = Workspace::new()
        .member("shared", shared, "fn main() {}\n")
        .member("quiet", &user("quiet", ""), main)
        .member("loud", &user("loud", "\"loud\""), main);
    workspace.file(
        "shared/src/lib.rs",
        "pub fn word() -> &'static str { if cfg!(feature = \"loud\") { \"LOUD\" } else { \"quiet\" } }\n",
    );
    std::fs::remove_file(workspace.root().join("shared/src/main.rs")).unwrap();
    let digest = |args: &[&str]| {
        let args = [&["push", "--dry-run", "--profile", "dev", "--format", "json"], args].concat();
        let json = workspace.command(&args).run().json_with(0);
        let images = json["images"].as_array().unwrap().clone();
        images.into_iter().find(|it| it["package"] == "quiet").unwrap()["digest"].clone()
    };
    assert_eq!(digest(&["-p", "quiet"]), digest(&[]));
}

#[test]
fn push_second_time_compiles_nothing() {
    let fixture = Fixture::service().created();
    // A build script that depends on the variables that cargo sets: those of an outer `cargo run` must not reach it.
    fixture.workspace.file(
        "my-app/build.rs",
        "fn main() { println!(\"cargo::rerun-if-env-changed=CARGO_PKG_NAME\"); \
         println!(\"cargo::rerun-if-env-changed=OUT_DIR\"); }\n",
    );
    let run = |name: &str| {
        let run = fixture.command(&["push", "--profile", "dev"]);
        run.env("CARGO_PKG_NAME", name)
            .env("CARGO_MANIFEST_DIR", name)
            .env("OUT_DIR", name)
            .run()
            .good()
            .stderr
    };
    assert!(run("xtask").contains("Compiling my-app"));
    let second = run("other");
    assert!(!second.contains("Compiling"), "{second}");
}

#[test]
fn push_forgets_a_link_target_that_is_gone() {
    let fixture = Fixture::service().created();
    push(&fixture, &[]).good();
    let memory = files_below(&fixture.workspace.root().join("target/xtask-ecr/linkage")).remove(0);
    let text = std::fs::read_to_string(&memory).unwrap();
    std::fs::write(&memory, text.replace("-unknown-linux-", "-unknown-other-")).unwrap();
    assert_eq!(image(&push(&fixture, &[]), 0)["outcome"], "unchanged");
}

#[test]
fn push_failure_of_one_service_stops_no_other() {
    let fixture = Workspace::new().service("broken", "").service("my-app", "").start();
    fixture.workspace.file("broken/src/main.rs", "fn main() { 1 }\n");
    let json = push(&fixture, &["--create"]).json_with(1);
    let outcomes: Vec<_> =
        json["images"].as_array().unwrap().iter().map(|it| it["outcome"].clone()).collect();
    assert_eq!(outcomes, ["failed", "pushed"]);
}

#[test]
fn push_reports_what_it_cannot_build() {
    let workspace = Workspace::new()
        .service("based", "[package.metadata.ecr.image]\nbase = \"127.0.0.1:9/debian:12\"\n")
        .service("foreign", "[package.metadata.ecr.image]\nplatforms = [\"linux/s390x\"]\n");
    let json = workspace.command(&["push", "--dry-run", "--format", "json"]).run().json_with(1);
    let errors: Vec<_> =
        json["images"].as_array().unwrap().iter().map(|it| it["error"].as_str().unwrap()).collect();
    expect![[r#"
        base `127.0.0.1:9/debian:12`: failed to read the base image `debian:12` of 127.0.0.1:9: client error (Connect): tcp connect error: Connection refused (os error 111)
        linux/s390x: no Rust target for this platform is installed: run `rustup target add s390x-unknown-linux-gnu`, or build the binary elsewhere and pass --binary linux/s390x=PATH"#]].assert_eq(&errors.join("\n"));
}

/// Help is chosen by the type of an error, never by words in it that are the user's own.
#[test]
fn push_help_ignores_words_that_are_quoted() {
    let workspace = Workspace::new().service("my-app", "").service("other", "");
    workspace.file("my-app/src/main.rs", "fn main() { let _answer: u32 = \"429: too many requests\"; }\n");
    let args = ["push", "--dry-run", "--profile", "dev", "-p", "my-app"];
    let output = workspace.command(&args).run();
    assert!(output.stderr.contains("429: too many requests"), "{output:#?}");
    assert!(!output.stderr.contains("help: the registry"), "{output:#?}");
    // A binary for another architecture, in a file whose name is a word of ECR's.
    let other = if std::env::consts::ARCH == "x86_64" { "aarch64" } else { "x86_64" };
    workspace.file("scan_failed", static_binary(other, 100));
    let here = format!("linux/{}=scan_failed", architecture());
    let output = workspace.command(&["push", "--dry-run", "-p", "other", "--binary", &here]).run();
    assert_eq!(output.code, 1, "{output:#?}");
    assert!(output.stderr.contains("is built for") && !output.stderr.contains("help:"), "{output:#?}");
}

#[test]
fn push_dockerfile_without_engine_stops_no_other_service() {
    let fixture = Workspace::new().service("docked", "").service("my-app", "").start();
    fixture.workspace.file("docked/Dockerfile", "FROM scratch\n");
    fixture.workspace.file("my-app/my-app", static_binary("aarch64", 10));
    let fixture = fixture.created();
    let args = ["push", "--binary", "linux/arm64=my-app"];
    let output = fixture.command(&args).without_path().run();
    expect![[r#"
        127.0.0.1:[PORT]/my-app@sha256:[DIGEST]
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
              Failed docked: neither docker nor podman is installed
        help: install one of them, or choose another program with --engine PATH
              Pushed my-app 1.0.0 (108.2 kB uploaded)
            Finished 2 images: 1 pushed, 1 failed in [TIME]
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
    let native = ["push", "-p", "docked", "--builder", "native", "--binary", "linux/arm64=my-app/my-app"];
    fixture.command(&native).without_path().run().good();
    let args = ["push", "-p", "my-app", "--binary", "linux/arm64=my-app", "--", "--no-cache"];
    let output = fixture.command(&args).without_path().run();
    assert_eq!(output.code, 1, "{output:#?}");
}

#[test]
fn push_files_and_settings_go_into_the_image() {
    let fixture = Workspace::new().service(
        "my-app",
        "[package.metadata.ecr.image]\nports = [8080]\nenv = { GREETING = \"hello\" }\nargs = [\"--serve\"]\n\
         files = [{ from = \"static\", to = \"/srv/static\" }]\nlabels = { team = \"web\" }\nworkdir = \"/srv\"\n",
    ).start();
    fixture.workspace.file("my-app/static/index.html", "<h1>hi</h1>");
    push(&fixture, &["--create"]).good();
    let image_id = aws_sdk_ecr::types::ImageIdentifier::builder().image_tag("1.0.0").build();
    let found = fixture
        .registry
        .sdk(async |ecr| ecr.batch_get_image().repository_name("my-app").image_ids(image_id).send().await);
    let manifest: Value = serde_json::from_str(found.images()[0].image_manifest().unwrap()).unwrap();
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 3, "base, files, binary");
    let config = fixture.registry.blob("my-app", manifest["config"]["digest"].as_str().unwrap());
    let config: Value = serde_json::from_slice(&config).unwrap();
    let config = &config["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!(["/usr/local/bin/my-app"]));
    assert_eq!((&config["Cmd"], &config["WorkingDir"]), (&json!(["--serve"]), &json!("/srv")));
    assert_eq!(config["ExposedPorts"], json!({"8080/tcp": {}}));
    assert_eq!(config["Env"][1], "GREETING=hello");
    assert_eq!(config["Labels"]["team"], "web");
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], "1.0.0");
}

#[test]
#[cfg(target_env = "gnu")]
fn push_carries_libraries_that_cannot_be_linked_statically() {
    let fixture = Fixture::service();
    fixture.workspace.file("my-app/src/main.rs", "unsafe extern \"C\" { fn answer() -> i32; }\nfn main() { std::process::exit(unsafe { answer() }) }\n");
    fixture.workspace.file("my-app/answer.c", "int answer(void) { return 42; }\n");
    fixture.workspace.file(
        "my-app/build.rs",
        r#"fn main() {
            let out = std::env::var("OUT_DIR").unwrap();
            let status = std::process::Command::new("cc")
                .args(["-shared", "-fPIC", "-Wl,-soname,libanswer.so.1", "-o"])
                .args([&format!("{out}/libanswer.so.1"), "answer.c"])
                .status();
            assert!(status.unwrap().success());
            std::fs::copy(format!("{out}/libanswer.so.1"), format!("{out}/libanswer.so")).unwrap();
            println!("cargo::rustc-link-search=native={out}");
            println!("cargo::rustc-link-lib=dylib=answer");
            println!("cargo::rustc-link-arg=-Wl,-rpath,{out}");
        }
        "#,
    );
    let output = push(&fixture, &["--create"]);
    let json = image(&output, 0);
    assert_eq!(json["outcome"], "pushed");
    let note = output.stderr.lines().find(|it| it.starts_with("note: ")).unwrap_or_default();
    assert!(note.contains("cannot be linked statically") && note.contains("libanswer.so.1"), "{output:#?}");
    assert!(note.contains("libc.so.6") && note.contains("ld-linux"), "{note}");
}
