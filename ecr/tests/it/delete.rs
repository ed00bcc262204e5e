//! `ecr delete`: what it deletes, what it keeps, and when it asks.

use expect_test::expect;
use serde_json::json;

use crate::support::proxy::{Proxy, Wrong};
use crate::support::{Fixture, Workspace, by_name};

#[test]
fn delete_without_terminal_or_yes_keeps_everything() {
    let fixture = Fixture::example().created();
    let output = fixture.run(&["ecr", "delete"]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
         Will delete my-app  0 images, 0 B
         Will delete my-app-worker  0 images, 0 B
        warning: nothing was deleted: stdin is not a terminal, so the deletion cannot be confirmed
        help: pass --yes to delete without confirmation
                Kept my-app
                Kept my-app-worker
            Finished 2 repositories: 2 kept
        --- exit 5
    "#]]
    .assert_eq(&output.shown());
    assert_eq!(fixture.registry.names(), ["my-app", "my-app-worker"]);
    let json = fixture.run(&["ecr", "delete", "--format", "json"]).json_with(5);
    assert_eq!(json["repositories"][0]["outcome"], "kept");
}

#[test]
fn delete_with_yes_deletes_and_then_finds_nothing() {
    let fixture = Fixture::example().created();
    fixture.registry.create_plain("not-ours");
    let json = fixture.run(&["ecr", "delete", "--yes", "--format", "json"]).json_with(0);
    assert_eq!((&json["account"], &json["project"]), (&json!("123456789012"), &json!("my-project")));
    assert_eq!(
        json["repositories"][1],
        json!({"name": "my-app-worker", "outcome": "deleted", "images": 0, "bytes": 0, "error": null})
    );
    assert_eq!(fixture.registry.names(), ["not-ours"]);
    let again = fixture.run(&["ecr", "delete"]).good();
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
           Not found my-app
           Not found my-app-worker
            Finished 2 repositories: 2 not found
    "#]]
    .assert_eq(&again.shown());
}

#[test]
fn delete_with_a_refused_repository_deletes_nothing() {
    let fixture = Workspace::example().service("vault", "protect = true\n").start().created();
    fixture.registry.tag("my-app", &[("Project", "another")]);
    fixture.registry.calls();
    let output = fixture.run(&["ecr", "delete", "--yes"]);
    assert_eq!(fixture.registry.writes(), [""; 0]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
             Refused my-app: owned by project `another`
                Kept my-app-worker
             Refused vault: protected (`protect = true`)
            Finished 3 repositories: 2 refused, 1 kept
        help: nothing was deleted; exclude the refused repositories with -p or --exclude
        --- exit 5
    "#]]
    .assert_eq(&output.shown());
    let json = fixture.run(&["ecr", "delete", "--yes", "--format", "json"]).json_with(5);
    let outcome = |name| by_name(&json["repositories"], name)["outcome"].clone();
    assert_eq!(
        [outcome("my-app"), outcome("my-app-worker"), outcome("vault")],
        ["refused", "kept", "refused"]
    );
}

#[test]
fn delete_takes_orphans_only_with_the_flag() {
    let fixture = Fixture::example().created();
    fixture.registry.create_plain("old");
    fixture.registry.tag("old", &[("ManagedBy", "cargo-xtask-ecr"), ("Project", "my-project")]);
    fixture.run(&["ecr", "delete", "--yes", "-p", "my-app"]).good();
    assert_eq!(fixture.registry.names(), ["my-app-worker", "old"]);
    fixture.run(&["ecr", "delete", "--yes", "--orphans"]).good();
    assert_eq!(fixture.registry.names(), [""; 0]);
}

#[test]
fn delete_without_permission_reports_the_failure() {
    let fixture = Fixture::example().with_faults(&["deny=DeleteRepository"]).created();
    let json = fixture.run(&["ecr", "delete", "--yes", "--format", "json"]).json_with(1);
    assert_eq!(json["repositories"][0]["outcome"], "failed");
    assert!(json["repositories"][0]["error"].as_str().unwrap().contains("AccessDeniedException"), "{json}");
}

#[test]
fn delete_refuses_orphans_that_are_unknown() {
    let fixture = Fixture::service().created();
    let output = fixture.run(&["ecr", "delete", "--yes", "--orphans"]);
    expect![[r#"
        --- stderr
        error: nothing was deleted: orphans cannot be identified, because no project is configured

        help: write `project = "..."` below [workspace.metadata.ecr], or omit --orphans
        --- exit 5
    "#]]
    .assert_eq(&output.shown());
    assert_eq!(fixture.registry.writes(), [""; 0]);
}

/// Two repositories of another project, on a registry that denies reading resource tags.
fn of_unknown_owner() -> Fixture {
    let fixture = Fixture::example().with_faults(&["deny=ListTagsForResource"]).created();
    for name in ["my-app", "my-app-worker"] {
        fixture.registry.tag(name, &[("Project", "another")]);
    }
    fixture
}

#[test]
fn delete_refuses_repositories_whose_owner_may_not_be_read() {
    let fixture = of_unknown_owner();
    let output = fixture.run(&["ecr", "delete", "--yes"]);
    assert_eq!(fixture.registry.writes(), [""; 0]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        warning: no permission for ecr:ListTagsForResource: ownership and resource tags were not checked (my-app, my-app-worker)
             Refused my-app: its owner is unknown without permission for ecr:ListTagsForResource
             Refused my-app-worker: its owner is unknown without permission for ecr:ListTagsForResource
            Finished 2 repositories: 2 refused
        help: nothing was deleted; exclude the refused repositories with -p or --exclude
        help: use credentials with ecr:ListTagsForResource, or pass --assume-owned if the repositories belong to `my-project`
        --- exit 5
    "#]].assert_eq(&output.shown());
    let json = fixture.run(&["ecr", "delete", "--yes", "--format", "json"]).json_with(5);
    assert_eq!(json["repositories"][1]["outcome"], "refused");
    assert!(json["repositories"][1]["error"].as_str().unwrap().contains("ecr:ListTagsForResource"), "{json}");
}

#[test]
fn delete_with_one_unknown_owner_keeps_the_others() {
    let fixture = Fixture::example().with_faults(&["deny=ListTagsForResource:1"]);
    for name in ["my-app", "my-app-worker"] {
        fixture.registry.create_plain(name);
    }
    let json =
        fixture.run(&["ecr", "delete", "--yes", "--format", "json", "--concurrency", "1"]).json_with(5);
    let mut outcomes: Vec<_> =
        json["repositories"].as_array().unwrap().iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    outcomes.sort();
    assert_eq!(outcomes, ["kept", "refused"]);
    assert_eq!(fixture.registry.names(), ["my-app", "my-app-worker"]);
}

#[test]
fn delete_assume_owned_needs_no_permission_to_read_tags() {
    let fixture = of_unknown_owner();
    let output = fixture.run(&["ecr", "delete", "--yes", "--assume-owned"]).good();
    assert_eq!(fixture.registry.names(), [""; 0]);
    assert!(output.warnings()[0].starts_with("no permission for ecr:ListTagsForResource"), "{output:#?}");
}

#[test]
fn delete_assume_owned_refuses_another_project_that_can_be_read() {
    let fixture = Fixture::example().created();
    fixture.registry.tag("my-app", &[("Project", "another")]);
    let output = fixture.run(&["ecr", "delete", "--yes", "--assume-owned"]);
    assert_eq!(output.code, 5, "{output:#?}");
    assert_eq!(fixture.registry.names(), ["my-app", "my-app-worker"]);
}

#[test]
fn delete_assume_owned_finds_no_orphans_without_their_tags() {
    let fixture = Fixture::service().with_faults(&["deny=ListTagsForResource"]);
    let fixture = Fixture { workspace: Workspace::example(), ..fixture };
    fixture.registry.create_plain("old");
    let output = fixture.run(&["ecr", "delete", "--yes", "--orphans", "--assume-owned"]);
    assert_eq!(output.code, 5, "{output:#?}");
    assert_eq!(fixture.registry.names(), ["old"]);
}

#[test]
fn delete_without_project_asks_for_no_owner() {
    let fixture = Fixture::service().with_faults(&["deny=ListTagsForResource"]).created();
    fixture.run(&["ecr", "delete", "--yes"]).good();
    assert_eq!(fixture.registry.names(), [""; 0]);
}

/// An error that is not repeated.
const INVALID: Wrong = Wrong::Instead(
    "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: 58\r\n\r\n\
     {\"__type\":\"InvalidParameterException\",\"message\":\"no tags\"}",
);

#[test]
fn delete_refuses_repositories_whose_tags_cannot_be_read() {
    let fixture = Fixture::example().created();
    let proxy = Proxy::with(&fixture.registry, "ListTagsForResource", INVALID);
    // The flag is for a missing permission. A failure may hide the tag of another project.
    for flags in [&["--yes"][..], &["--yes", "--assume-owned"]] {
        let args = [&["ecr", "delete", "--format", "json"], flags].concat();
        let output = fixture.workspace.command(&args).env("AWS_ENDPOINT_URL", &proxy.url()).run();
        let json = output.json_with(5);
        let error = json["repositories"][0]["error"].as_str().unwrap();
        assert_eq!(
            error,
            "its owner is unknown: ecr:ListTagsForResource: InvalidParameterException: no tags"
        );
    }
    assert_eq!(fixture.registry.names(), ["my-app", "my-app-worker"]);
}
