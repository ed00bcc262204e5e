//! `ecr iam-policy`: each document allows the calls of its commands, and no other.

use std::collections::BTreeSet;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Fixture, Registry, Workspace, static_binary};

/// Prints the document of a role.
fn document(workspace: &Workspace, role: &str, args: &[&str]) -> Value {
    let command = [&["ecr", "iam-policy", role, "--local", "--format", "json"], args].concat();
    workspace.command(&command).run().json_with(0)
}

/// Whether a document allows an action on a resource (IAM, "Policy evaluation logic": `*` and `?` are wildcards).
fn allows(document: &Value, action: &str, resource: &str) -> bool {
    let any = |list: &Value, text: &str| {
        list.as_array().unwrap().iter().any(|it| matches(it.as_str().unwrap(), text))
    };
    let statements = document["Statement"].as_array().unwrap();
    statements
        .iter()
        .any(|it| it["Effect"] == "Allow" && any(&it["Action"], action) && any(&it["Resource"], resource))
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => {
            let rest = text.strip_prefix(before);
            rest.is_some_and(|rest| (0..=rest.len()).any(|n| matches(after, &rest[n..])))
        }
    }
}

/// The actions that a document allows.
fn actions(document: &Value) -> BTreeSet<String> {
    let statements = document["Statement"].as_array().unwrap().iter();
    let actions = statements.flat_map(|it| it["Action"].as_array().unwrap());
    actions.map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// The actions that a registry was asked for since the last time. Those of STS need no permission.
fn asked(registry: &Registry) -> BTreeSet<String> {
    let calls = registry.calls().into_keys().filter(|it| it != "GetCallerIdentity");
    calls.map(|it| format!("ecr:{it}")).collect()
}

/// A workspace that uses every kind of setting.
pub fn with_every_setting() -> Fixture {
    let policy = "repository-policy = \"policy.json\"\n";
    let workspace =
        Workspace::example().service("bare", "lifecycle-policy = false\n").service("shared", policy);
    workspace.file("shared/policy.json", r#"{"Version": "2012-10-17", "Statement": [{"Sid": "Pull",
        "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::210987654321:root"}, "Action": "ecr:BatchGetImage"}]}"#);
    workspace.start()
}

/// Runs a command, which must end with 0 or 2 (changes found) and without warnings.
fn succeeds(fixture: &Fixture, args: &[&str]) {
    let output = fixture.run(args);
    assert!(matches!(output.code, 0 | 2), "{output:#?}");
    assert_eq!(output.warnings(), [""; 0]);
}

/// Changes settings of the repositories, so that the commands have something to write.
pub fn drift(registry: &Registry) {
    use aws_sdk_ecr::types::ImageTagMutability;
    registry.sdk(async |ecr| {
        let mutable = ImageTagMutability::Mutable;
        ecr.put_image_tag_mutability().repository_name("my-app").image_tag_mutability(mutable).send().await
    });
    registry.sdk(async |ecr| {
        let off = aws_sdk_ecr::types::ImageScanningConfiguration::builder().scan_on_push(false).build();
        ecr.put_image_scanning_configuration()
            .repository_name("my-app")
            .image_scanning_configuration(off)
            .send()
            .await
    });
    let text = include_str!("../../lifecycle-policy.json").replace(": 10", ": 5");
    for name in ["my-app", "bare"] {
        let put = async |ecr: &aws_sdk_ecr::Client| {
            ecr.put_lifecycle_policy().repository_name(name).lifecycle_policy_text(&text).send().await
        };
        registry.sdk(put);
    }
    registry.sdk(async |ecr| {
        let policy = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "ecr:ListImages"}}"#;
        ecr.set_repository_policy().repository_name("shared").policy_text(policy).send().await
    });
    registry.tag("my-app", &[("Service", "another")]);
    registry.calls();
}

/// Pushes an index of one image.
pub fn index(registry: &Registry) {
    let image = registry.image("my-app", "0.1.0");
    registry.index("my-app", &[("amd64", &image)], "0.2.0");
}

#[test]
fn iam_policy_provision_matches_the_calls_of_its_commands() {
    let fixture = with_every_setting();
    succeeds(&fixture, &["ecr", "plan"]);
    succeeds(&fixture, &["ecr", "create"]);
    let mut asked_for = asked(&fixture.registry);
    index(&fixture.registry);
    drift(&fixture.registry);
    succeeds(&fixture, &["ecr", "plan", "--check"]);
    succeeds(&fixture, &["ecr", "create", "--yes"]);
    succeeds(&fixture, &["ecr", "lifecycle", "preview", "--aws"]);
    succeeds(&fixture, &["ecr", "delete", "--yes"]);
    asked_for.extend(asked(&fixture.registry));
    assert_eq!(asked_for, actions(&document(&fixture.workspace, "provision", &[])));
}

