//! `resolve`: deployment files with the references of images.

use aws_sdk_ecr::types::{ImageIdentifier, TargetStorageClass};
use expect_test::expect;
use serde_json::json;

use crate::support::{Fixture, Workspace, files_below};

const DEPLOYMENT: &str =
    "spec:\r\n  # image: ecr://my-app\r\n  image: \"ecr://my-app#tagged\" # the web service\r\n";

/// The services of [`Workspace::example`] with an image each, and their digests.
fn pushed() -> (Fixture, String, String) {
    let it = Fixture::example().created();
    let (app, worker) = (it.registry.image("my-app", "1.0.0"), it.registry.image("my-app-worker", "1.0.0"));
    it.registry.calls();
    (it, app, worker)
}

#[test]
fn resolve_replaces_placeholders_and_nothing_else() {
    let (it, app, worker) = pushed();
    let host = it.registry.host();
    it.workspace.file("k8s/app.yaml", DEPLOYMENT);
    it.workspace.file("k8s/worker.yml", "image: ecr://my-app-worker");
    it.workspace.file("k8s/README.md", "ecr://unknown");
    it.workspace.file("k8s/below/x.yaml", "image: ecr://unknown");
    let output = it.run(&["resolve", "-f", "k8s"]).good();
    let expected = format!(
        "spec:\r\n  # image: ecr://my-app\r\n  image: \"{host}/my-app:1.0.0@{app}\" # the web service\r\n\
         ---\nimage: {host}/my-app-worker@{worker}"
    );
    assert_eq!(output.stdout, expected);
    assert!(output.stderr.contains("Resolved 2 references to 2 images in 2 files"), "{}", output.stderr);
    // No pull is recorded.
    let calls = it.registry.calls();
    assert_eq!((calls.get("DescribeImages"), calls.get("BatchGetImage")), (Some(&2), None));
    let report = it.run(&["resolve", "-f", "k8s/app.yaml", "--format", "json"]).json_with(0);
    assert_eq!(
        report["files"],
        json!([{
            "path": "k8s/app.yaml", "changed": true,
            "references": [{"line": 3, "name": "my-app", "reference": format!("{host}/my-app:1.0.0@{app}")}],
        }])
    );
    assert_eq!(report["images"][0]["digest"], app.as_str());
}

#[test]
fn resolve_reports_all_problems_before_it_writes() {
    let (it, ..) = pushed();
    it.workspace.file("a.yaml", "x: ecr://my-ap\ny: ecr://my-app\nz: ecr://my-app-worker#digset\n");
    it.workspace
        .file("b.json", "{\"a\": \"ecr://my-app\", \"b\": \"ecr://my-app#tag\",\n \"c\": \"ecr://other\"}");
    it.workspace.file("c.env", "IMAGE=h.io/x h.io/y # ecr://my-app\n");
    let args = ["resolve", "-f", "a.yaml", "-f", "b.json", "-f", "c.env", "--tag", "2.0.0", "-o", "out"];
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        error: 6 references cannot be resolved

        a.yaml:1:4: `my-ap` is neither a service nor a repository of the workspace
          help: did you mean `ecr://my-app`?

        a.yaml:2:4: `my-app` has no image with the tag `2.0.0`
          help: push it with `cargo xtask push -p my-app --tag '2.0.0'`; `cargo xtask ecr images -p my-app` lists the tags that are there

        a.yaml:3:4: `ecr://my-app-worker#digset` names an unknown part of the reference
          help: did you mean `#digest`?

        b.json:1:8: `my-app` has no image with the tag `2.0.0` (1 more in this file)
          help: push it with `cargo xtask push -p my-app --tag '2.0.0'`; `cargo xtask ecr images -p my-app` lists the tags that are there

        b.json:2:8: `other` is neither a service nor a repository of the workspace
          help: the names are `my-app`, `my-app-worker`

        c.env:1:23: there are 2 image references before the marker `ecr://my-app`
          help: write the value before the marker as HOST/NAME:TAG, HOST/NAME@DIGEST or ecr://NAME, once
        --- exit 1
    "#]]
    .assert_eq(&it.run(&args).shown());
    assert!(!it.workspace.root().join("out").exists());
}

