//! Lifecycle policies: `ecr lifecycle`, `ecr create`, and the embedded ECR. `crates/lifecycle` tests all documented cases
//! on the engine itself.

use std::path::PathBuf;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Fixture, Registry, Workspace};

/// The documented cases, by file.
fn vectors() -> Vec<(PathBuf, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crates/lifecycle/tests/vectors");
    let files = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let mut files: Vec<_> = files.filter(|it| it.extension().is_some_and(|it| it == "json")).collect();
    files.sort();
    assert!(files.len() >= 81);
    let read =
        |it: PathBuf| (it.clone(), serde_json::from_str(&std::fs::read_to_string(it).unwrap()).unwrap());
    files.into_iter().map(read).collect()
}

/// A sample of the documented cases, which is enough for the commands: they only call the engine.
fn some_vectors() -> Vec<(PathBuf, Value)> {
    vectors().into_iter().step_by(20).collect()
}

fn policy_text(vector: &Value) -> String {
    vector["policyText"].as_str().map_or_else(|| vector["policy"].to_string(), str::to_owned)
}

#[test]
fn lifecycle_check_agrees_with_the_documented_cases() {
    let workspace = Workspace::new();
    for (file, vector) in some_vectors() {
        workspace.file("policy.json", policy_text(&vector));
        let output =
            workspace.command(&["ecr", "lifecycle", "check", "policy.json", "--format", "json"]).run();
        let report = output.json();
        let is_valid = vector["valid"].as_bool().unwrap();
        assert_eq!(report["valid"], is_valid, "{}: {report}", file.display());
        assert_eq!(output.code, i32::from(!is_valid), "{}", file.display());
        assert_eq!(report["errors"].as_array().unwrap().is_empty(), is_valid, "{report}");
    }
}

#[test]
fn lifecycle_preview_agrees_with_the_documented_cases() {
    let workspace = Workspace::new();
    for (file, vector) in some_vectors() {
        if vector["valid"] == false {
            continue;
        }
        workspace.file("policy.json", policy_text(&vector));
        let (images, now) = (file.to_str().unwrap(), vector["now"].as_str().unwrap());
        let args = ["ecr", "lifecycle", "preview", "--policy", "policy.json", "--format", "json"];
        let output = workspace.command(&[&args[..], &["--images", images, "--now", now]].concat()).run();
        let report = output.json_with(0);
        let repository = &report["repositories"][0];
        for key in ["expired", "transitioned"] {
            let rows = repository[key].as_array().unwrap().iter();
            let found: Vec<_> =
                rows.map(|it| json!({"digest": it["digest"], "rulePriority": it["rulePriority"]})).collect();
            let wanted = vector.get(key).cloned().unwrap_or(json!([]));
            assert_eq!(json!(found), wanted, "{key} of {}", file.display());
        }
        let cascaded = vector.get("cascaded").cloned().unwrap_or(json!([]));
        assert_eq!(repository["cascaded"], cascaded, "{}", file.display());
    }
}

#[test]
fn registry_lifecycle_policy_agrees_with_the_documented_cases() {
    let registry = Registry::start();
    registry.create_plain("my-app");
    for (file, vector) in vectors() {
        let text = policy_text(&vector);
        let answer = registry.try_sdk(async |ecr| {
            ecr.put_lifecycle_policy().repository_name("my-app").lifecycle_policy_text(text).send().await
        });
        match answer {
            Ok(_) => assert_eq!(vector["valid"], true, "{}", file.display()),
            Err(error) => {
                let error = error.into_service_error();
                assert_eq!(vector["valid"], false, "{}: {error:?}", file.display());
                assert!(error.is_invalid_parameter_exception());
            }
        }
    }
}

const TWO_WORDS: &str = r#"{"rules": [
  {"rulePriority": 1, "description": "Keep production images", "selection": {"tagStatus": "tagged",
    "tagPrefixList": ["prod-", "release-"], "countType": "imageCountMoreThan", "countNumber": 20},
   "action": {"type": "expire"}},
  {"rulePriority": 2, "description": "untagged ones go", "selection": {"tagStatus": "untagged",
    "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 7}, "action": {"type": "expire"}}
]}"#;