#[test]
fn iam_policy_read_matches_the_calls_of_its_commands() {
    let fixture = with_every_setting();
    succeeds(&fixture, &["ecr", "status"]);
    let mut asked_for = asked(&fixture.registry);
    fixture.run(&["ecr", "create"]).good();
    index(&fixture.registry);
    drift(&fixture.registry);
    for command in [
        &["ecr", "images"][..],
        &["ecr", "scan", "-t", "0.2.0", "-p", "my-app"],
        &["ecr", "scan", "-p", "my-app"],
        &["ecr", "status"],
        &["ecr", "lifecycle", "preview"],
    ] {
        succeeds_without_denials(&fixture, command);
    }
    asked_for.extend(asked(&fixture.registry));
    assert_eq!(asked_for, actions(&document(&fixture.workspace, "read", &[])));
}

/// Runs a command, which must succeed without warnings of permissions; those of missing images and tags are expected.
fn succeeds_without_denials(fixture: &Fixture, args: &[&str]) {
    let output = fixture.run(args).good();
    assert!(!output.warnings().iter().any(|it| it.contains("permission")), "{output:#?}");
}

/// Two services with a layer that is mounted into the repository of the second.
pub fn with_shared_layer() -> Fixture {
    let workspace = Workspace::new().metadata("region = \"us-east-1\"\nproject = \"p\"\n");
    let shared = "[package.metadata.ecr.image]\nfiles = [{ from = \"../large\", to = \"/large\" }]\n";
    workspace.file("large", static_binary(std::env::consts::ARCH, 3_000_000));
    let fixture = workspace.service("my-app", shared).service("other", shared).start().created();
    fixture
        .registry
        .sdk(async |ecr| ecr.put_account_setting().name("BLOB_MOUNTING").value("ENABLED").send().await);
    fixture.registry.calls();
    fixture
}

#[test]
fn iam_policy_ci_matches_the_calls_of_push() {
    let fixture = with_shared_layer();
    let push = ["push", "--profile", "dev", "--fail-on", "low", "--unsupported", "pass"];
    fixture.run(&push).good();
    let unsigned = fixture.run(&["push", "--profile", "dev", "--require-signed", "--timeout", "100ms"]);
    assert_eq!(unsigned.code, 4, "{unsigned:#?}");
    fixture.workspace.git_init();
    fixture.run(&["push", "--profile", "dev", "--since", "HEAD"]).good();
    fixture.run(&["promote", "--to", "live-{n}"]).good();
    fixture.run(&["resolve", "--write", "env=images.env"]).good();
    fixture.run(&["ecr", "deployed"]).good();
    assert_eq!(asked(&fixture.registry), actions(&document(&fixture.workspace, "ci", &[])));
    let others: Vec<_> = ["provision", "read", "node"].into_iter().collect();
    for role in others {
        let document = document(&fixture.workspace, role, &[]);
        assert!(
            !allows(&document, "ecr:PutImage", "arn:aws:ecr:us-east-1:000000000000:repository/my-app"),
            "{role}"
        );
    }
    // Without a project, no repository is foreign, and no tags are read.
    let alone = Workspace::new().service("my-app", "");
    assert!(!actions(&document(&alone, "ci", &[])).contains("ecr:ListTagsForResource"));
}

#[test]
fn iam_policy_covers_only_the_repositories_of_the_workspace() {
    let workspace = Workspace::example();
    let arn = |name: &str| format!("arn:aws:ecr:us-east-1:000000000000:repository/{name}");
    for role in ["ci", "node", "provision", "read"] {
        let document = document(&workspace, role, &[]);
        assert!(allows(&document, "ecr:BatchGetImage", &arn("my-app")), "{role}");
        for other in ["my-app2", "my-app/x", "other", "my"] {
            assert!(!allows(&document, "ecr:BatchGetImage", &arn(other)), "{role} {other}");
        }
        let elsewhere = arn("my-app").replace("us-east-1", "eu-west-1");
        assert!(!allows(&document, "ecr:BatchGetImage", &elsewhere), "{role}");
        for statement in document["Statement"].as_array().unwrap() {
            // Service Authorization Reference: those without a resource type.
            let has_no_resource = [
                "ecr:DescribePullThroughCacheRules",
                "ecr:DescribeRegistry",
                "ecr:DescribeRepositoryCreationTemplates",
                "ecr:GetAccountSetting",
                "ecr:GetAuthorizationToken",
                "ecr:GetRegistryScanningConfiguration",
                "ecr:GetSigningConfiguration",
                "ecr:ListPullTimeUpdateExclusions",
            ];
            let is_free = |it: &Value| has_no_resource.contains(&it.as_str().unwrap());
            let is_wild = statement["Resource"].as_array().unwrap().contains(&json!("*"));
            assert_eq!(is_wild, statement["Action"].as_array().unwrap().iter().all(is_free), "{statement}");
        }
    }
    let read = document(&workspace, "read", &["--orphans"]);
    assert!(allows(&read, "ecr:DescribeRepositories", &arn("other")));
    assert!(!allows(&read, "ecr:BatchGetImage", &arn("other")));
    // The document allows to delete orphans only with the tags of the project.
    let provision = document(&workspace, "provision", &["--orphans"]);
    let statements = provision["Statement"].as_array().unwrap();
    let deletes = |it: &&Value| it["Action"].as_array().unwrap().contains(&json!("ecr:DeleteRepository"));
    let wide: Vec<_> =
        statements.iter().filter(deletes).filter(|it| it["Resource"] == json!([arn("*")])).collect();
    assert_eq!(wide.len(), 1);
    assert_eq!(
        wide[0]["Condition"]["StringEquals"],
        json!({"aws:ResourceTag/ManagedBy": "cargo-xtask-ecr", "aws:ResourceTag/Project": "my-project"})
    );
    let unknown = Fixture::service().run(&["ecr", "iam-policy", "read", "--orphans"]).good();
    assert!(unknown.stderr.contains("orphans cannot be identified"), "{unknown:#?}");
    let refused = workspace.command(&["ecr", "iam-policy", "ci", "--orphans", "--local"]).run();
    assert_eq!(refused.code, 1, "{refused:#?}");
    let one = document(&workspace, "ci", &["-p", "my-app-worker"]);
    assert!(!allows(&one, "ecr:PutImage", &arn("my-app")));
}

