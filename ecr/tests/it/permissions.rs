//! Each command runs under the document of its role, and without any one of its actions it fails or warns by that name.

use std::collections::BTreeSet;

use expect_test::expect;
use serde_json::{Value, json};

use crate::iam::{drift, index, with_every_setting, with_shared_layer};
use crate::registry_settings::{PROFILE, set_everything};
use crate::support::{Fixture, Registry, Workspace};

/// The documents of AWS's guides and of the article that this tool grew out of.
const PUBLISHED: &str = include_str!("../aws-policies.json");

/// The actions of a role's document.
fn actions(workspace: &Workspace, role: &str) -> BTreeSet<String> {
    actions_of(
        &workspace.command(&["ecr", "iam-policy", role, "--local", "--format", "json"]).run().json_with(0),
    )
}

fn actions_of(document: &Value) -> BTreeSet<String> {
    let statements = document["Statement"].as_array().unwrap().iter();
    let actions = statements.flat_map(|it| it["Action"].as_array().unwrap());
    actions.map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[test]
fn iam_policy_covers_the_documents_of_aws() {
    let workspace = Workspace::example();
    let published: Value = serde_json::from_str(PUBLISHED).unwrap();
    let signed = signed_and_cached();
    let of_registry =
        actions_of(&signed.run(&["ecr", "iam-policy", "ci", "--registry", "--format", "json"]).json());
    for row in published.as_array().unwrap() {
        let roles = row["roles"].as_array().unwrap().iter().map(|it| it.as_str().unwrap());
        let ours: BTreeSet<_> = match row["registry"].as_bool() {
            Some(true) => of_registry.clone(),
            _ => roles.flat_map(|role| actions(&workspace, role)).collect(),
        };
        for action in row["actions"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()) {
            assert!(ours.contains(action), "{action} of {}", row["source"]);
        }
    }
}

/// A workspace whose registry signs what is pushed, and caches the base of a service.
fn signed_and_cached() -> Fixture {
    let base = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ecr-public/docker/library/debian:12";
    let image = format!("[package.metadata.ecr.image]\nbase = \"{base}\"\n");
    let fixture = Workspace::new().service("my-app", &image).start();
    set_everything(&fixture.registry);
    fixture
}

#[test]
fn iam_policy_ci_of_a_registry_names_profiles_and_caches() {
    let fixture = signed_and_cached();
    let document = fixture.run(&["ecr", "iam-policy", "ci", "--registry", "--format", "json"]).json();
    let statement =
        |sid: &str| document["Statement"].as_array().unwrap().iter().find(|it| it["Sid"] == sid).cloned();
    assert_eq!(statement("Signing").unwrap()["Resource"], json!([PROFILE]));
    let arn = "arn:aws:ecr:us-east-1:123456789012:repository/ecr-public/docker/library/debian";
    assert_eq!(statement("Caches").unwrap()["Resource"], json!([arn]));
    assert_eq!(
        statement("Caches").unwrap()["Action"],
        json!(["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"])
    );
    // Without the flag, the registry is not asked, and the note names the flag.
    fixture.registry.calls();
    let plain = fixture.run(&["ecr", "iam-policy", "ci"]).good();
    assert!(!plain.stdout.contains("signer:") && plain.stderr.contains("--registry"), "{plain:#?}");
    assert!(!fixture.registry.has_calls("GetSigningConfiguration"));
    // A document that would be incomplete is not printed.
    let denied = Fixture { registry: Registry::with_faults(&["deny=GetSigningConfiguration"]), ..fixture };
    let output = denied.run(&["ecr", "iam-policy", "ci", "--registry"]);
    assert!(output.code == 1 && output.stdout.is_empty(), "{output:#?}");
    assert!(output.stderr.contains("ecr:GetSigningConfiguration"), "{output:#?}");
    assert_eq!(denied.run(&["ecr", "iam-policy", "read", "--registry"]).code, 1);
}

#[test]
fn iam_policy_provision_of_a_registry_has_no_action_that_is_missed_in_silence() {
    let metadata = "region = \"us-east-1\"\naccount-id = \"123456789012\"\nprefix = \"team/\"\n\
                    lifecycle-policy = \"policy.json\"\n[workspace.metadata.ecr.registry]\nblob-mounting = true\n\
                    creation-template = true\ncustom-role-arn = \"arn:aws:iam::123456789012:role/ecr\"\n";
    let workspace = Workspace::new().metadata(metadata).service("my-app", "");
    workspace.file("policy.json", crate::support::POLICY);
    let command = ["ecr", "iam-policy", "provision", "--registry", "--format", "json"];
    let output = workspace.command(&command).without_keys().run().good();
    assert!(output.stderr.contains("AWSServiceRoleForECRTemplate"), "{output:#?}");
    let document = output.json();
    let of_registry = document["Statement"].as_array().unwrap().iter();
    let of_registry: Vec<_> =
        of_registry.filter(|it| it["Sid"] != "Registry" && it["Sid"] != "Repositories").collect();
    expect![[r#"
        [
          {
            "Action": [
              "ecr:CreateRepositoryCreationTemplate",
              "ecr:DescribeRepositoryCreationTemplates",
              "ecr:GetAccountSetting",
              "ecr:PutAccountSetting",
              "ecr:UpdateRepositoryCreationTemplate"
            ],
            "Effect": "Allow",
            "Resource": [
              "*"
            ],
            "Sid": "RegistrySettings"
          },
          {
            "Action": [
              "ecr:CreateRepository",
              "ecr:PutLifecyclePolicy"
            ],
            "Effect": "Allow",
            "Resource": [
              "arn:aws:ecr:us-east-1:123456789012:repository/team/*"
            ],
            "Sid": "TemplateRepositories"
          },
          {
            "Action": [
              "iam:PassRole"
            ],
            "Condition": {
              "StringEquals": {
                "iam:PassedToService": "ecr.amazonaws.com"
              }
            },
            "Effect": "Allow",
            "Resource": [
              "arn:aws:iam::123456789012:role/ecr"
            ],
            "Sid": "TemplateRole"
          }
        ]"#]]
    .assert_eq(&serde_json::to_string_pretty(&of_registry).unwrap());
    let update = ["ecr:UpdateRepositoryCreationTemplate"];
    for action in of_registry[0]["Action"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()) {
        let registry = Registry::with_faults(&[&format!("deny={}", action.trim_start_matches("ecr:"))]);
        if update.contains(&action) {
            registry.sdk(async |ecr| {
                let request = ecr.create_repository_creation_template().prefix("team");
                request.applied_for(aws_sdk_ecr::types::RctAppliedFor::Replication).send().await
            });
        }
        let output = workspace.on(&registry, &["ecr", "create", "--registry"]);
        assert!(output.code == 1 && output.stderr.contains(action), "{action}: {output:#?}");
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
    let fixture = with_shared_layer();
    fixture.workspace.git_init();
    let push: [&[&str]; 5] = [
        &["promote", "--to", "live-{n}", "--tag", "1.0.0"],
        &["push", "--profile", "dev", "--since", "HEAD"],
        &["push", "--profile", "dev", "--fail-on", "low", "--unsupported", "pass"],
        // Another tag of the same images, of which the manifests are read.
        &["push", "--profile", "dev", "--tag", "1.0.0"],
        &["push", "--profile", "dev", "--require-signed", "--timeout", "100ms"],
    ];
    check_each_action("ci", fixture, &push);
}

#[test]
fn iam_policy_trust_names_the_pipeline_exactly() {
    let workspace =
        Workspace::example().metadata("region = \"us-gov-west-1\"\naccount-id = \"123456789012\"\n");
    let trust = [
        "--trust",
        "github:my-org/my-repo@environment:prod",
        "--trust",
        "github:my-org/my-repo",
        "--trust",
        "buildkite:org/pipe@refs/tags/v1",
    ];
    let command = [&["ecr", "iam-policy", "ci"][..], &trust].concat();
    // The workspace names its account and region, so that no request is made.
    let output = workspace.command(&command).without_keys().run().good();
    expect![[r#"
        {
          "Version": "2012-10-17",
          "Statement": [
            {
              "Sid": "GitHub",
              "Effect": "Allow",
              "Principal": {
                "Federated": "arn:aws-us-gov:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
              },
              "Action": "sts:AssumeRoleWithWebIdentity",
              "Condition": {
                "StringEquals": {
                  "token.actions.githubusercontent.com:aud": [
                    "sts.amazonaws.com"
                  ],
                  "token.actions.githubusercontent.com:sub": [
                    "repo:my-org/my-repo:environment:prod",
                    "repo:my-org/my-repo:ref:refs/heads/main"
                  ]
                }
              }
            },
            {
              "Sid": "Buildkite",
              "Effect": "Allow",
              "Principal": {
                "Federated": "arn:aws-us-gov:iam::123456789012:oidc-provider/agent.buildkite.com"
              },
              "Action": "sts:AssumeRoleWithWebIdentity",
              "Condition": {
                "StringEquals": {
                  "agent.buildkite.com:aud": [
                    "sts.amazonaws.com"
                  ]
                },
                "StringLike": {
                  "agent.buildkite.com:sub": [
                    "organization:org:pipeline:pipe:ref:refs/tags/v1:commit:*:step:*"
                  ]
                }
              }
            }
          ]
        }
        --- stderr
        note: if `my-org/my-repo` was made, renamed or transferred since July 2026, its subject has the numbers of owner and repository: write github:OWNER@OWNER-ID/REPO@REPO-ID
        note: only the branch `main` of `my-org/my-repo` may assume the role: name another one as in --help
        note: if `my-org/my-repo` was made, renamed or transferred since July 2026, its subject has the numbers of owner and repository: write github:OWNER@OWNER-ID/REPO@REPO-ID
        help: save the policy as trust.json, then run `aws iam create-role --role-name ecr-ci --assume-role-policy-document file://trust.json`
        help: an account needs the identity provider once: `aws iam create-open-id-connect-provider --url https://agent.buildkite.com --client-id-list sts.amazonaws.com`
        help: an account needs the identity provider once: `aws iam create-open-id-connect-provider --url https://token.actions.githubusercontent.com --client-id-list sts.amazonaws.com`
    "#]].assert_eq(&output.shown());
    let json =
        workspace.command(&[&command[..], &["--format", "json"]].concat()).without_keys().run().json_with(0);
    assert_eq!(
        json["Statement"][0]["Condition"]["StringEquals"]["token.actions.githubusercontent.com:aud"][0],
        "sts.amazonaws.com"
    );
}

#[test]
fn iam_policy_trust_refuses_what_is_not_exact() {
    let workspace = Workspace::example();
    let shown = |role: &str, trust: &str| {
        let output = workspace.command(&["ecr", "iam-policy", role, "--local", "--trust", trust]).run();
        assert_eq!(output.code, 1, "{output:#?}");
        output.shown()
    };
    expect![[r#"
        --- stderr
        error: invalid value 'github:my-org/*' for '--trust <PIPELINE>': `github:my-org/*` has a wildcard, which would let other pipelines assume the role: write each pipeline with a --trust of its own

        For more information, try '--help'.
        --- exit 1
    "#]].assert_eq(&shown("ci", "github:my-org/*"));
    expect![[r#"
        --- stderr
        error: invalid value 'github:my-org/my-repo@main' for '--trust <PIPELINE>': `github:my-org/my-repo@main` is not github:OWNER/REPO, gitlab:GROUP/PROJECT or buildkite:ORG/PIPELINE, optionally with @refs/heads/BRANCH, @refs/tags/TAG or, for GitHub, @environment:NAME

        For more information, try '--help'.
        --- exit 1
    "#]].assert_eq(&shown("ci", "github:my-org/my-repo@main"));
    expect![[r#"
        --- stderr
        error: --trust is not valid for the role `node`

        help: machines get their role from EC2, not from a pipeline: omit --trust
        --- exit 1
    "#]]
    .assert_eq(&shown("node", "gitlab:group/project"));
}
