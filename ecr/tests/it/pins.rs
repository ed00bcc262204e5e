//! `base-mirrors`, and `ecr pin-bases`.

use expect_test::expect;
use serde_json::{Value, json};

use crate::bases::base_in;
use crate::support::{Registry, Workspace, static_binary, without_digests};

/// A registry with a base image in each of the repositories, under the tag `12`.
fn hub(names: &[&str], faults: &[&str]) -> Registry {
    let registry = Registry::with_faults(faults);
    for name in names {
        registry.create_plain(name);
        base_in(&registry, name, Some("12"), "oci", "amd64", &["bin/sh"]);
    }
    registry
}

/// A workspace that knows the password of the registry.
fn knowing(registry: &Registry, metadata: &str, base: &str) -> Workspace {
    let image = format!("[package.metadata.ecr.image]\nbase = \"{base}\"\n");
    let workspace = Workspace::new().metadata(metadata).service("my-app", &image);
    let basic = registry.basic();
    let auth = basic.strip_prefix("Basic ").unwrap();
    let auths = json!({"auths": {registry.host(): {"auth": auth}}});
    workspace.file(".docker/config.json", auths.to_string());
    workspace.file("amd", static_binary("x86_64", 10));
    workspace
}

#[test]
fn base_of_a_mirrored_registry_is_pulled_from_the_mirror() {
    // Docker Hub through a pull-through cache, which passes its limit of pulls on.
    let hub = hub(&["docker-hub/library/debian"], &["throttle=BatchGetImage:2"]);
    let mirrors = format!(
        "region = \"us-east-1\"\nbase-mirrors = {{ \"docker.io\" = \"{}/docker-hub\" }}\n",
        hub.host()
    );
    let workspace = knowing(&hub, &mirrors, "debian:12");
    let registry = Registry::start();
    let push = ["push", "--create", "--binary", "linux/amd64=amd", "--format", "json"];
    let report = workspace.on(&registry, &push).json_with(0);
    let below = hub.manifest("docker-hub/library/debian", "12");
    let image = registry.manifest("my-app", report["images"][0]["digest"].as_str().unwrap());
    assert_eq!(image["layers"][0]["digest"], below["layers"][0]["digest"]);
    // Without a registry to push to, the mirror is used, too.
    workspace.command(&["push", "--dry-run", "--binary", "linux/amd64=amd"]).run().good();
}

