//! Lifecycle policies whose effect AWS does not document: what may go is asked about and refused like what goes.

use expect_test::expect;
use serde_json::json;

use crate::support::{Fixture, POLICY, without_digests};

/// Three images with two artifacts each, and a policy that keeps the last three.
fn signed() -> Fixture {
    let fixture = Fixture::example().created();
    for n in 1..=3 {
        let subject = fixture.registry.layered("my-app", &[('i', n)], json!({}), Some(&format!("1.0.{n}")));
        for kind in ["signature", "sbom"] {
            let subject = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": 1});
            let more = json!({"subject": subject, "artifactType": format!("application/x-{kind}")});
            fixture.registry.layered("my-app", &[('s', n)], more, None);
        }
    }
    fixture.workspace.file("three.json", POLICY.replace("\"countNumber\":10", "\"countNumber\":3"));
    fixture
}

#[test]
fn preview_names_each_question_in_one_line() {
    let fixture = signed();
    let args = ["ecr", "lifecycle", "preview", "--policy", "three.json"];
    let shown = fixture.run(&args).good().shown();
    expect![[r#"
        my-app: 9 images, 0 would expire (0 B), 0 would be archived, 0 would be deleted with their subject, 3 kept, 6 may expire
          ? [-digest--]  untagged  233 B  rule 1
          ? [-digest--]  1.0.1  32 B  rule 1
          ? [-digest--]  untagged  228 B  rule 1
          ? [-digest--]  1.0.2  33 B  rule 1
          ? [-digest--]  untagged  234 B  rule 1
          ? [-digest--]  untagged  229 B  rule 1
          ? 6 images: are artifacts attached to an image counted among the last N, and selected by `untagged` and `any`? AWS does not say; the only public report says that they are counted (aws/containers-roadmap#2613)
        my-app-worker: 0 images, 0 would expire (0 B), 0 would be archived, 0 would be deleted with their subject, 0 kept
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        warning: my-app: rule 1: 6 artifacts: are artifacts attached to an image counted among the last N, and selected by `untagged` and `any`? AWS does not say; the only public report says that they are counted (aws/containers-roadmap#2613)
        help: leave room for 2 artifacts an image: {"countNumber":9}
           Previewed 2 repositories, 0 images would expire, 0 would be archived, 6 may
    "#]].assert_eq(&without_digests(&shown));
    let report = fixture.run(&[&args[..], &["--format", "json"]].concat()).json_with(0);
    let app = &report["repositories"][0];
    assert_eq!((&app["expired"], &app["kept"]), (&json!([]), &json!(3)));
    let uncertain = app["mayExpire"].as_array().unwrap();
    assert_eq!(uncertain.len(), 6);
    assert!(uncertain.iter().all(|it| it["questions"] == json!(["artifacts-counted"])));
    assert_eq!(app["questions"][0]["id"], "artifacts-counted");
    assert_eq!(app["warnings"][0]["id"], "count-counts-artifacts");
}

#[test]
fn preview_of_ecr_wins() {
    let fixture = signed();
    let args = ["ecr", "lifecycle", "preview", "--policy", "three.json", "--aws", "--format", "json"];
    let report = fixture.run(&args).json_with(0);
    let app = &report["repositories"][0];
    assert_eq!((&app["mayExpire"], &app["kept"]), (&json!([]), &json!(9)));
    assert_eq!((&app["questions"], &app["disagreements"]), (&json!([]), &json!([])));
}

#[test]
fn create_asks_about_what_may_go_and_refuses_what_is_in_use() {
    let fixture = signed();
    let three = fixture.workspace.root().join("three.json");
    fixture.workspace.file("ecr/lifecycle-policy.json", std::fs::read(three).unwrap());
    fixture.registry.calls();
    let plan = fixture.run(&["ecr", "plan"]).good();
    expect![[r#"
        ~ my-app
            ~ lifecyclePolicy: rule 1 is changed
            ? 6 images may expire or be archived, tags: 1.0.2, 1.0.1
              6 images: are artifacts attached to an image counted among the last N, and selected by `untagged` and `any`? AWS does not say; the only public report says that they are counted (aws/containers-roadmap#2613)
        ~ my-app-worker
            ~ lifecyclePolicy: rule 1 is changed
        Plan: 0 to create, 2 to change, 0 unchanged
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
    "#]].assert_eq(&without_digests(&plan.shown()));
    let refused = fixture.run(&["ecr", "create"]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        warning: the new lifecycle policy of `my-app` may expire or archive images within a day
            ? 6 images may expire or be archived, tags: 1.0.2, 1.0.1
              6 images: are artifacts attached to an image counted among the last N, and selected by `untagged` and `any`? AWS does not say; the only public report says that they are counted (aws/containers-roadmap#2613)
        error: a lifecycle policy may expire or archive images with 2 tags, and stdin is not a terminal, so it cannot be confirmed

        help: pass --yes to confirm; `cargo xtask ecr lifecycle preview` lists each image
        --- exit 5
    "#]].assert_eq(&refused.shown());
    fixture.workspace.file("used.txt", "my-app:1.0.2\n");
    let refused = fixture.run(&["ecr", "create", "--yes", "--in-use", "used.txt"]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        warning: the new lifecycle policy of `my-app` may expire or archive images within a day
            ? 6 images may expire or be archived, tags: 1.0.2, 1.0.1
              6 images: are artifacts attached to an image counted among the last N, and selected by `untagged` and `any`? AWS does not say; the only public report says that they are counted (aws/containers-roadmap#2613)
            ! in use: my-app:1.0.2
        error: a lifecycle policy may expire or archive 1 image in use

        help: change the policy so that it keeps them (see `cargo xtask ecr lifecycle preview`), or stop using them first
        --- exit 5
    "#]].assert_eq(&refused.shown());
    assert_eq!(fixture.registry.writes(), [""; 0]);
    let done = fixture.run(&["ecr", "create", "--yes", "--format", "json"]).json_with(0);
    assert_eq!(done["repositories"][0]["expires"]["mayGo"]["images"], 6);
}