#[test]
fn iam_policy_prints_a_complete_document() {
    let workspace = Workspace::example().metadata("region = \"cn-north-1\"\naccount-id = \"123456789012\"\n");
    // The workspace names its account and region, so that no request is made.
    let output = workspace.command(&["ecr", "iam-policy", "node"]).without_keys().run().good();
    expect![[r#"
        {
          "Version": "2012-10-17",
          "Statement": [
            {
              "Sid": "Registry",
              "Effect": "Allow",
              "Action": [
                "ecr:GetAuthorizationToken"
              ],
              "Resource": [
                "*"
              ]
            },
            {
              "Sid": "Repositories",
              "Effect": "Allow",
              "Action": [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer"
              ],
              "Resource": [
                "arn:aws-cn:ecr:cn-north-1:123456789012:repository/my-app",
                "arn:aws-cn:ecr:cn-north-1:123456789012:repository/my-app-worker"
              ]
            }
          ]
        }
        --- stderr
        help: save the policy as policy.json, then run `aws iam create-policy --policy-name ecr-node --policy-document file://policy.json`
    "#]].assert_eq(&output.shown());
}

#[test]
fn iam_policy_includes_grants_for_a_customer_key() {
    let key = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let workspace =
        Workspace::new().service("vault", &format!("encryption = \"KMS\"\nkms-key = \"{key}\"\n"));
    let document = document(&workspace, "provision", &[]);
    assert!(allows(&document, "kms:CreateGrant", key));
    assert!(!allows(&document, "kms:CreateGrant", "*"));
}

#[test]
fn iam_policy_longer_than_aws_allows_warns() {
    let services: Vec<_> =
        (0..80).map(|n| json!({"name": format!("repository-with-a-long-name-{n}")})).collect();
    let workspace = Workspace::new().repositories(&json!({"repositories": services}).to_string());
    let output = workspace.command(&["ecr", "iam-policy", "ci", "--local"]).run().good();
    assert!(output.warnings()[0].contains("IAM limits managed policies to 6144"), "{output:#?}");
}

#[test]
fn iam_policy_ci_allows_pulling_bases() {
    let base = |base: &str| format!("[package.metadata.ecr.image]\nbase = \"{base}\"\n");
    let own = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
    let workspace = Workspace::new()
        .metadata("region = \"us-east-1\"\naccount-id = \"123456789012\"\n")
        .service("same-account", &base(&format!("{own}/base/debian:12")))
        .service("same-base", &base(&format!("{own}/base/debian@sha256:{}", "0".repeat(64))))
        .service("other-account", &base("222222222222.dkr.ecr.eu-west-1.amazonaws.com/debian"))
        .service("of-workspace", &base(&format!("{own}/same-base:1.0.0")))
        .service("public", &base("public.ecr.aws/docker/library/debian:12"))
        .service("hub", &base("debian:12"))
        .service("nothing", &base("scratch"));
    let ci = workspace.command(&["ecr", "iam-policy", "ci", "--format", "json"]).run();
    let bases =
        ci.json_with(0)["Statement"].as_array().unwrap().iter().find(|it| it["Sid"] == "Bases").cloned();
    let actions = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
    assert_eq!(
        bases,
        Some(json!({
            "Sid": "Bases",
            "Effect": "Allow",
            "Action": actions,
            "Resource": [
                "arn:aws:ecr:eu-west-1:222222222222:repository/debian",
                "arn:aws:ecr:us-east-1:123456789012:repository/base/debian",
            ],
        }))
    );
    assert_eq!(ci.stderr.matches("is in another account").count(), 1, "{ci:#?}");
    for role in ["node", "provision", "read"] {
        let document = workspace.command(&["ecr", "iam-policy", role, "--format", "json"]).run().json_with(0);
        assert!(!document.to_string().contains("base/debian"), "{role}");
    }
    let selected = document(&workspace, "ci", &["-p", "hub", "-p", "nothing"]);
    assert!(!selected.to_string().contains("Bases"), "{selected}");
}
