//! Valid configuration: files in the format of the AWS API, the defaults, and every key.

use expect_test::expect;

use crate::support::{Fixture, POLICY, Workspace};

#[test]
fn configuration_without_default_policy_file_has_no_policy() {
    let fixture = Fixture::service();
    std::fs::remove_file(fixture.workspace.root().join("ecr/lifecycle-policy.json")).unwrap();
    fixture.run(&["ecr", "create"]).good();
    assert_eq!(fixture.registry.writes(), ["CreateRepository"]);
}

#[test]
fn configuration_of_repositories_without_services_is_applied() {
    let definitions = r#"{
"project": "my-project",
"repositories": [
{
"name": "my-app",
"description": "Main application repository"
},
{
"name": "my-app-worker",
"description": "Background worker service"
}
]
}"#;
    let second_policy = r#"{
"rules": [
{
"rulePriority": 1,
"description": "Keep tagged production images for 90 days",
"selection": {
"tagStatus": "tagged",
"tagPrefixList": ["prod-", "release-"],
"countType": "sinceImagePushed",
"countUnit": "days",
"countNumber": 90
},
"action": {
"type": "expire"
}
},
{
"rulePriority": 2,
"description": "Keep only 5 untagged images",
"selection": {
"tagStatus": "untagged",
"countType": "imageCountMoreThan",
"countNumber": 5
},
"action": {
"type": "expire"
}
}
]
}"#;
    for policy in [POLICY, second_policy] {
        // Repositories without services, and with services of the same names, give the same result.
        for workspace in [Workspace::new(), Workspace::example()] {
            let workspace = workspace.repositories(definitions);
            workspace.file("ecr/lifecycle-policy.json", policy);
            let Fixture { registry, .. } = workspace.start().created();
            assert_eq!(registry.names(), ["my-app", "my-app-worker"]);
            let found =
                registry.sdk(async |ecr| ecr.get_lifecycle_policy().repository_name("my-app").send().await);
            assert_eq!(found.lifecycle_policy_text(), Some(policy));
        }
    }
}

#[test]
fn configuration_accepts_every_key() {
    let workspace = Workspace::new()
        .metadata(
            "project = \"my-project\"\nregion = \"us-east-1\"\naccount-id = \"123456789012\"\nprefix = \"team/\"\n\
             repositories = \"ecr/repositories.json\"\nlifecycle-policy = \"ecr/lifecycle-policy.json\"\n\
             [workspace.metadata.ecr.tags]\ncost-center = \"42\"\n\
             [workspace.metadata.ecr.image]\nbase = \"scratch\"\nplatforms = [\"linux/amd64\"]\ncompression = \"gzip\"\n",
        )
        .service("derived", "")
        .service(
            "my-app",
            "repository = \"my-app\"\nimage-tag-mutability = \"IMMUTABLE_WITH_EXCLUSION\"\n\
             mutability-exclusions = [\"latest*\"]\nscan-on-push = true\nlifecycle-policy = \"other.json\"\n\
             repository-policy = \"policy.json\"\nencryption = \"KMS\"\nkms-key = \"alias/mine\"\nprotect = true\n\
             tags = { team = \"web\" }\n\
             [package.metadata.ecr.image]\nbin = \"my-app\"\ntags = [\"{version}\", \"v-{digest}\"]\nports = [8080]\n\
             env = { RUST_LOG = \"info\" }\nfiles = [{ from = \"static\", to = \"/srv/static\" }]\nfeatures = []\n\
             no-default-features = false\nargs = []\nuser = \"65532:65532\"\nworkdir = \"/\"\nlabels = { a = \"b\" }\n\
             base = \"scratch\"\nplatforms = [\"linux/amd64\"]\ncompression = \"zstd\"\ndockerfile = \"Dockerfile\"\ncontext = \".\"\n",
        )
        .repositories(
            r#"{"project": "my-project", "repositories": [
                {"name": "extra", "description": "A <b>third</b> one", "imageTagMutability": "MUTABLE_WITH_EXCLUSION",
                 "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "v*"}],
                 "imageScanningConfiguration": {"scanOnPush": false},
                 "encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": "1234"},
                 "lifecyclePolicy": false, "repositoryPolicy":
                    {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}},
                 "tags": [{"Key": "team", "Value": "data"}], "protect": true},
                {"package": "derived", "name": "renamed"}]}"#,
        );
    workspace.file("my-app/other.json", POLICY);
    workspace.file(
        "my-app/policy.json",
        r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}}"#,
    );
    let output = workspace.start().run(&["ecr", "plan"]).good();
    expect![[r#"
        + extra  (to create)
            + encryptionConfiguration: encryptionType=KMS, kmsKey=1234
            + imageTagMutability: MUTABLE_WITH_EXCLUSION
            + imageTagMutabilityExclusionFilters: v*
            + scanOnPush: false
            + tags: Description=A -b-third-/b- one, ManagedBy=cargo-xtask-ecr, Project=my-project, cost-center=42, team=data
            + repositoryPolicy: Statement=Action=ecr:BatchGetImage, Effect=Allow, Principal=*
        + my-app  (to create)
            + encryptionConfiguration: encryptionType=KMS, kmsKey=alias/mine
            + imageTagMutability: IMMUTABLE_WITH_EXCLUSION
            + imageTagMutabilityExclusionFilters: latest*
            + scanOnPush: true
            + tags: ManagedBy=cargo-xtask-ecr, Project=my-project, Service=my-app, cost-center=42, team=web
            + lifecyclePolicy: 1 rule
            + repositoryPolicy: Statement=Action=ecr:BatchGetImage, Effect=Allow, Principal=*
        + renamed  (to create)
            + imageTagMutability: IMMUTABLE
            + scanOnPush: true
            + tags: ManagedBy=cargo-xtask-ecr, Project=my-project, Service=derived, cost-center=42
            + lifecyclePolicy: 1 rule
        Plan: 3 to create, 0 to change, 0 unchanged
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
    "#]].assert_eq(&output.shown());
}

#[test]
fn settings_descriptions_are_one_line() {
    for (text, wanted) in [
        ("\"\"\"\nMain application\n    of the   shop\n\n\"\"\"", "Main application of the shop"),
        ("\"tabs\\tand\\r\\nlines\"", "tabs and lines"),
        ("\"\u{2003}wide\u{a0}spaces \"", "wide spaces"),
        ("\"a, b & c\"", "a- b - c"),
        ("\"\"\"\n\n\"\"\"", ""),
    ] {
        let manifest = format!(
            "[package]\nname = \"my-app\"\nversion = \"1.0.0\"\ndescription = {text}\n[package.metadata.ecr]\n"
        );
        let fixture = Workspace::new().member("my-app", &manifest, "fn main() {}\n").start();
        let plan = fixture.run(&["ecr", "plan", "--format", "json"]).json_with(0);
        let tag = &plan["repositories"][0]["steps"][0]["desired"]["tags"]["Description"];
        assert_eq!(tag.as_str().unwrap_or_default(), wanted, "{text}");
    }
}
