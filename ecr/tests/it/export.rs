//! `push --oci-layout`, `push --load`, and the outputs for GitHub Actions.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Workspace, files_below, static_binary};

/// A workspace with one service, and its binaries for two architectures.
fn workspace() -> Workspace {
    let workspace = Workspace::new().service("my-app", "");
    workspace.file("amd/my-app", static_binary("x86_64", 1000));
    workspace.file("arm/my-app", static_binary("aarch64", 1000));
    workspace
}

const BOTH: [&str; 5] = ["push", "--binary", "linux/amd64=amd", "--binary", "linux/arm64=arm"];

#[test]
fn push_oci_layout_holds_each_image_by_name() {
    let workspace = workspace();
    let push = |args: &[&str]| workspace.command(&[&BOTH[..], &["--oci-layout", "out"], args].concat()).run();
    let output = push(&[]).good();
    expect![[r#"
        oci:out:my-app:1.0.0
        --- stderr
            Exported my-app 1.0.0 (111.1 kB)
            Finished 1 image: 1 exported in [TIME]
    "#]]
    .assert_eq(&output.shown());
    assert_eq!(workspace.json("out/oci-layout")["imageLayoutVersion"], "1.0.0");
    let index = workspace.json("out/index.json");
    let digest = |it: &Value| it["digest"].as_str().unwrap().replace("sha256:", "out/blobs/sha256/");
    let image = workspace.json(&digest(&index["manifests"][0]));
    assert_eq!(image["manifests"].as_array().unwrap().len(), 2);
    for listed in image["manifests"].as_array().unwrap() {
        let manifest = workspace.json(&digest(listed));
        let blobs = [&manifest["config"]].into_iter().chain(manifest["layers"].as_array().unwrap());
        blobs.for_each(|it| assert!(workspace.root().join(digest(it)).exists()));
    }
    // Another tag is added to the layout; the same tag is replaced.
    push(&["-t", "2"]).good();
    let json = push(&["-t", "2", "--format", "json"]).json_with(0);
    assert_eq!(json["images"][0]["names"], json!(["oci:out:my-app:2"]));
    assert_eq!(workspace.json("out/index.json")["manifests"].as_array().unwrap().len(), 2);
    workspace.file("other/file", "");
    let refused = workspace.command(&[&BOTH[..], &["--oci-layout", "other"]].concat()).run();
    assert!(refused.stderr.contains("`other` is neither empty nor an OCI layout"), "{refused:#?}");
    assert_eq!(files_below(&workspace.root().join("other")).len(), 1);
}

#[test]
fn push_load_gives_the_engine_an_archive() {
    let workspace = workspace().metadata("[workspace.metadata.ecr.image]\ncompression = \"zstd\"\n");
    let engine = workspace.program("engine", "echo \"$@\" >args; exec tar -x -C loaded");
    std::fs::create_dir(workspace.root().join("loaded")).unwrap();
    let args = ["push", "--binary", "linux/amd64=amd", "--load", "--engine", &engine];
    let output = workspace.command(&args).run().good();
    assert_eq!(output.stdout, "my-app:1.0.0\n");
    assert_eq!(std::fs::read_to_string(workspace.root().join("args")).unwrap().trim(), "load");
    let docker = &workspace.json("loaded/manifest.json")[0];
    assert_eq!(docker["RepoTags"], json!(["my-app:1.0.0"]));
    let layers = docker["Layers"].as_array().unwrap();
    for path in layers.iter().chain([&docker["Config"]]) {
        assert!(workspace.root().join("loaded").join(path.as_str().unwrap()).exists());
    }
    // The archive is compressed with gzip, as not every version of docker reads zstd.
    for path in layers {
        let bytes = std::fs::read(workspace.root().join("loaded").join(path.as_str().unwrap())).unwrap();
        assert!(bytes.starts_with(&[0x1f, 0x8b]));
    }

    workspace.program("engine", "echo 'no space left on device' >&2; exit 1");
    let failed = workspace.command(&args).run();
    expect![[r#"
        --- stderr
              Failed my-app: failed to load the image into engine: no space left on device
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]]
    .assert_eq(&failed.shown());
}

#[test]
fn push_writes_references_for_github_actions() {
    let fixture = workspace().start().created();
    let file = |name: &str| fixture.workspace.root().join(name).display().to_string();
    let run = fixture.command(&["push", "--binary", "linux/amd64=amd"]);
    let run = run.env("GITHUB_OUTPUT", &file("output")).env("GITHUB_STEP_SUMMARY", &file("summary"));
    let reference = run.run().good().stdout;
    let output = std::fs::read_to_string(file("output")).unwrap();
    assert!(
        output.starts_with(&format!("references<<xtask-ecr-end\n{reference}xtask-ecr-end\nimages<<")),
        "{output}"
    );
    let summary = std::fs::read_to_string(file("summary")).unwrap();
    assert!(
        summary.contains(&format!("| my-app | pushed | `1.0.0` | `{}` |", reference.trim())),
        "{summary}"
    );
}
