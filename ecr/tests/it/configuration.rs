//! Bad configuration: each error names its place and a remedy, and stops the command before any request.

use expect_test::{Expect, expect};

use crate::support::{Fixture, Workspace};

/// Runs `ecr create`, which fails without any request, and compares its output.
fn check(workspace: Workspace, expected: Expect) {
    let fixture = workspace.start();
    let output = fixture.run(&["ecr", "create"]);
    assert_eq!(fixture.registry.calls().len(), 0);
    assert_eq!(output.code, 1);
    expected.assert_eq(&output.shown());
}

#[test]
fn configuration_unknown_keys_get_suggestions() {
    let workspace = Workspace::new()
        .metadata("region = \"us-east-1\"\naccount_id = \"123456789012\"\n")
        .service("my-app", "imagetag-mutability = \"IMMUTABLE\"\ncolour = \"red\"\n[package.metadata.ecr.image]\nport = 8080\n")
        .repositories(r#"{"project": "p", "repositories": [{"name": "extra", "imageTagMutabilty": "MUTABLE"}]}"#);
    check(
        workspace,
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
              help: the keys are `repository`, `image-tag-mutability`, `mutability-exclusions`, `scan-on-push`, `encryption`, `kms-key`, `lifecycle-policy`, `repository-policy`, `tags`, `protect`, `image`, `affected-by`, `services`

            my-app/Cargo.toml:10:1: unknown key `port` in `image`
              help: did you mean `ports`?
            --- exit 1
        "#]],
    );
}

#[test]
fn configuration_wrong_types_and_values_are_all_reported() {
    let workspace = Workspace::new()
        .service(
            "my-app",
            "scan-on-push = \"yes\"\nimage-tag-mutability = \"immutable\"\nlifecycle-policy = true\n\
             [package.metadata.ecr.image]\nports = [0, \"http\"]\ntags = [\"{versoin}\"]\nuser = \"root\"\nplatforms = [\"windows/amd64\"]\n\
             compression = \"brotli\"\n",
        )
        .repositories(r#"{"repositories": [{"name": 1}, {"description": "no name"}, "x"]}"#);
    check(
        workspace,
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

            my-app/Cargo.toml:12:9: tag `{versoin}`: unknown placeholder `{versoin}` (known: {version}, {git-sha}, {git-short-sha}, {branch}, {pr}, {digest})

            my-app/Cargo.toml:13:8: `root` is not a numeric user: write UID or UID:GID, such as 65532:65532

            my-app/Cargo.toml:14:14: `windows/amd64` is not a platform such as linux/amd64 or linux/arm64

            my-app/Cargo.toml:15:15: `brotli` is not a compression: use `gzip` or `zstd`
            --- exit 1
        "#]],
    );
}

#[test]
fn configuration_bad_repository_names_are_refused() {
    let workspace = Workspace::new()
        .service("My_App", "")
        .service("my-app", "repository = \"My App\"\n")
        .repositories(r#"{"repositories": [{"name": "-x"}]}"#);
    check(
        workspace,
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
fn configuration_duplicate_repositories_are_refused() {
    let workspace = Workspace::new()
        .service("one", "repository = \"shared\"\n")
        .service("two", "repository = \"shared\"\n")
        .repositories(r#"{"repositories": [{"name": "extra"}, {"name": "extra"}, {"package": "one"}, {"package": "tow"}]}"#);
    check(
        workspace,
        expect![[r#"
            --- stderr
            error: there are 3 problems in the configuration

            ecr/repositories.json:1:38: duplicate repository `extra`: here and in ecr/repositories.json:1:19

            ecr/repositories.json:1:89: there is no package `tow` in the workspace
              help: did you mean `two`?

            two/Cargo.toml:6:1: duplicate repository `shared`: here and in one/Cargo.toml:6:1
            --- exit 1
        "#]],
    );
}

#[test]
fn configuration_resource_tags_beyond_aws_limits_are_refused() {
    let many: Vec<_> = (0..50).map(|n| format!("{{\"Key\": \"k{n}\", \"Value\": \"v\"}}")).collect();
    let workspace = Workspace::new().repositories(&format!(
        "{{\"repositories\": [\n{{\"name\": \"many\", \"tags\": [{}]}},\n\
         {{\"name\": \"twice\", \"tags\": [{{\"Key\": \"a\", \"Value\": \"1\"}}, {{\"Key\": \"a\", \"Value\": \"2\"}}]}}]}}",
        many.join(", ")
    ));
    check(
        workspace,
        expect![[r#"
            --- stderr
            error: there are 2 problems in the configuration

            ecr/repositories.json:2:1: repository `many` has 51 resource tags, including those of this tool, but AWS allows at most 50

            ecr/repositories.json:3:78: duplicate tag key `a` in `tags`: here and in ecr/repositories.json:3:50
            --- exit 1
        "#]],
    );
}

#[test]
fn configuration_two_projects_are_refused() {
    let workspace = Workspace::new()
        .metadata("region = \"us-east-1\"\nproject = \"one\"\n")
        .repositories(r#"{"project": "two", "repositories": []}"#);
    check(
        workspace,
        expect![[r#"
            --- stderr
            error: there is a problem in the configuration

            ecr/repositories.json:1:13: project `two` differs from project `one` in Cargo.toml:7:11
              help: name the project in only one of the two files
            --- exit 1
        "#]],
    );
}

#[test]
fn configuration_missing_files_are_reported() {
    let workspace = Workspace::new()
        .metadata("region = \"us-east-1\"\nrepositories = \"no.json\"\nlifecycle-policy = \"none.json\"\n")
        .service("my-app", "lifecycle-policy = \"other.json\"\n")
        .service("worker", "");
    check(
        workspace,
        expect![[r#"
            --- stderr
            error: there are 3 problems in the configuration

            Cargo.toml:7:16: `no.json` cannot be read: No such file or directory (os error 2)

            Cargo.toml:8:20: the lifecycle policy `none.json` cannot be read: No such file or directory (os error 2)
              help: create the file, or name another one; `false` means no policy

            my-app/Cargo.toml:7:20: the lifecycle policy `my-app/other.json` cannot be read: No such file or directory (os error 2)
              help: create the file, or name another one; `false` means no policy
            --- exit 1
        "#]],
    );
}

#[test]
fn configuration_invalid_json_is_reported() {
    let workspace = Workspace::new().service("my-app", "").repositories("{\n  \"repositories\": [],\n}\n");
    workspace.file("ecr/lifecycle-policy.json", "{\"rules\": [}\n");
    check(
        workspace,
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
fn configuration_settings_that_ecr_refuses_are_refused() {
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
        workspace,
        expect![[r#"
            --- stderr
            error: there are 7 problems in the configuration

            aa/Cargo.toml:7:25: exclusion filters are allowed only with the mutability IMMUTABLE_WITH_EXCLUSION or MUTABLE_WITH_EXCLUSION
              help: set the mutability to IMMUTABLE_WITH_EXCLUSION, or remove the filters

            bb/Cargo.toml:7:24: IMMUTABLE_WITH_EXCLUSION needs 1 to 5 exclusion filters

            cc/Cargo.toml:8:25: `a*b*c*` is not a valid exclusion filter (1 to 128 letters, digits, `.`, `_`, `-` and at most two `*`)

            dd/Cargo.toml:7:11: a KMS key is allowed only with the encryption KMS or KMS_DSSE

            ee/Cargo.toml:7:10: resource tag `Project`: this key is reserved: the tool itself writes it

            ee/Cargo.toml:7:28: resource tag `aws:x`: keys that begin with `aws:` are reserved for AWS

            ee/Cargo.toml:7:43: resource tag `ok`: only letters, digits, spaces and + - = . _ : / @ are allowed
            --- exit 1
        "#]],
    );
}

#[test]
fn configuration_pinned_account_refuses_another_account() {
    let workspace = Workspace::example()
        .metadata("region = \"us-east-1\"\naccount-id = \"999999999999\"\nproject = \"p\"\n");
    let fixture = workspace.start();
    for command in ["plan", "create", "delete"] {
        let output = fixture.run(&["ecr", command]);
        assert_eq!(output.code, 5, "{output:#?}");
        assert_eq!(fixture.registry.writes(), [""; 0]);
    }
    expect![[r#"
        --- stderr
        error: the credentials belong to account 123456789012, but the workspace is pinned to account 999999999999

        help: use the credentials of account 999999999999 (--aws-profile, AWS_PROFILE), or change `account-id` below [workspace.metadata.ecr]; the current identity is arn:aws:iam::123456789012:root
        --- exit 5
    "#]].assert_eq(&fixture.run(&["ecr", "create"]).shown());
}

#[test]
fn configuration_without_region_fails() {
    let workspace = Workspace::example().metadata("project = \"my-project\"\n");
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
fn configuration_without_credentials_fails() {
    let fixture = Fixture::example();
    let output = fixture.command(&["ecr", "plan"]).without_keys().run();
    assert_eq!(fixture.registry.calls().len(), 0);
    expect![[r#"
        --- stderr
        error: failed to identify the AWS account

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
fn configuration_unreachable_endpoint_fails() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let output = Workspace::example().command(&["ecr", "plan"]).env("AWS_ENDPOINT_URL", &url).run();
    expect![[r#"
        --- stderr
        error: failed to identify the AWS account

        Caused by:
          sts:GetCallerIdentity: tcp connect error: Connection refused (os error 111)

        help: nothing listens at the endpoint (AWS_ENDPOINT_URL=http://127.0.0.1:[PORT]): start the embedded ECR with `cargo xtask ecr serve`, or unset the variable
        --- exit 1
    "#]].assert_eq(&output.shown());
}

#[test]
fn configuration_outside_a_workspace_fails() {
    let workspace = Workspace::new();
    workspace.file("empty/x", "");
    std::fs::remove_file(workspace.root().join("Cargo.toml")).unwrap();
    let output = workspace.local(&["ecr", "plan"]);
    expect![[r#"
        --- stderr
        error: cargo cannot read the workspace

        Caused by:
          could not find `Cargo.toml` in `[ROOT]` or any parent directory

        help: run this command in a cargo workspace, or pass --manifest-path
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn configuration_mistyped_tables_are_named() {
    let misspelt = "[package]\nname = \"other\"\nversion = \"1.0.0\"\n[package.metadata.erc]\n";
    let workspace = Workspace::new().service("my-app", "").member("other", misspelt, "fn main() {}\n");
    let output = workspace.local(&["ecr", "plan"]).good();
    expect![[r#"
        + my-app  (to create)
            + imageTagMutability: IMMUTABLE
            + scanOnPush: true
            + tags: ManagedBy=cargo-xtask-ecr, Service=my-app
            + lifecyclePolicy: 1 rule
        Plan: 1 to create, 0 to change, 0 unchanged
        --- stderr
        warning: other/Cargo.toml:4:19: the table [package.metadata.erc] is not read
        help: did you mean `ecr`? write [package.metadata.ecr]
            Registry 127.0.0.1:[PORT] (account 000000000000, region us-east-1, embedded ECR)
    "#]]
    .assert_eq(&output.shown());
    for args in [
        ["ecr", "create", "--yes"].as_slice(),
        &["ecr", "status"],
        &["ecr", "images"],
        &["ecr", "iam-policy", "ci"],
        &["ecr", "login", "--print-token"],
        &["push", "--dry-run", "-p", "nothing"],
    ] {
        let output = workspace.local(args);
        assert!(
            output.stderr.contains("other/Cargo.toml:4:19: the table [package.metadata.erc] is not read"),
            "{output:#?}"
        );
    }
}

#[test]
fn configuration_without_a_service_is_no_success() {
    let misspelt = "[package]\nname = \"my-app\"\nversion = \"1.0.0\"\n[package.metadata.erc]\n";
    let workspace = Workspace::new().member("my-app", misspelt, "fn main() {}\n");
    let output = workspace.local(&["ecr", "plan", "--check"]);
    expect![[r#"
        --- stderr
        warning: my-app/Cargo.toml:4:19: the table [package.metadata.erc] is not read
        help: did you mean `ecr`? write [package.metadata.ecr]
        error: the workspace has no service, and no other repository

        help: to make a package a service, add an empty table [package.metadata.ecr] to its Cargo.toml
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
    for args in [
        ["ecr", "plan"].as_slice(),
        &["ecr", "plan", "--check", "--format", "json"],
        &["ecr", "create", "--yes"],
        &["ecr", "delete", "--yes"],
        &["ecr", "status"],
        &["ecr", "images"],
        &["ecr", "scan"],
        &["ecr", "lifecycle", "preview"],
        &["ecr", "iam-policy", "ci"],
        &["push"],
    ] {
        let output = workspace.local(args);
        assert_eq!(output.code, 1, "{output:#?}");
    }
    // Repositories without a service are enough, and so is a search for orphans.
    let orphans = workspace.metadata("region = \"us-east-1\"\nproject = \"my-project\"\n");
    orphans.local(&["ecr", "plan", "--orphans"]).good();
    orphans.local(&["ecr", "delete", "--orphans", "--yes"]).good();
    orphans.repositories(r#"{"repositories": [{"name": "base"}]}"#).local(&["ecr", "create", "--yes"]).good();
}