#[test]
fn resolve_with_images_of_a_push_asks_no_registry() {
    let workspace = Workspace::example();
    let digest = format!("sha256:{}", "1".repeat(64));
    let reference = format!("222222222222.dkr.ecr.eu-west-1.amazonaws.com/my-app@{digest}");
    let entry =
        json!({"repository": "my-app", "outcome": "pushed", "tags": ["1.0.0"], "reference": reference});
    let failed = json!({"repository": "my-app-worker", "outcome": "failed", "reference": null, "error": "cargo failed"});
    workspace.file("push.json", json!({"registry": "h", "images": [entry, failed]}).to_string());
    workspace.file("refs.txt", format!("{reference}\n"));
    workspace.file("a.yaml", "image: ecr://my-app#tagged\n");
    let run = |args: &[&str]| workspace.command(&[&["resolve"], args].concat()).run();
    let output = run(&["-f", "a.yaml", "--images", "push.json", "--images", "refs.txt"]).good();
    assert_eq!(output.stdout, format!("image: {}\n", reference.replace('@', ":1.0.0@")));
    workspace.file("b.yaml", "a: ecr://my-app#tag\nb: ecr://my-app-worker\n");
    expect![[r#"
        --- stderr
        error: 2 references cannot be resolved

        b.yaml:1:4: the tag of `my-app` is not known: a list of digest references has none
          help: pass what `push --format json` has printed with --images

        b.yaml:2:4: `refs.txt` names no image of `my-app-worker`
          help: push it, too: `cargo xtask push -p my-app-worker --format json`
        --- exit 1
    "#]]
    .assert_eq(&run(&["-f", "b.yaml", "--images", "refs.txt"]).shown());
    workspace.file("other.txt", reference.replace("sha256:1", "sha256:2"));
    let output = run(&["-f", "b.yaml", "--images", "push.json", "--images", "other.txt"]);
    assert!(
        output.stderr.contains("b.yaml:1:4: `my-app` has two images: `push.json` says 222"),
        "{output:#?}"
    );
    assert!(output.stderr.contains("`my-app-worker` has no image: `push.json` says `failed`: cargo failed"));
    let output = run(&["-f", "a.yaml", "--images", "a.yaml"]);
    assert!(output.stderr.contains("error: `a.yaml` has no images\n\nCaused by:"), "{output:#?}");
    // The account that the workspace is pinned to holds here, too.
    let pinned = Workspace::new()
        .metadata("region = \"us-east-1\"\naccount-id = \"111111111111\"\n")
        .service("my-app", "");
    pinned.file("refs.txt", format!("{reference}\n"));
    pinned.file("a.yaml", "image: ecr://my-app\n");
    let output = pinned.command(&["resolve", "-f", "a.yaml", "--images", "refs.txt"]).run();
    assert!(
        output.stderr.contains("`refs.txt` is about the registry of account 222222222222, and"),
        "{output:#?}"
    );
}

#[test]
fn resolve_in_place_is_repeatable() {
    let (it, app, worker) = pushed();
    let host = it.registry.host();
    let old =
        "image: h.io/my-app:0.9.0 # ecr://my-app\n---\nimage: h.io/worker # ecr://my-app-worker#tagged\n";
    it.workspace.file("a.yaml", old);
    it.workspace.file("b.yaml", "nothing: here\n");
    let text = || std::fs::read_to_string(it.workspace.root().join("a.yaml")).unwrap();
    let resolve = |args: &[&str]| it.run(&[&["resolve", "-f", "a.yaml", "-f", "b.yaml"], args].concat());
    let checked = resolve(&["--check"]);
    assert_eq!((checked.code, text()), (2, old.to_owned()));
    assert_eq!(
        checked.stdout,
        format!("a.yaml:1: {host}/my-app@{app}\na.yaml:3: {host}/my-app-worker:1.0.0@{worker}\n")
    );
    // One service at a time.
    resolve(&["--in-place", "-p", "my-app"]).good();
    assert_eq!(text(), old.replace("h.io/my-app:0.9.0", &format!("{host}/my-app@{app}")));
    let output = resolve(&["--in-place"]).good();
    assert!(output.stdout.is_empty() && output.stderr.contains("Changed a.yaml"), "{output:#?}");
    let new = text();
    let output = resolve(&["--in-place"]).good();
    assert!(!output.stderr.contains("Changed") && text() == new, "{output:#?}");
    resolve(&["--check"]).good();
}

#[test]
fn resolve_writes_below_a_folder() {
    let (it, app, _) = pushed();
    it.workspace.file("k8s/app.yaml", "image: ecr://my-app\n");
    it.workspace.file("k8s/latin.yaml", b"name: \xE9\n");
    it.workspace.file("up/x.yaml", "image: ecr://my-app\n");
    it.run(&["resolve", "-f", "k8s", "-f", "./up", "-o", "out"]).good();
    let out = it.workspace.root().join("out");
    let read = |name: &str| std::fs::read(out.join(name)).unwrap();
    let resolved = format!("image: {}/my-app@{app}\n", it.registry.host());
    assert_eq!((read("k8s/app.yaml"), read("up/x.yaml")), (resolved.clone().into(), resolved.into()));
    assert_eq!(read("k8s/latin.yaml"), b"name: \xE9\n");
    assert_eq!(files_below(&out).len(), 3);
    let shown = |args: &[&str]| it.run(&[&["resolve"], args].concat()).shown();
    assert!(shown(&["-f", "k8s", "-o", "."]).contains("error: --output would overwrite `k8s/app.yaml`"));
    let absolute = |name: &str| it.workspace.root().join(name).display().to_string();
    it.workspace.file("other/x.yaml", "");
    let shown = shown(&["-f", &absolute("up"), "-f", &absolute("other"), "-o", "out2"]);
    assert!(shown.contains("would both be written to `out2/x.yaml`"), "{shown}");
}

#[test]
fn resolve_refuses_files_that_it_cannot_read() {
    let (it, ..) = pushed();
    it.workspace.file("latin.yaml", b"a: \xE9\nb: ecr://my-app\n");
    it.workspace
        .file("wide.yaml", "x: ecr://my-app".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    std::fs::create_dir(it.workspace.root().join("empty")).unwrap();
    let shown = |file: &str| it.run(&["resolve", "-f", file]).shown();
    expect![[r#"
        --- stderr
        error: failed to read `latin.yaml`

        Caused by:
          it is not UTF-8: line 1 has the byte 0xE9

        help: save it as UTF-8, such as with `iconv --from-code=WINDOWS-1252 --to-code=UTF-8 FILE > NEW`
        --- exit 1
    "#]]
    .assert_eq(&shown("latin.yaml"));
    assert!(shown("wide.yaml").contains("it is UTF-16, not UTF-8"));
    expect![[r#"
        --- stderr
        error: `empty` has no file that is named *.yaml, *.yml, *.json, *.tf, *.tfvars, *.env, *.tpl

        help: name the files, or pass --recursive for the folders below
        --- exit 1
    "#]]
    .assert_eq(&shown("empty"));
    assert!(shown("missing.yaml").contains("failed to read `missing.yaml`"));
}

#[test]
fn resolve_writes_values_for_other_tools() {
    let (it, app, worker) = pushed();
    let host = it.registry.host();
    let values =
        ["kustomize=k/kustomization.yaml", "helm=h.yaml", "tfvars=t.tfvars", "env=e.env", "json=j.json"];
    let args: Vec<_> = values.iter().flat_map(|it| ["--write", it]).collect();
    let output = it.run(&[&["resolve"][..], &args].concat()).good();
    assert!(output.stdout.is_empty(), "{output:#?}");
    let read = |name: &str| std::fs::read_to_string(it.workspace.root().join(name)).unwrap();
    assert_eq!(
        read("e.env"),
        format!("MY_APP_IMAGE={host}/my-app@{app}\nMY_APP_WORKER_IMAGE={host}/my-app-worker@{worker}\n")
    );
    assert_eq!(
        read("k/kustomization.yaml").lines().take(6).collect::<Vec<_>>(),
        [
            "apiVersion: kustomize.config.k8s.io/v1alpha1",
            "kind: Component",
            "images:",
            "- name: \"ecr://my-app\"",
            &format!("  newName: \"{host}/my-app\""),
            &format!("  digest: \"{app}\""),
        ]
    );
    assert_eq!(it.workspace.json("j.json")["images"]["my-app"]["tag"], "1.0.0");
    // With files, they are the images that those name.
    it.workspace.file("a.yaml", "image: ecr://my-app\n");
    it.run(&["resolve", "-f", "a.yaml", "--write", "env=e.env"]).good();
    assert_eq!(read("e.env").lines().count(), 1);
}

#[test]
fn resolve_needs_no_more_than_one_way_to_ask() {
    let (it, app, _) = pushed();
    it.workspace.file("a.yaml", "image: ecr://my-app#digest\n");
    let it = it.with_faults_kept(&["deny=DescribeImages"]);
    let output = it.run(&["resolve", "-f", "a.yaml"]).good();
    assert_eq!(output.stdout, format!("image: {app}\n"));
    expect![[r#"
        [
            "no permission for ecr:DescribeImages: digests were read with ecr:BatchGetImage, which ECR records as a pull (my-app)",
        ]
    "#]]
    .assert_debug_eq(&output.warnings());
}

#[test]
fn resolve_names_no_image_that_it_is_not_sure_of() {
    let it = Workspace::new()
        .service("two", "[package.metadata.ecr.image]\ntags = [\"{version}\", \"stable\"]\n")
        .service("late", "[package.metadata.ecr.image]\ntags = [\"{version}-{digest}\"]\n")
        .service("old", "")
        .repositories(r#"{"repositories": [{"name": "plain"}]}"#)
        .start()
        .created();
    let (one, _) = (it.registry.image("two", "1.0.0"), it.registry.image("two", "stable"));
    let old = it.registry.image("old", "1.0.0");
    let id = ImageIdentifier::builder().image_digest(&old).build();
    it.registry.sdk(async |ecr| {
        let request = ecr.update_image_storage_class().repository_name("old").image_id(id);
        request.target_storage_class(TargetStorageClass::Archive).send().await
    });
    it.workspace.file("a.yaml", "a: ecr://two\nb: ecr://late\nc: ecr://old\nd: ecr://plain\n");
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
        error: 4 references cannot be resolved

        a.yaml:1:4: the tags of `two` name two images: `1.0.0` is sha256:[DIGEST], and `stable` is sha256:[DIGEST]
          help: choose one with --tag, such as `--tag stable`

        a.yaml:2:4: the tags of `late` contain the digest of an image, so that none is known before it is built
          help: pass the document of `push --format json` with --images, or a tag with --tag

        a.yaml:3:4: the image `old:1.0.0` is archived, and cannot be pulled
          help: restore it, which takes about 20 minutes: `aws ecr update-image-storage-class --repository-name old --image-id imageDigest=sha256:[DIGEST] --target-storage-class STANDARD`

        a.yaml:4:4: `plain` belongs to no service, so that no tag of it is configured
          help: pass a tag with --tag
        --- exit 1
    "#]].assert_eq(&it.run(&["resolve", "-f", "a.yaml"]).shown());
    it.workspace.file("a.yaml", "a: ecr://two#digest\n");
    assert_eq!(
        it.run(&["resolve", "-f", "a.yaml", "--tag", "{version}"]).good().stdout,
        format!("a: {one}\n")
    );
}

#[test]
fn resolve_needs_files_or_values() {
    let workspace = Workspace::example();
    let shown = |args: &[&str]| workspace.command(&[&["resolve"], args].concat()).run().stderr;
    assert!(shown(&[]).contains("--file <FILE>"));
    assert!(
        shown(&["--write", "yaml=x"])
            .contains("`yaml` is not a format: kustomize, helm, tfvars, env or json")
    );
    assert!(
        shown(&["-f", "-", "--in-place", "--local"]).contains("stdin has no name, which --in-place needs")
    );
}

#[test]
fn deployments_of_this_workspace_are_resolved() {
    let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).canonicalize().unwrap();
    let path = |name: &str| root.join(name).display().to_string();
    let workspace = Workspace::new();
    let digest = format!("sha256:{}", "1".repeat(64));
    let entry = |name: &str| json!({"repository": name, "tag": "1.0.0", "reference": format!("h.io/{name}@{digest}")});
    workspace.file("i.json", json!({"images": [entry("my-app"), entry("my-app-worker")]}).to_string());
    let args = [
        "--manifest-path",
        &path("Cargo.toml"),
        "-f",
        &path("app/k8s"),
        "-f",
        &path("worker/k8s"),
        "--images",
        "i.json",
    ];
    let output = workspace.command(&[&["resolve"], &args[..]].concat()).run().good();
    for name in ["my-app", "my-app-worker"] {
        assert!(
            output.stdout.contains(&format!("          image: h.io/{name}:1.0.0@{digest}\n")),
            "{}",
            output.stdout
        );
    }
    assert_eq!(output.stdout.matches("\n---\n").count(), 2);
}
