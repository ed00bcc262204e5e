//! Success is proved: an answer that is not that of the API is an error, and never a success.

use expect_test::expect;
use serde_json::json;

use crate::support::proxy::{BRACES, EMPTY, NULL, OTHER_NAME, PAGE, Proxy, Wrong};
use crate::support::{Fixture, Output, Workspace, static_binary};

/// What the registry has before the command.
#[derive(Clone, Copy)]
enum Before {
    /// Nothing.
    Empty,
    /// Repositories with other settings than the configured ones.
    Different,
    /// Repositories that are as configured.
    Created,
    /// Those, with a lifecycle policy that the workspace does not want.
    Unwanted,
    /// Images and scans.
    Images,
}

fn fixture(before: Before) -> Fixture {
    let workspace = Workspace::new()
        .metadata("region = \"us-east-1\"\nproject = \"my-project\"\n")
        .service("my-app", "repository-policy = \"policy.json\"\n");
    let statement = r#"{"Effect": "Allow", "Principal": "*", "Action": ["ecr:BatchGetImage"]}"#;
    workspace
        .file("my-app/policy.json", format!(r#"{{"Version": "2012-10-17", "Statement": [{statement}]}}"#));
    match before {
        Before::Empty => workspace.start(),
        Before::Different => {
            let fixture = workspace.start();
            fixture.registry.create_plain("my-app");
            fixture
        }
        Before::Created => workspace.start().created(),
        Before::Unwanted => {
            let fixture = workspace.start().created();
            let workspace = Workspace::example().service("other", "").metadata("region = \"us-east-1\"\n");
            Fixture { workspace: workspace.service("my-app", "lifecycle-policy = false\n"), ..fixture }
        }
        Before::Images => Fixture::filled(),
    }
}

/// Runs a command through a proxy that changes the answers to one operation.
fn through(fixture: &Fixture, operation: &'static str, wrong: Wrong, args: &[&str]) -> Output {
    let proxy = Proxy::with(&fixture.registry, operation, wrong);
    let output = fixture.workspace.command(args).env("AWS_ENDPOINT_URL", &proxy.url()).run();
    assert!(proxy.changed() > 0, "{operation} was not asked for: {output:#?}");
    output
}

/// Answers that no operation gives.
const NEVER_RIGHT: [Wrong; 4] = [PAGE, EMPTY, BRACES, NULL];

fn is_unexpected(before: Before, operation: &'static str, wrong: Wrong, args: &[&str]) {
    is_unexpected_with(1, before, operation, wrong, args);
}

fn is_unexpected_with(code: i32, before: Before, operation: &'static str, wrong: Wrong, args: &[&str]) {
    let fixture = fixture(before);
    let output = through(&fixture, operation, wrong, &[args, &["-p", "my-app"]].concat());
    let case = format!("{operation}, {wrong:?}: {output:#?}");
    assert_eq!(output.code, code, "{case}");
    let said = format!("{}{}", output.stderr, output.stdout);
    assert!(said.contains(&format!(":{operation}: unexpected response: ")), "{case}");
    for verb in ["Created my-app", "Updated my-app", "Deleted my-app", "Unchanged my-app"] {
        assert!(!said.contains(verb), "{case}");
    }
}

#[test]
fn write_without_its_answer_is_a_failure() {
    let create = &["ecr", "create", "--yes"][..];
    let delete = &["ecr", "delete", "--yes"][..];
    for (before, operation, args) in [
        (Before::Empty, "CreateRepository", create),
        (Before::Different, "PutImageTagMutability", create),
        (Before::Different, "PutImageScanningConfiguration", create),
        (Before::Different, "PutLifecyclePolicy", create),
        (Before::Different, "SetRepositoryPolicy", create),
        (Before::Unwanted, "DeleteLifecyclePolicy", create),
        (Before::Created, "DeleteRepository", delete),
        (Before::Images, "StartLifecyclePolicyPreview", &["ecr", "lifecycle", "preview", "--aws"]),
    ] {
        for wrong in NEVER_RIGHT.into_iter().chain([OTHER_NAME]) {
            is_unexpected(before, operation, wrong, args);
        }
    }
}

/// The answer to `TagResource` has no members, so that `{}` is what AWS answers, too.
#[test]
fn write_of_tags_is_proved_by_reading_them() {
    for wrong in [PAGE, BRACES] {
        is_unexpected(Before::Different, "TagResource", wrong, &["ecr", "create"]);
    }
}

#[test]
fn write_with_another_value_in_its_answer_is_a_failure() {
    for (operation, old, new) in [
        ("PutImageTagMutability", "IMMUTABLE", "MUTABLE"),
        ("PutImageScanningConfiguration", "true", "false"),
        ("PutLifecyclePolicy", "\\\"countNumber\\\":10", "\\\"countNumber\\\":11"),
        ("SetRepositoryPolicy", "ecr:BatchGetImage", "ecr:PutImage"),
        ("PutLifecyclePolicy", "123456789012", "210987654321"),
    ] {
        is_unexpected(Before::Different, operation, Wrong::Replaced(old, new), &["ecr", "create"]);
    }
    for (old, new) in [("repository/my-app", "repository/no-app"), ("/my-app\"", "/no-app\"")] {
        is_unexpected(Before::Empty, "CreateRepository", Wrong::Replaced(old, new), &["ecr", "create"]);
    }
}

#[test]
fn read_without_its_answer_is_a_failure() {
    let (plan, images) = (&["ecr", "plan"][..], &["ecr", "images"][..]);
    for (before, operation, args) in [
        (Before::Created, "GetCallerIdentity", plan),
        (Before::Created, "DescribeRepositories", plan),
        (Before::Created, "ListTagsForResource", plan),
        (Before::Created, "GetLifecyclePolicy", plan),
        (Before::Created, "GetRepositoryPolicy", plan),
        (Before::Different, "GetRegistryScanningConfiguration", plan),
        (Before::Empty, "GetAuthorizationToken", plan),
        (Before::Images, "DescribeImages", images),
        (Before::Images, "DescribeImages", &["ecr", "delete", "--yes"]),
        (Before::Images, "DescribeImages", &["ecr", "scan", "--tag", "1.0.1"]),
        (Before::Images, "DescribeImageScanFindings", &["ecr", "scan", "--tag", "1.0.1"]),
        (Before::Images, "GetLifecyclePolicyPreview", &["ecr", "lifecycle", "preview", "--aws"]),
        (Before::Images, "BatchGetImage", &["ecr", "lifecycle", "preview"]),
    ] {
        for wrong in NEVER_RIGHT {
            is_unexpected(before, operation, wrong, args);
        }
    }
}

/// An answer without tags is not one of a repository without tags.
#[test]
fn delete_without_the_answer_about_tags_is_refused() {
    for wrong in NEVER_RIGHT {
        let args = &["ecr", "delete", "--yes", "--assume-owned"];
        is_unexpected_with(5, Before::Created, "ListTagsForResource", wrong, args);
    }
}

#[test]
fn read_of_another_repository_is_a_failure() {
    let plan = &["ecr", "plan"][..];
    for (before, operation, args) in [
        (Before::Created, "DescribeRepositories", plan),
        (Before::Created, "GetLifecyclePolicy", plan),
        (Before::Created, "GetRepositoryPolicy", plan),
        (Before::Images, "DescribeImages", &["ecr", "images"]),
        (Before::Images, "DescribeImageScanFindings", &["ecr", "scan", "--tag", "1.0.1"]),
        (Before::Images, "GetLifecyclePolicyPreview", &["ecr", "lifecycle", "preview", "--aws"]),
    ] {
        is_unexpected(before, operation, OTHER_NAME, args);
    }
}

#[test]
fn unexpected_answer_names_the_operation_and_what_came() {
    let fixture = fixture(Before::Created);
    let output = through(&fixture, "DeleteRepository", PAGE, &["ecr", "delete", "--yes"]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
         Will delete my-app  0 images, 0 B
              Failed my-app: ecr:DeleteRepository: unexpected response: HTTP status 200 with a body that the API does not give (text/html)
            Finished 1 repository: 1 failed
        --- exit 1
    "#]].assert_eq(&output.shown());
    assert_eq!(fixture.registry.names(), ["my-app"]);
    let output = through(&fixture, "GetCallerIdentity", PAGE, &["ecr", "plan"]);
    expect![[r#"
        --- stderr
        error: failed to identify the AWS account

        Caused by:
          sts:GetCallerIdentity: unexpected response: HTTP status 200 with a body that the API does not give (text/html)

        help: another server may have answered in place of AWS: check AWS_ENDPOINT_URL and HTTPS_PROXY, and run the command again
        --- exit 1
    "#]].assert_eq(&output.shown());
}

/// A setting that a proxy kept from AWS was once remembered as one that AWS ignores.
#[test]
fn write_that_was_lost_once_does_not_fail_the_next_run() {
    for operation in ["PutImageTagMutability", "PutImageScanningConfiguration"] {
        let fixture = fixture(Before::Different);
        let output = through(&fixture, operation, EMPTY, &["ecr", "create"]);
        assert_eq!(output.code, 1, "{output:#?}");
        let json = fixture.run(&["ecr", "create", "--format", "json"]).json_with(0);
        assert_eq!(json["repositories"][0]["outcome"], "updated");
        assert_eq!(fixture.run(&["ecr", "plan", "--check"]).code, 0);
    }
}

#[test]
fn write_that_has_no_effect_once_is_made_again() {
    let fixture = fixture(Before::Different).with_faults(&["ignore=PutImageTagMutability:1"]);
    fixture.registry.create_plain("my-app");
    let output = fixture.run(&["ecr", "create"]).good();
    assert_eq!(output.stderr.matches("Updated repository my-app").count(), 1, "{output:#?}");
    let writes = fixture.registry.writes();
    assert_eq!(writes.iter().filter(|it| *it == "PutImageTagMutability").count(), 2, "{writes:?}");
    assert_eq!(fixture.run(&["ecr", "plan", "--check"]).code, 0);
}

#[test]
fn write_without_effect_is_blocked_and_never_updated() {
    let fixture = fixture(Before::Different).with_faults(&["ignore=PutImageTagMutability"]);
    fixture.registry.create_plain("my-app");
    let output = fixture.run(&["ecr", "create"]);
    expect![[r#"
        127.0.0.1:[PORT]/my-app
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
             Blocked my-app: AWS accepted the change of imageTagMutability, but it had no effect
            Finished 1 repository: 1 blocked
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn record_of_a_write_without_effect_ends_with_the_difference() {
    let fixture = fixture(Before::Different).with_faults(&["ignore=PutImageTagMutability:2"]);
    fixture.registry.create_plain("my-app");
    assert_eq!(fixture.run(&["ecr", "create"]).code, 1);
    let records = || fixture.workspace.json("target/xtask-ecr/ignored-writes.json").as_array().unwrap().len();
    assert_eq!(records(), 1);
    let set = async |ecr: &aws_sdk_ecr::Client, mutability: &str| {
        let request = ecr.put_image_tag_mutability().repository_name("my-app");
        request.image_tag_mutability(mutability.into()).send().await
    };
    fixture.registry.sdk(async |ecr| set(ecr, "IMMUTABLE").await);
    fixture.run(&["ecr", "create"]).good();
    assert_eq!(records(), 0);
    // The same difference again, which has nothing to do with the record.
    fixture.registry.sdk(async |ecr| set(ecr, "MUTABLE").await);
    fixture.run(&["ecr", "create"]).good();
}

#[cfg(target_arch = "x86_64")]
const HERE: &str = "linux/amd64=my-app/binary";
#[cfg(target_arch = "aarch64")]
const HERE: &str = "linux/arm64=my-app/binary";

/// Pushes one image through a proxy.
fn push(change: impl Fn(&str) -> Option<Wrong> + Send + Sync + 'static) -> (Fixture, Output) {
    let fixture = Fixture::service().created();
    fixture.workspace.file("my-app/binary", static_binary(std::env::consts::ARCH, 1000));
    let proxy = Proxy::before(&fixture.registry, change);
    let args = ["push", "--binary", HERE, "--format", "json", "--network-timeout", "2s"];
    let output = fixture.workspace.command(&args).env("AWS_ENDPOINT_URL", &proxy.url()).run();
    assert!(proxy.changed() > 0, "{output:#?}");
    (fixture, output)
}

const CREATED: Wrong = Wrong::Instead("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
const ACCEPTED: Wrong = Wrong::Instead("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n");
const NO_CONTENT: Wrong = Wrong::Instead("HTTP/1.1 204 No Content\r\n\r\n");
const OTHER_DIGEST: Wrong = Wrong::Instead(
    "HTTP/1.1 201 Created\r\ncontent-length: 0\r\ndocker-content-digest: \
     sha256:0000000000000000000000000000000000000000000000000000000000000000\r\n\r\n",
);

#[test]
fn push_counts_only_with_the_answers_of_a_registry() {
    for (operation, wrong) in [
        ("PUT manifests", PAGE),
        ("PUT manifests", EMPTY),
        ("PUT manifests", CREATED),
        ("PUT manifests", ACCEPTED),
        ("PUT manifests", NO_CONTENT),
        ("PUT manifests", OTHER_DIGEST),
        ("PUT uploads", PAGE),
        ("PUT uploads", EMPTY),
        ("PUT uploads", NO_CONTENT),
        ("PUT uploads", OTHER_DIGEST),
        ("POST uploads", PAGE),
        ("POST uploads", EMPTY),
        ("POST uploads", CREATED),
        ("HEAD manifests", PAGE),
    ] {
        let both = move |it: &str| {
            let is_read = operation == "HEAD manifests" && it == "GET manifests";
            (it == operation || is_read).then_some(wrong)
        };
        let (fixture, output) = push(both);
        let json = output.json_with(1);
        let case = format!("{operation}, {wrong:?}: {output:#?}");
        assert_eq!(json["images"][0]["outcome"], "failed", "{case}");
        assert!(!output.stderr.contains("Pushed"), "{case}");
        let error = json["images"][0]["error"].as_str().unwrap();
        let is_told = ["unexpected response", "the manifest is not JSON"].iter().any(|it| error.contains(it));
        assert!(error.starts_with("failed to ") && is_told, "{case}");
        assert!(!fixture.registry.calls().contains_key("PutImage"), "{case}");
    }
}

#[test]
fn push_asks_for_a_digest_that_the_answer_lacks() {
    let lacking = Wrong::Replaced("docker-content-digest", "x-digest");
    let (fixture, output) = push(move |it| (it == "PUT manifests").then_some(lacking));
    assert_eq!(output.json_with(0)["images"][0]["outcome"], "pushed");
    assert!(fixture.registry.calls().contains_key("BatchGetImage"));
}

/// A stand-in for docker that says that it has pushed an image, and does nothing.
const LIAR: &str = "case \"$1\" in --version) echo 'Docker version 28.2.2, build e6534b4';;\n\
    login) cat >/dev/null;;\n\
    build) cat >/dev/null; while [ $# -gt 0 ]; do\n\
      [ \"$1\" = --iidfile ] && printf 'sha256:%064d' 1 >\"$2\"; shift; done;;\n\
    tag) ;;\n\
    push) echo \"1.0.0: digest: sha256:$(printf %064d 2) size: 100\";;\n\
    *) exit 1;; esac";

#[test]
fn push_with_an_engine_counts_only_if_the_registry_has_the_tag() {
    let fixture = Fixture::service().created();
    fixture.workspace.file("my-app/Dockerfile", "FROM scratch\n");
    let engine = fixture.workspace.program("bin/engine", LIAR);
    let json = fixture.run(&["push", "--engine", &engine, "--format", "json"]).json_with(1);
    assert_eq!(json["images"][0]["error"], "the registry does not have the pushed tag `1.0.0`");
}

#[test]
fn answer_without_a_member_that_decides_is_a_failure() {
    let (plan, scan) = (&["ecr", "plan"][..], &["ecr", "scan", "--tag", "1.0.1"][..]);
    for (before, operation, member, args) in [
        (Before::Created, "GetCallerIdentity", "Account>", plan),
        (Before::Created, "DescribeRepositories", "repositoryArn", plan),
        (Before::Created, "DescribeRepositories", "repositoryUri", plan),
        (Before::Empty, "GetAuthorizationToken", "authorizationToken", plan),
        (Before::Empty, "GetAuthorizationToken", "proxyEndpoint", plan),
        (Before::Images, "DescribeImages", "imageDigest", &["ecr", "images"]),
        (Before::Images, "DescribeImages", "imagePushedAt", &["ecr", "images"]),
        (Before::Images, "DescribeImageScanFindings", "imageScanStatus", scan),
        (Before::Images, "DescribeImageScanFindings", "imageDigest", scan),
        (Before::Images, "BatchGetImage", "imageManifest\"", &["ecr", "lifecycle", "preview"]),
    ] {
        let other = format!("x{member}").leak();
        is_unexpected(before, operation, Wrong::Replaced(member, other), args);
    }
}

#[test]
fn push_uploads_a_blob_that_a_page_claims_to_have() {
    let (fixture, output) = push(|it| (it == "HEAD blobs").then_some(PAGE));
    assert_eq!(output.json_with(0)["images"][0]["skippedBytes"], json!(0));
    assert_eq!(fixture.registry.manifest("my-app", "1.0.0")["schemaVersion"], 2);
}
