//! Each command runs under the document of its role, and without any one of its actions it fails or warns by that name.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::iam::{drift, index, with_every_setting, with_shared_layer};
use crate::support::{Fixture, Registry, Workspace};

/// The documents of AWS's guides and of the article that this tool grew out of.
const PUBLISHED: &str = include_str!("../aws-policies.json");

/// The actions of a role's document.
fn actions(workspace: &Workspace, role: &str) -> BTreeSet<String> {
    let command = ["ecr", "iam-policy", role, "--local", "--format", "json"];
    let document = workspace.command(&command).run().json_with(0);
    let statements = document["Statement"].as_array().unwrap().iter();
    let actions = statements.flat_map(|it| it["Action"].as_array().unwrap());
    actions.map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[test]
fn iam_policy_covers_the_documents_of_aws() {
    let workspace = Workspace::example();
    let published: Value = serde_json::from_str(PUBLISHED).unwrap();
    for row in published.as_array().unwrap() {
        if row["registry"] == true {
            continue;
        }
        let roles = row["roles"].as_array().unwrap().iter().map(|it| it.as_str().unwrap());
        let ours: BTreeSet<_> = roles.flat_map(|role| actions(&workspace, role)).collect();
        for action in row["actions"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()) {
            assert!(ours.contains(action), "{action} of {}", row["source"]);
        }
    }
}

/// Runs the commands of a role on copies of a state, each without one of the actions of its document, and looks for its name.
fn check_each_action(role: &str, fixture: Fixture, commands: &[&[&str]]) {
    let Fixture { workspace, registry } = fixture;
    let state = registry.stop();
    let check = |action: &str| {
        let registry = Registry::on_copy(&state, &[&format!("deny={}", action.trim_start_matches("ecr:"))]);
        let run = |command: &&[&str]| workspace.command(command).registry(&registry).run();
        let outputs: Vec<_> = commands.iter().map(run).collect();
        let is_named = outputs.iter().any(|it| it.stderr.contains(action));
        assert!(is_named, "{role} without {action}: {outputs:#?}");
    };
    std::thread::scope(|scope| {
        for action in actions(&workspace, role) {
            scope.spawn(move || check(&action));
        }
    });
}

#[test]
fn iam_policy_read_has_no_action_that_is_missed_in_silence() {
    let fixture = with_every_setting().created();
    index(&fixture.registry);
    drift(&fixture.registry);
    fixture.registry.sdk(async |ecr| ecr.delete_repository().repository_name("my-app-worker").send().await);
    let commands: [&[&str]; 5] = [
        &["ecr", "images"],
        &["ecr", "status"],
        // Without a repository, the host of the registry comes with the token.
        &["ecr", "status", "-p", "my-app-worker"],
        &["ecr", "scan"],
        &["ecr", "lifecycle", "preview"],
    ];
    check_each_action("read", fixture, &commands);
}

#[test]
fn iam_policy_provision_has_no_action_that_is_missed_in_silence() {
    let fixture = with_every_setting();
    fixture.run(&["ecr", "create", "-p", "my-app", "-p", "bare", "-p", "shared"]).good();
    index(&fixture.registry);
    drift(&fixture.registry);
    let commands: [&[&str]; 5] = [
        &["ecr", "plan"],
        &["ecr", "create", "--yes"],
        &["ecr", "lifecycle", "preview", "--aws"],
        &["ecr", "delete", "--yes"],
        // Without a repository, the host of the registry comes with the token.
        &["ecr", "plan"],
    ];
    check_each_action("provision", fixture, &commands);
}

#[test]
fn iam_policy_ci_has_no_action_that_is_missed_in_silence() {
    let push: [&[&str]; 2] = [
        &["push", "--profile", "dev", "--fail-on", "low", "--unsupported", "pass"],
        // Another tag of the same images, of which the manifests are read.
        &["push", "--profile", "dev", "--tag", "1.0.0"],
    ];
    check_each_action("ci", with_shared_layer(), &push);
}
