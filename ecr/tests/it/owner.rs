//! The owner of repositories in a push.

use crate::support::fixture::{image, push};
use crate::support::{Fixture, Workspace};

/// A workspace of the project `ours`, and its repository, which belongs to nobody.
fn ours() -> Fixture {
    let workspace = Workspace::new().metadata("region = \"us-east-1\"\nproject = \"ours\"\n");
    let fixture = workspace.service("my-app", "").start();
    fixture.registry.create_plain("my-app");
    fixture
}

#[test]
fn push_refuses_a_foreign_repository() {
    let fixture = ours();
    fixture.registry.tag("my-app", &[("Project", "theirs")]);
    assert_eq!(image(&push(&fixture, &[]), 5)["outcome"], "failed");
    assert_eq!(image(&push(&fixture, &["--create"]), 5)["outcome"], "failed");
}

/// The owner is asked before something is written, and a push that changes nothing asks nothing more.
#[test]
fn push_asks_for_the_owner_before_it_writes() {
    let fixture = ours();
    let asked = || fixture.registry.calls().get("ListTagsForResource").copied().unwrap_or_default();
    assert_eq!(image(&push(&fixture, &[]), 0)["outcome"], "pushed");
    assert_eq!(asked(), 1);
    assert_eq!(image(&push(&fixture, &[]), 0)["outcome"], "unchanged");
    assert_eq!(asked(), 0);
    fixture.registry.tag("my-app", &[("Project", "theirs")]);
    assert_eq!(image(&push(&fixture, &["--tag", "new"]), 5)["outcome"], "failed");
    assert_eq!(fixture.registry.images("my-app"), 1);
}

/// It is asked while the service is compiled, and not when its image is there.
#[test]
fn push_asks_for_the_owner_during_the_build() {
    let workspace = Workspace::new().metadata("region = \"us-east-1\"\nproject = \"ours\"\n");
    let fixture = workspace.service("my-app", "").start();
    fixture.registry.create_plain("my-app");
    fixture.workspace.file("my-app/src/main.rs", "fn main() { this is no Rust }\n");
    assert_eq!(image(&push(&fixture, &[]), 1)["outcome"], "failed");
    let calls = fixture.registry.calls();
    assert_eq!((calls.get("BatchGetImage"), calls.get("ListTagsForResource")), (Some(&1), Some(&1)));
}
