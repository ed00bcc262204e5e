//! `push --oci-layout`, `--load`, and what GitHub Actions is told.

use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Registry, Workspace, files_below, static_binary};

fn workspace() -> Workspace {
    let workspace = Workspace::new().service("my-app", "");
    for (folder, architecture) in [("amd", "x86_64"), ("arm", "aarch64")] {
        std::fs::create_dir(workspace.root().join(folder)).unwrap();
        let path = workspace.root().join(folder).join("my-app");
        std::fs::write(path, static_binary(architecture, 1000)).unwrap();
    }
    workspace
}

const BOTH: [&str; 5] = ["push", "--binary", "linux/amd64=amd", "--binary", "linux/arm64=arm"];

fn read(workspace: &Workspace, path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(workspace.root().join(path)).unwrap()).unwrap()
}

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
    assert_eq!(read(&workspace, "out/oci-layout")["imageLayoutVersion"], "1.0.0");
    let index = read(&workspace, "out/index.json");
    let digest = |it: &Value| it["digest"].as_str().unwrap().replace("sha256:", "out/blobs/sha256/");
    let image = read(&workspace, &digest(&index["manifests"][0]));
    assert_eq!(image["manifests"].as_array().unwrap().len(), 2);
    for listed in image["manifests"].as_array().unwrap() {
        let manifest = read(&workspace, &digest(listed));
        let blobs = [&manifest["config"]].into_iter().chain(manifest["layers"].as_array().unwrap());
        blobs.for_each(|it| assert!(workspace.root().join(digest(it)).exists()));
    }
    // Another tag stands beside it, the same one in its place.
    push(&["-t", "2"]).good();
    let json = push(&["-t", "2", "--format", "json"]).json_with(0);
    assert_eq!(json["images"][0]["names"], json!(["oci:out:my-app:2"]));
    assert_eq!(read(&workspace, "out/index.json")["manifests"].as_array().unwrap().len(), 2);
    workspace.file("other/file", "");
    let refused = workspace.command(&[&BOTH[..], &["--oci-layout", "other"]].concat()).run();
    assert!(refused.stderr.contains("`other` is neither empty nor an OCI layout"), "{refused:#?}");
    assert_eq!(files_below(&workspace.root().join("other")).len(), 1);
}

#[test]
fn push_load_gives_the_engine_an_archive() {
    let workspace = workspace().metadata("[workspace.metadata.ecr.image]\ncompression = \"zstd\"\n");
    let engine = workspace.root().join("engine");
    std::fs::write(&engine, "#!/bin/sh\necho \"$@\" >args; exec tar -x -C loaded\n").unwrap();
    std::fs::set_permissions(&engine, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(workspace.root().join("loaded")).unwrap();
    let args = ["push", "--binary", "linux/amd64=amd", "--load", "--engine", engine.to_str().unwrap()];
    let output = workspace.command(&args).run().good();
    assert_eq!(output.stdout, "my-app:1.0.0\n");
    assert_eq!(std::fs::read_to_string(workspace.root().join("args")).unwrap().trim(), "load");
    let docker = &read(&workspace, "loaded/manifest.json")[0];
    assert_eq!(docker["RepoTags"], json!(["my-app:1.0.0"]));
    let layers = docker["Layers"].as_array().unwrap();
    for path in layers.iter().chain([&docker["Config"]]) {
        assert!(workspace.root().join("loaded").join(path.as_str().unwrap()).exists());
    }
    // Not every docker reads zstd, and none keeps it.
    for path in layers {
        let bytes = std::fs::read(workspace.root().join("loaded").join(path.as_str().unwrap())).unwrap();
        assert!(bytes.starts_with(&[0x1f, 0x8b]));
    }

    std::fs::write(&engine, "#!/bin/sh\necho 'no space left on device' >&2; exit 1\n").unwrap();
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
    let registry = Registry::start();
    let workspace = workspace();
    workspace.on(&registry, &["ecr", "create"]).good();
    let file = |name: &str| workspace.root().join(name).display().to_string();
    let run = workspace.command(&["push", "--binary", "linux/amd64=amd"]).registry(&registry);
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