#[test]
fn mirror_that_is_none_is_a_problem_of_the_configuration() {
    let metadata =
        "[workspace.metadata.ecr.base-mirrors]\n\"docker.io\" = \"docker-hub\"\nhub = \"mirror.io\"\n";
    let workspace = Workspace::new().metadata(metadata).service("my-app", "");
    let output = workspace.local(&["ecr", "plan"]);
    expect![[r#"
        --- stderr
        error: there are 2 problems in the configuration

        Cargo.toml:7:1: `docker-hub` is not a host, with or without a namespace
          help: write for instance `"docker.io" = "123456789012.dkr.ecr.us-east-1.amazonaws.com/docker-hub"`

        Cargo.toml:8:1: `hub` is not the host of a registry
          help: write for instance `"docker.io" = "123456789012.dkr.ecr.us-east-1.amazonaws.com/docker-hub"`
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

fn pin(workspace: &Workspace, args: &[&str], code: i32) -> Value {
    workspace.command(&[&["ecr", "pin-bases", "--format", "json"], args].concat()).run().json_with(code)
}

#[test]
fn pin_bases_adds_and_renews_digests_in_the_manifests() {
    let hub = hub(&["library/debian", "team/base"], &[]);
    let host = hub.host();
    let mirrors = format!("base-mirrors = {{ \"docker.io\" = \"{host}\" }} # a mirror\n");
    let metadata = format!("{mirrors}[workspace.metadata.ecr.image]\nbase = 'debian:12' # the default\n");
    let workspace = knowing(&hub, &metadata, &format!("{host}/team/base:12")).service("default", "");
    let manifests = || {
        ["Cargo.toml", "my-app/Cargo.toml"]
            .map(|it| std::fs::read_to_string(workspace.root().join(it)).unwrap())
    };
    let before = manifests();

    let shown = workspace.command(&["ecr", "pin-bases"]).run().good();
    expect![[r#"
        Cargo.toml:8:8: debian:12 -> debian:12@sha256:[DIGEST]
        my-app/Cargo.toml:8:8: 127.0.0.1:[PORT]/team/base:12 -> 127.0.0.1:[PORT]/team/base:12@sha256:[DIGEST]
        --- stderr
            Finished 2 bases, 2 to pin
        help: `cargo xtask ecr pin-bases --write` writes the digests into the manifests
    "#]]
    .assert_eq(&without_digests(&shown.shown()));
    assert_eq!(manifests(), before);
    let report = pin(&workspace, &["--check"], 2);
    assert!(report["bases"].as_array().unwrap().iter().all(|it| it["state"] == "unpinned"));

    pin(&workspace, &["--write"], 0);
    let new = |n: usize| report["bases"][n]["pinned"].as_str().unwrap().to_owned();
    let after = manifests();
    assert_eq!(after[0], before[0].replace("'debian:12'", &format!("'{}'", new(0))));
    assert_eq!(after[1], before[1].replace(&format!("{host}/team/base:12"), &new(1)));
    let report = pin(&workspace, &["--check"], 0);
    assert!(report["bases"].as_array().unwrap().iter().all(|it| it["state"] == "current"));

    // The tag moves.
    base_in(&hub, "team/base", Some("12"), "oci", "amd64", &["bin/sh", "etc/new"]);
    let report = pin(&workspace, &["--check"], 2);
    let states: Vec<_> =
        report["bases"].as_array().unwrap().iter().map(|it| it["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["current", "moved"]);
    pin(&workspace, &["--write"], 0);
    assert_eq!(manifests()[0], after[0]);
    assert_ne!(manifests()[1], after[1]);
    assert_eq!(pin(&workspace, &["--check"], 0)["written"], false);
}

#[test]
fn pin_bases_tells_what_it_could_not_do() {
    let hub = hub(&["base"], &[]);
    let host = hub.host();
    let pinned = format!("{host}/base@sha256:{}", "a".repeat(64));
    let image = |base: &str| format!("[package.metadata.ecr.image]\nbase = {base}\n");
    let workspace = knowing(&hub, "", &format!("{host}/none:1"))
        .service("pinned", &image(&format!("\"{pinned}\"")))
        .service("scratch", &image("\"scratch\""))
        .service("split", &image(&format!("\"\"\"\n{host}/base:12\"\"\"")));
    let output = workspace.command(&["ecr", "pin-bases", "--write"]).run();
    assert_eq!(output.code, 1);
    expect![[r#"
        my-app/Cargo.toml:8:8: 127.0.0.1:[PORT]/none:1 is unknown
        pinned/Cargo.toml:8:8: 127.0.0.1:[PORT]/base@sha256:[DIGEST] has no tag to compare with
        split/Cargo.toml:8:8: 127.0.0.1:[PORT]/base:12 -> 127.0.0.1:[PORT]/base:12@sha256:[DIGEST]
        --- stderr
              Failed 127.0.0.1:[PORT]/none:1: failed to read the base image `none:1` of 127.0.0.1:[PORT]: NAME_UNKNOWN: The repository with name 'none' does not exist in the registry with id '123456789012'
              Failed 127.0.0.1:[PORT]/base:12: not written: split/Cargo.toml:8:8 is not a plain string; write `127.0.0.1:[PORT]/base:12@sha256:[DIGEST]` there
            Finished 3 bases, 0 pinned, 2 failed
        --- exit 1
    "#]].assert_eq(&without_digests(&output.shown()));
    let manifest = std::fs::read_to_string(workspace.root().join("split/Cargo.toml")).unwrap();
    assert!(manifest.contains(&format!("\"\"\"\n{host}/base:12\"\"\"")));
}
