//! Bad input: each is a clear error that names place and remedy, and nothing is asked of any registry.

use expect_test::{Expect, expect};

use crate::support::{POLICY, Registry, Workspace};

/// Runs `ecr create` and compares all that it says; no request may have been made.
fn check(workspace: &Workspace, expected: Expect) {
    let registry = Registry::start();
    let output = workspace.on(&registry, &["ecr", "create"]);
    assert_eq!(registry.calls().len(), 0);
    assert_eq!(output.code, 1);
    expected.assert_eq(&output.shown());
}

#[test]
fn unknown_and_mistyped_keys() {
    let workspace = Workspace::new()
        .metadata("region = \"us-east-1\"\naccount_id = \"123456789012\"\n")
        .service("my-app", "imagetag-mutability = \"IMMUTABLE\"\ncolour = \"red\"\n[package.metadata.ecr.image]\nport = 8080\n")
        .repositories(r#"{"project": "p", "repositories": [{"name": "extra", "imageTagMutabilty": "MUTABLE"}]}"#);
    check(
        &workspace,
        expect![[r#"
        --- stderr
        error: there are 5 problems in the configuration

        Cargo.toml:7:1: unknown key `account_id` in [workspace.metadata.ecr]
          help: did you mean `account-id`?

        ecr/repositories.json:1:53: unknown key `imageTagMutabilty` in an entry of `repositories`
          help: did you mean `imageTagMutability`?

        my-app/Cargo.toml:7:1: unknown key `imagetag-mutability` in [package.metadata.ecr]
          help: did you mean `image-tag-mutability`?

        my-app/Cargo.toml:8:1: unknown key `colour` in [package.metadata.ecr]
          help: the keys are `repository`, `image-tag-mutability`, `mutability-exclusions`, `scan-on-push`, `encryption`, `kms-key`, `lifecycle-policy`, `repository-policy`, `tags`, `protect`, `image`

        my-app/Cargo.toml:10:1: unknown key `port` in `image`
          help: did you mean `ports`?
        --- exit 1
    "#]],
    );
}

#[test]
fn wrong_types_and_values() {
    let workspace = Workspace::new()
        .service(
            "my-app",
            "scan-on-push = \"yes\"\nimage-tag-mutability = \"immutable\"\nlifecycle-policy = true\n\
             [package.metadata.ecr.image]\nports = [0, \"http\"]\ntags = [\"{versoin}\"]\nuser = \"root\"\nplatforms = [\"amd64\"]\n\
             compression = \"brotli\"\n",
        )
        .repositories(r#"{"repositories": [{"name": 1}, {"description": "no name"}, "x"]}"#);
    check(
        &workspace,
        expect![[r#"
            --- stderr
            error: there are 12 problems in the configuration

            ecr/repositories.json:1:28: `name` must be a string, found a number

            ecr/repositories.json:1:32: an entry of `repositories` needs a `name` or a `package`

            ecr/repositories.json:1:60: an entry of `repositories` must be a table, found a string

            my-app/Cargo.toml:7:16: `scan-on-push` must be true or false, found a string

            my-app/Cargo.toml:8:24: `immutable` is not one of IMMUTABLE, IMMUTABLE_WITH_EXCLUSION, MUTABLE, MUTABLE_WITH_EXCLUSION

            my-app/Cargo.toml:9:20: `lifecycle-policy` must be a path or false, found a boolean

            my-app/Cargo.toml:11:10: `ports` must be a list of numbers from 1 to 65535

            my-app/Cargo.toml:11:13: `ports` must be a list of numbers from 1 to 65535

            my-app/Cargo.toml:12:9: tag `{versoin}`: unknown placeholder `{versoin}` (there are {version}, {git-sha}, {git-short-sha} and {digest})

            my-app/Cargo.toml:13:8: `root` is not a user: write UID or UID:GID in numbers, such as 65532:65532

            my-app/Cargo.toml:14:14: `amd64` is not a platform such as linux/amd64 or linux/arm64

            my-app/Cargo.toml:15:15: `brotli` is not a compression: use `gzip` or `zstd`
            --- exit 1
        "#]],
    );
}

#[test]
fn a_bad_repository_name() {
    let workspace = Workspace::new()
        .service("My_App", "")
        .service("my-app", "repository = \"My App\"\n")
        .repositories(r#"{"repositories": [{"name": "-x"}]}"#);
    check(
        &workspace,
        expect![[r#"
            --- stderr
            error: there are 3 problems in the configuration

            My_App/Cargo.toml:6:1: `My_App` is not a valid repository name (2 to 256 characters: lower-case letters and digits, with `.`, `_`, `__`, `-` or `/` between them)
              help: name it in [package.metadata.ecr]: repository = "..."

            ecr/repositories.json:1:28: `-x` is not a valid repository name (2 to 256 characters: lower-case letters and digits, with `.`, `_`, `__`, `-` or `/` between them)

            my-app/Cargo.toml:7:14: `My App` is not a valid repository name (2 to 256 characters: lower-case letters and digits, with `.`, `_`, `__`, `-` or `/` between them)
            --- exit 1
        "#]],
    );
}

#[test]
fn the_same_name_twice() {
    let workspace = Workspace::new()
        .service("one", "repository = \"shared\"\n")
        .service("two", "repository = \"shared\"\n")
        .repositories(r#"{"repositories": [{"name": "extra"}, {"name": "extra"}, {"package": "one"}, {"package": "tow"}]}"#);
    check(
        &workspace,
        expect![[r#"
        --- stderr
        error: there are 3 problems in the configuration

        ecr/repositories.json:1:38: repository `extra` is defined twice: here and in ecr/repositories.json:1:19

        ecr/repositories.json:1:89: there is no package `tow` in the workspace
          help: did you mean `two`?

        two/Cargo.toml:6:1: repository `shared` is defined twice: here and in one/Cargo.toml:6:1
        --- exit 1
    "#]],
    );
}

#[test]
fn resource_tags_that_aws_would_not_take() {
    let many: Vec<_> = (0..50).map(|n| format!("{{\"Key\": \"k{n}\", \"Value\": \"v\"}}")).collect();
    let workspace = Workspace::new().repositories(&format!(
        "{{\"repositories\": [\n{{\"name\": \"many\", \"tags\": [{}]}},\n\
         {{\"name\": \"twice\", \"tags\": [{{\"Key\": \"a\", \"Value\": \"1\"}}, {{\"Key\": \"a\", \"Value\": \"2\"}}]}}]}}",
        many.join(", ")
    ));
    check(
        &workspace,
        expect![[r#"
        --- stderr
        error: there are 2 problems in the configuration

        ecr/repositories.json:2:1: repository `many` would have 51 resource tags, and AWS allows 50, those of this tool among them

        ecr/repositories.json:3:78: tag key `a` stands twice in `tags`: here and in ecr/repositories.json:3:50
        --- exit 1
    "#]],
    );
}

#[test]
fn two_projects() {
    let workspace = Workspace::new()
        .metadata("region = \"us-east-1\"\nproject = \"one\"\n")
        .repositories(r#"{"project": "two", "repositories": []}"#);
    check(
        &workspace,
        expect![[r#"
        --- stderr
        error: there is a problem in the configuration

        ecr/repositories.json:1:13: project `two` differs from project `one` in Cargo.toml:7:11
          help: name the project in one of the two files
        --- exit 1
    "#]],
    );
}

#[test]
fn files_that_are_missing() {
    let workspace = Workspace::new()
        .metadata("region = \"us-east-1\"\nrepositories = \"no.json\"\nlifecycle-policy = \"none.json\"\n")
        .service("my-app", "lifecycle-policy = \"other.json\"\n")
        .service("worker", "");
    check(
        &workspace,
        expect![[r#"
            --- stderr
            error: there are 3 problems in the configuration

            Cargo.toml:7:16: `no.json` cannot be read: No such file or directory (os error 2)

            Cargo.toml:8:20: the lifecycle policy `none.json` cannot be read: No such file or directory (os error 2)
              help: create the file, or name another; `false` means that there shall be none

            my-app/Cargo.toml:7:20: the lifecycle policy `my-app/other.json` cannot be read: No such file or directory (os error 2)
              help: create the file, or name another; `false` means that there shall be none
            --- exit 1
        "#]],
    );
}

#[test]
fn json_that_is_none() {
    let workspace = Workspace::new().service("my-app", "").repositories("{\n  \"repositories\": [],\n}\n");
    workspace.file("ecr/lifecycle-policy.json", "{\"rules\": [}\n");
    check(
        &workspace,
        expect![[r#"
            --- stderr
            error: there are 3 problems in the configuration

            ecr/lifecycle-policy.json: a lifecycle policy has at least 100 characters, this one has 13: a description makes it longer
              help: ECR would answer: Member must have length greater than or equal to 100

            ecr/lifecycle-policy.json:1:12: not valid JSON: unexpected close brace
              help: ECR would answer: Could not map policyString into LifecyclePolicy.

            ecr/repositories.json:2:21: not valid JSON: trailing commas are not allowed
            --- exit 1
        "#]],
    );
}

#[test]
fn exclusions_keys_and_tags_that_ecr_refuses() {
    let workspace = Workspace::new()
        .service("aa", "mutability-exclusions = [\"latest*\"]\n")
        .service("bb", "image-tag-mutability = \"IMMUTABLE_WITH_EXCLUSION\"\n")
        .service(
            "cc",
            "image-tag-mutability = \"MUTABLE_WITH_EXCLUSION\"\nmutability-exclusions = [\"a*b*c*\"]\n",
        )
        .service("dd", "kms-key = \"alias/x\"\n")
        .service("ee", "tags = { Project = \"mine\", \"aws:x\" = \"1\", ok = \"a#b\" }\n");
    check(
        &workspace,
        expect![[r#"
        --- stderr
        error: there are 7 problems in the configuration

        aa/Cargo.toml:7:25: exclusion filters go only with a mutability of IMMUTABLE_WITH_EXCLUSION or MUTABLE_WITH_EXCLUSION
          help: set the mutability to IMMUTABLE_WITH_EXCLUSION, or remove the filters

        bb/Cargo.toml:7:24: IMMUTABLE_WITH_EXCLUSION needs 1 to 5 exclusion filters

        cc/Cargo.toml:8:25: `a*b*c*` is not a valid exclusion filter (1 to 128 letters, digits, `.`, `_`, `-` and at most two `*`)

        dd/Cargo.toml:7:11: a KMS key goes only with an encryption of KMS or KMS_DSSE

        ee/Cargo.toml:7:10: resource tag `Project`: this key is written by the tool itself

        ee/Cargo.toml:7:28: resource tag `aws:x`: keys that begin with `aws:` belong to AWS

        ee/Cargo.toml:7:43: resource tag `ok`: only letters, digits, spaces and + - = . _ : / @ are allowed
        --- exit 1
    "#]],
    );
}

#[test]
fn a_default_file_that_is_missing_means_that_there_is_none() {
    let workspace = Workspace::new().service("my-app", "");
    std::fs::remove_file(workspace.root().join("ecr/lifecycle-policy.json")).unwrap();
    let registry = Registry::start();
    workspace.on(&registry, &["ecr", "create"]).good();
    assert_eq!(registry.writes(), ["CreateRepository"]);
}

#[test]
fn the_seeds_files_work_unchanged() {
    let seed = r#"{
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
        // Without any service, as the seed has it, and with services of the same names.
        for workspace in [Workspace::new(), Workspace::seed()] {
            let workspace = workspace.repositories(seed);
            workspace.file("ecr/lifecycle-policy.json", policy);
            let registry = Registry::start();
            workspace.on(&registry, &["ecr", "create"]).good();
            assert_eq!(registry.names(), ["my-app", "my-app-worker"]);
            let found =
                registry.sdk(async |ecr| ecr.get_lifecycle_policy().repository_name("my-app").send().await);
            assert_eq!(found.lifecycle_policy_text(), Some(policy));
        }
    }
}

#[test]
fn an_account_that_is_not_the_pinned_one() {
    let workspace = Workspace::seed()
        .metadata("region = \"us-east-1\"\naccount-id = \"999999999999\"\nproject = \"p\"\n");
    let registry = Registry::start();
    for command in ["plan", "create", "delete"] {
        let output = workspace.on(&registry, &["ecr", command]);
        assert_eq!(output.code, 5, "{output:#?}");
        assert_eq!(registry.writes(), [""; 0]);
    }
    expect![[r#"
        --- stderr
        error: the credentials belong to account 123456789012, and the workspace is pinned to account 999999999999

        help: use the credentials of account 999999999999 (--aws-profile, AWS_PROFILE), or change `account-id` below [workspace.metadata.ecr]; these are arn:aws:iam::123456789012:root
        --- exit 5
    "#]].assert_eq(&workspace.on(&registry, &["ecr", "create"]).shown());
}

#[test]
fn no_region() {
    let workspace = Workspace::seed().metadata("project = \"my-project\"\n");
    let output = workspace.command(&["ecr", "plan"]).env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").run();
    expect![[r#"
        --- stderr
        error: no AWS region is configured

        help: pass --region, set AWS_REGION, or write `region = "..."` below [workspace.metadata.ecr]
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn no_credentials() {
    let registry = Registry::start();
    let output = Workspace::seed().command(&["ecr", "plan"]).registry(&registry).without_keys().run();
    assert_eq!(registry.calls().len(), 0);
    expect![[r#"
        --- stderr
        error: failed to find out which AWS account this is

        Caused by:
          sts:GetCallerIdentity: the credential provider was not enabled: no credentials found in chain. Attempted:
            Environment: the credential provider was not enabled: environment variable not set
            Profile: the credential provider was not enabled
            WebIdentityToken: the credential provider was not enabled: $AWS_WEB_IDENTITY_TOKEN_FILE was not set
            EcsContainer: the credential provider was not enabled: ECS provider not configured
            Ec2InstanceMetadata: the credential provider was not enabled: IMDS disabled by AWS_EC2_METADATA_DISABLED env var set to `true`

        help: set AWS_PROFILE or pass --aws-profile, run `aws sso login`, or add --local to use the embedded ECR, which needs no account
        --- exit 1
    "#]].assert_eq(&output.shown());
}

#[test]
fn an_endpoint_that_refuses_connections() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let output = Workspace::seed().command(&["ecr", "plan"]).env("AWS_ENDPOINT_URL", &url).run();
    expect![[r#"
        --- stderr
        error: failed to find out which AWS account this is

        Caused by:
          sts:GetCallerIdentity: tcp connect error: Connection refused (os error 111)

        help: nothing listens there (AWS_ENDPOINT_URL=http://127.0.0.1:[PORT]): start the embedded ECR with `cargo xtask ecr serve`, or unset the variable
        --- exit 1
    "#]].assert_eq(&output.shown());
}

#[test]
fn outside_of_a_workspace() {
    let workspace = Workspace::new();
    workspace.file("empty/x", "");
    std::fs::remove_file(workspace.root().join("Cargo.toml")).unwrap();
    let output = workspace.local(&["ecr", "plan"]);
    expect![[r#"
        --- stderr
        error: cargo cannot read the workspace

        Caused by:
          could not find `Cargo.toml` in `[ROOT]` or any parent directory

        help: run this in a cargo workspace, or pass --manifest-path
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn all_keys_of_the_design_are_taken() {
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
                 "lifecyclePolicy": false, "repositoryPolicy": {"Statement": []},
                 "tags": [{"Key": "team", "Value": "data"}], "protect": true},
                {"package": "derived", "name": "renamed"}]}"#,
        );
    workspace.file("my-app/other.json", POLICY);
    workspace.file("my-app/policy.json", r#"{"Version": "2012-10-17", "Statement": []}"#);
    let registry = Registry::start();
    let output = workspace.on(&registry, &["ecr", "plan"]).good();
    expect![[r#"
        + extra  (to create)
            + encryptionConfiguration: encryptionType=KMS, kmsKey=1234
            + imageTagMutability: MUTABLE_WITH_EXCLUSION
            + imageTagMutabilityExclusionFilters: v*
            + scanOnPush: false
            + tags: Description=A -b-third-/b- one, ManagedBy=cargo-xtask-ecr, Project=my-project, cost-center=42, team=data
            + repositoryPolicy: Statement=
        + my-app  (to create)
            + encryptionConfiguration: encryptionType=KMS, kmsKey=alias/mine
            + imageTagMutability: IMMUTABLE_WITH_EXCLUSION
            + imageTagMutabilityExclusionFilters: latest*
            + scanOnPush: true
            + tags: ManagedBy=cargo-xtask-ecr, Project=my-project, Service=my-app, cost-center=42, team=web
            + lifecyclePolicy: 1 rule
            + repositoryPolicy: Statement=, Version=2012-10-17
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
