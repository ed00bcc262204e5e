//! `ecr plan`: what it shows, and that it changes nothing.

use expect_test::expect;
use serde_json::json;

use crate::support::{Fixture, Workspace, by_name};

#[test]
fn plan_shows_each_field_and_changes_nothing() {
    let fixture = Fixture::example();
    fixture.registry.create_plain("my-app");
    let output = fixture.run(&["ecr", "plan"]).good();
    assert_eq!(fixture.registry.writes(), [""; 0]);
    expect![[r#"
        ~ my-app
            ~ imageTagMutability: MUTABLE -> IMMUTABLE
            ~ scanOnPush: false -> true
            + lifecyclePolicy: 1 rule
            ~ tags.ManagedBy: none -> cargo-xtask-ecr
            ~ tags.Project: none -> my-project
            ~ tags.Service: none -> my-app
        + my-app-worker  (to create)
            + imageTagMutability: IMMUTABLE
            + scanOnPush: true
            + tags: ManagedBy=cargo-xtask-ecr, Project=my-project, Service=my-app-worker
            + lifecyclePolicy: 1 rule
        Plan: 1 to create, 1 to change, 0 unchanged
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
    "#]]
    .assert_eq(&output.shown());

    let json = fixture.run(&["ecr", "plan", "--format", "json"]).json_with(0);
    assert_eq!(json["account"], "123456789012");
    assert_eq!(json["region"], "us-east-1");
    assert_eq!(json["project"], "my-project");
    assert_eq!(json["registry"], fixture.registry.host());
    assert_eq!(json["orphans"], json!(null));
    assert_eq!(
        json["summary"],
        json!({"create": 1, "change": 1, "unchanged": 0, "blocked": 0, "foreign": 0})
    );
    let app = by_name(&json["repositories"], "my-app");
    assert_eq!((&app["package"], &app["state"]), (&json!("my-app"), &json!("drifted")));
    assert_eq!(
        app["steps"][0],
        json!({"operation": "PutImageTagMutability", "field": "imageTagMutability", "observed": "MUTABLE", "desired": "IMMUTABLE"})
    );
    let worker = by_name(&json["repositories"], "my-app-worker");
    assert_eq!(worker["state"], "absent");
    assert_eq!(worker["steps"][0]["operation"], "CreateRepository");
    assert_eq!(worker["steps"][0]["field"], json!(null));
}

#[test]
fn plan_check_exit_code_tells_the_state() {
    let check = |fixture: &Fixture| fixture.run(&["ecr", "plan", "--check"]).code;
    let fixture = Fixture::example();
    assert_eq!(check(&fixture), 2);
    let fixture = fixture.created();
    assert_eq!(check(&fixture), 0);
    fixture.registry.tag("my-app", &[("Project", "another")]);
    assert_eq!(check(&fixture), 5);
    let fixture = Fixture { workspace: fixture.workspace.service("third", ""), ..fixture };
    assert_eq!(check(&fixture), 2, "a write outranks a foreign repository");
}

#[test]
fn plan_check_fails_for_a_blocked_repository() {
    let Fixture { registry, .. } = Fixture::service().created();
    let workspace = Workspace::new().service("my-app", "encryption = \"KMS\"\n");
    let output = workspace.on(&registry, &["ecr", "plan", "--check"]);
    expect![[r#"
        ! my-app  (blocked)
            ! encryptionConfiguration: encryptionType=AES256 -> encryptionType=KMS
              help: ECR cannot change the encryption of a repository: delete and re-create `my-app` (`cargo xtask ecr delete`, then `create`), or configure its current encryption
        Plan: 0 to create, 0 to change, 0 unchanged, 1 blocked
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
        --- exit 1
    "#]].assert_eq(&output.shown());
}

#[test]
fn plan_looks_for_orphans_only_with_the_flag() {
    let fixture = Fixture::example().created();
    for (name, project) in [("old", "my-project"), ("theirs", "another")] {
        fixture.registry.create_plain(name);
        fixture.registry.tag(name, &[("ManagedBy", "cargo-xtask-ecr"), ("Project", project)]);
    }
    fixture.registry.create_plain("untagged");
    let without = fixture.run(&["ecr", "plan", "--format", "json"]).json_with(0);
    assert_eq!(without["orphans"], json!(null));
    assert_eq!(fixture.registry.calls()["ListTagsForResource"], 2);
    let with = fixture.run(&["ecr", "plan", "--orphans", "--format", "json"]).json_with(0);
    assert_eq!(with["orphans"], json!(["old"]));
    assert_eq!(fixture.registry.calls()["ListTagsForResource"], 5);
}

#[test]
fn plan_selection_limits_the_repositories() {
    let fixture = Workspace::example().repositories(r#"{"repositories": [{"name": "extra"}]}"#).start();
    let names = |args: &[&str]| {
        let args = [&["ecr", "plan", "--format", "json"], args].concat();
        let json = fixture.run(&args).json_with(0);
        let names = json["repositories"].as_array().unwrap().iter();
        names.map(|it| it["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&[]), "extra my-app my-app-worker");
    assert_eq!(names(&["-p", "my-app"]), "my-app");
    assert_eq!(names(&["-p", "my-*"]), "my-app my-app-worker");
    assert_eq!(names(&["--exclude", "my-app"]), "extra my-app-worker");
    let wrong = fixture.run(&["ecr", "plan", "-p", "my-ap"]);
    expect![[r#"
        --- stderr
        error: no service matches `my-ap`

        help: did you mean `my-app`?
        --- exit 1
    "#]]
    .assert_eq(&wrong.shown());
}

#[test]
fn plan_without_project_has_no_foreign_repositories() {
    let fixture = Fixture::service();
    fixture.registry.create_plain("my-app");
    fixture.registry.tag("my-app", &[("Project", "another")]);
    let json = fixture.run(&["ecr", "plan", "--format", "json"]).json_with(0);
    assert_eq!(json["project"], json!(null));
    assert_eq!(json["repositories"][0]["state"], "drifted");
}

#[test]
fn plan_does_not_know_orphans_without_a_project_or_permission() {
    let fixture = Fixture::service();
    let output = fixture.run(&["ecr", "plan", "--orphans", "--format", "json"]);
    assert_eq!(output.json_with(0)["orphans"], json!(null));
    assert_eq!(output.warnings(), ["orphans cannot be identified: no project is configured"]);
    let denied = Fixture::example().with_faults(&["deny=ListTagsForResource"]);
    denied.registry.create_plain("old");
    let output = denied.run(&["ecr", "plan", "--orphans", "--format", "json"]);
    assert_eq!(output.json_with(0)["orphans"], json!(null));
    assert!(output.stderr.contains("orphans cannot be identified: the resource tags"), "{output:#?}");
}