#[test]
fn lifecycle_check_reports_errors_and_warnings() {
    let workspace = Workspace::example();
    workspace.file("ecr/lifecycle-policy.json", TWO_WORDS);
    let output = workspace.command(&["ecr", "lifecycle", "check"]).run().good();
    expect![[r#"
        ecr/lifecycle-policy.json:2:3: warning: rule 1: `tagPrefixList` with several prefixes selects only images that have a matching tag for each of them: an image whose tags match only `prod-` or `release-` is neither selected nor protected by this rule
            help: write one rule for each, with {"tagPrefixList":["prod-"]} and {"tagPrefixList":["release-"]}
        ecr/lifecycle-policy.json:5:3: warning: rule 2: the images of a multi-platform index have no tags of their own, so this rule selects them: they stay while their index exists, and the rule applies to them as soon as the index is deleted
            help: leave room for every platform of every index that you delete, such as {"countNumber":14,"countType":"sinceImagePushed","countUnit":"days"}
        --- stderr
             Checked 1 policy: 0 errors, 2 warnings
    "#]].assert_eq(&output.shown());
    workspace
        .file("ecr/lifecycle-policy.json", TWO_WORDS.replace("\"days\"", "\"hours\"").replace("20}", "0}"));
    let output = workspace.command(&["ecr", "lifecycle", "check"]).run();
    assert_eq!(output.code, 1);
    expect![[r#"
        ecr/lifecycle-policy.json:3:95: error: rule 1: `countNumber` is 0: it must be 1 or more
            ECR would answer: numeric instance is lower than the required minimum (minimum: 1, found: 0)
        ecr/lifecycle-policy.json:6:51: error: rule 2: `countUnit` is `hours`: it must be `days`
            ECR would answer: instance value ("hours") not found in enum (possible values: ["days"])
        --- stderr
             Checked 1 policy: 2 errors, 0 warnings
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
    // Every other command reports the same errors as problems of the configuration.
    let output = workspace.local(&["ecr", "plan"]);
    assert_eq!(output.code, 1);
    expect![[r#"
        --- stderr
        error: there are 2 problems in the configuration

        ecr/lifecycle-policy.json:3:95: rule 1: `countNumber` is 0: it must be 1 or more
          help: ECR would answer: numeric instance is lower than the required minimum (minimum: 1, found: 0)

        ecr/lifecycle-policy.json:6:51: rule 2: `countUnit` is `hours`: it must be `days`
          help: ECR would answer: instance value ("hours") not found in enum (possible values: ["days"])
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn lifecycle_preview_offline_shows_each_image() {
    let workspace = Workspace::new();
    workspace.file("policy.json", TWO_WORDS);
    let digest = |n: u8| format!("sha256:{}", format!("{n:02x}").repeat(32));
    let images = json!({"repositories": [{"name": "my-app", "images": [
        {"digest": digest(1), "tags": [], "pushedAt": "2026-06-01T12:00:00+02:00", "lastPulledAt": null,
         "sizeBytes": 1_500_000, "mediaType": "x", "subject": null, "children": null},
        {"digest": digest(2), "tags": [], "pushedAt": "2026-06-08T00:00:00Z", "sizeBytes": 2_000_000,
         "scanStatus": null},
        {"digest": digest(3), "tags": ["prod-1"], "pushedAt": "2026-06-08T00:00:00Z"},
        {"digest": digest(4), "tags": [], "pushedAt": "2026-06-15T00:00:00Z", "subject": digest(1)},
    ]}]});
    workspace.file("images.json", images.to_string());
    let args = ["ecr", "lifecycle", "preview", "--policy", "policy.json", "--images", "images.json"];
    let output = workspace.command(&[&args[..], &["--now", "2026-06-15T12:00:00Z"]].concat()).run().good();
    expect![[r#"
        my-app: 4 images, 1 would expire (1.5 MB), 0 would be archived, 1 would be deleted with their subject, 1 kept, 1 may expire
          - 010101010101  untagged  1.5 MB  rule 2
          - 040404040404  with its subject
          ? 020202020202  untagged  2.0 MB  rule 2
          ? 1 image: is an image older than N days after N times 24 hours, or only after another whole day? AWS does not say
        --- stderr
        warning: my-app: rule 1: none of 4 images has the tags of {"tagPrefixList":["prod-","release-"]}: this rule does nothing here
        help: the newest tag is `prod-1`; write a rule for such tags, or remove this one
           Previewed 1 repository, 1 image would expire, 0 would be archived, 1 may
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn lifecycle_preview_bad_input_fails() {
    let workspace = Workspace::new();
    workspace.file("policy.json", TWO_WORDS);
    workspace.file("images.json", r#"[{"digest": "sha256:1"}]"#);
    let preview = |args: &[&str]| {
        let output = workspace.command(&[&["ecr", "lifecycle", "preview"], args].concat()).run();
        assert_eq!(output.code, 1, "{output:?}");
        output.shown()
    };
    expect![[r#"
        --- stderr
        error: `images.json` is not a list of images

        Caused by:
          `sha256:[DIGEST]` is not a digest (`sha256:[DIGEST]` and 64 lower-case hexadecimal digits) at line 1 column 23
        --- exit 1
    "#]].assert_eq(&preview(&["--policy", "policy.json", "--images", "images.json"]));
    expect![[r#"
        --- stderr
        error: failed to read `none.json`

        Caused by:
          No such file or directory (os error 2)
        --- exit 1
    "#]]
    .assert_eq(&preview(&["--policy", "none.json", "--images", "images.json"]));
    expect![[r#"
        --- stderr
        error: there are 2 problems in the configuration

        images.json: a lifecycle policy has at least 100 characters, this one has 24: a description makes it longer
          help: ECR would answer: Member must have length greater than or equal to 100

        images.json:1:1: a lifecycle policy must be an object, found a list
          help: ECR would answer: instance type (array) does not match any allowed primitive type (allowed: ["object"])
        --- exit 1
    "#]].assert_eq(&preview(&["--policy", "images.json", "--images", "images.json"]));
    expect![[r#"
        --- stderr
        error: invalid value 'tomorrow' for '--now <TIME>': `tomorrow` is not a time such as 2026-06-15T12:00:00Z

        For more information, try '--help'.
        --- exit 1
    "#]].assert_eq(&preview(&["--now", "tomorrow"]));
}

/// A policy that keeps one image.
fn keep_one() -> String {
    crate::support::POLICY.replace("\"countNumber\":10", "\"countNumber\":1")
}

#[test]
fn lifecycle_preview_online_agrees_with_the_preview_of_ecr() {
    let fixture = Fixture::example().created();
    for tag in ["1.0.0", "1.0.1"] {
        fixture.registry.image("my-app", tag);
    }
    fixture.workspace.file("one.json", keep_one());
    let args = ["ecr", "lifecycle", "preview", "--policy", "one.json", "--aws"];
    let report = fixture.run(&[&args[..], &["--format", "json"]].concat()).json_with(0);
    let app = &report["repositories"][0];
    assert_eq!(app["name"], "my-app");
    assert_eq!(app["expired"][0]["tags"], json!(["1.0.0"]));
    assert_eq!(app["kept"], 1);
    assert_eq!(app["disagreements"], json!([]));
    // Without `--policy`, the policy of the workspace counts, which keeps ten images.
    let report = fixture.run(&["ecr", "lifecycle", "preview", "--format", "json"]).json_with(0);
    assert_eq!(report["repositories"][0]["expired"], json!([]));
    assert_eq!(report["repositories"][0]["disagreements"], json!(null));
}

#[test]
fn create_asks_before_a_policy_expires_tagged_images() {
    let fixture = Fixture::example().created();
    for tag in ["1.0.0", "1.0.1"] {
        fixture.registry.image("my-app", tag);
    }
    fixture.workspace.file("ecr/lifecycle-policy.json", keep_one());
    let plan = fixture.run(&["ecr", "plan"]).good();
    expect![[r#"
        ~ my-app
            ~ lifecyclePolicy: rule 1 is changed
            ! 1 image would expire (10 B), tags: 1.0.0
        ~ my-app-worker
            ~ lifecyclePolicy: rule 1 is changed
        Plan: 0 to create, 2 to change, 0 unchanged
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
    "#]]
    .assert_eq(&plan.shown());
    fixture.registry.calls();
    let refused = fixture.run(&["ecr", "create"]);
    assert_eq!(refused.code, 5);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        warning: the new lifecycle policy of `my-app` would expire or archive images within a day
            ! 1 image would expire (10 B), tags: 1.0.0
        error: a lifecycle policy would expire or archive images with 1 tag, and stdin is not a terminal, so it cannot be confirmed

        help: pass --yes to confirm; `cargo xtask ecr lifecycle preview` lists each image
        --- exit 5
    "#]]
    .assert_eq(&refused.shown());
    let refused = fixture.run(&["push", "--create", "--allow-dirty"]);
    assert_eq!(refused.code, 5);
    assert_eq!(fixture.registry.writes(), [""; 0]);

    fixture.workspace.file("used.yaml", "spec:\n  containers:\n    - image: \"localhost/my-app:1.0.0\"\n");
    let refused = fixture.run(&["ecr", "create", "--yes", "--in-use", "used.yaml"]);
    assert_eq!(refused.code, 5);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        warning: the new lifecycle policy of `my-app` would expire or archive images within a day
            ! 1 image would expire (10 B), tags: 1.0.0
            ! in use: my-app:1.0.0
        error: a lifecycle policy would expire or archive 1 image in use

        help: change the policy so that it keeps them (see `cargo xtask ecr lifecycle preview`), or stop using them first
        --- exit 5
    "#]]
    .assert_eq(&refused.shown());
    assert_eq!(fixture.registry.writes(), [""; 0]);

    fixture.workspace.file("used.yaml", "image: localhost/my-app:1.0.1");
    let done = fixture.run(&["ecr", "create", "--yes", "--in-use", "used.yaml", "--format", "json"]);
    let report = done.json_with(0);
    assert_eq!(report["repositories"][0]["expires"]["tags"], json!(["1.0.0"]));
    assert_eq!(fixture.registry.writes(), ["PutLifecyclePolicy", "PutLifecyclePolicy"]);
}

#[test]
fn create_without_describe_images_warns_and_writes_policies() {
    let fixture = Fixture::example().with_faults(&["deny=DescribeImages"]).created();
    fixture.registry.image("my-app", "1.0.0");
    fixture.registry.image("my-app", "1.0.1");
    fixture.workspace.file("ecr/lifecycle-policy.json", keep_one());
    let done = fixture.run(&["ecr", "create"]).good();
    assert!(done.stderr.contains("no permission for ecr:DescribeImages"), "{}", done.stderr);
    assert_eq!(fixture.registry.writes().iter().filter(|it| *it == "PutLifecyclePolicy").count(), 2);
}
