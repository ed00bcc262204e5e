//! The owner of repositories in a push.

use serde_json::Value;

use crate::support::{Fixture, Output, Workspace};

fn push(fixture: &Fixture, args: &[&str]) -> Output {
    fixture.run(&[&["push", "--profile", "dev", "--format", "json"], args].concat())
}

/// The only image in the report of a push.
fn image(output: &Output, code: i32) -> Value {
    let json = output.json_with(code);
    assert_eq!(json["images"].as_array().unwrap().len(), 1, "{json}");
    json["images"][0].clone()
}

#[test]
fn push_refuses_a_foreign_repository() {
    let fixture = Workspace::new()
        .metadata("region = \"us-east-1\"\nproject = \"ours\"\n")
        .service("my-app", "")
        .start();
    fixture.registry.create_plain("my-app");
    fixture.registry.tag("my-app", &[("Project", "theirs")]);
    assert_eq!(image(&push(&fixture, &[]), 5)["outcome"], "failed");
    assert_eq!(image(&push(&fixture, &["--create"]), 5)["outcome"], "failed");
}

/// The owner is asked before something is written, and a push that changes nothing asks nothing more.
#[test]
fn push_asks_for_the_owner_before_it_writes() {
    let fixture = Workspace::new()
        .metadata("region = \"us-east-1\"\nproject = \"ours\"\n")
        .service("my-app", "")
        .start();
    fixture.registry.create_plain("my-app");
    let asked = || fixture.registry.calls().get("ListTagsForResource").copied().unwrap_or_default();
    assert_eq!(image(&push(&fixture, &[]), 0)["outcome"], "pushed");
    assert_eq!(asked(), 1);
    assert_eq!(image(&push(&fixture, &[]), 0)["outcome"], "unchanged");
    assert_eq!(asked(), 0);
    fixture.registry.tag("my-app", &[("Project", "theirs")]);
    assert_eq!(image(&push(&fixture, &["--tag", "new"]), 5)["outcome"], "failed");
    assert_eq!(fixture.registry.images("my-app"), 1);
}
