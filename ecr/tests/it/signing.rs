//! `push --require-signed`: waits for what ECR signs, and fails closed.

use expect_test::expect;
use serde_json::{Value, json};

use crate::registry_settings::{PROFILE, sign};
use crate::support::{Fixture, Output, Workspace, static_binary, without_digests};

/// A pushed index of two images, of a service whose images ECR signs. Returns the digests, that of the index first.
fn pushed() -> (Fixture, Vec<String>) {
    let workspace = Workspace::new().service("my-app", "");
    workspace.file("amd", static_binary("x86_64", 10));
    workspace.file("arm", static_binary("aarch64", 10));
    let fixture = workspace.start().created();
    fixture.registry.sdk(async |ecr| sign(ecr, &["my-app"]).await);
    let report = push(&fixture, &["--format", "json"]).json_with(0);
    let index = report["images"][0]["digest"].as_str().unwrap().to_owned();
    let manifest = fixture.registry.manifest("my-app", &index);
    let children =
        manifest["manifests"].as_array().unwrap().iter().map(|it| it["digest"].as_str().unwrap().to_owned());
    let digests = std::iter::once(index.clone()).chain(children).collect();
    (fixture, digests)
}

fn push(fixture: &Fixture, args: &[&str]) -> Output {
    let binaries = ["push", "--binary", "linux/amd64=amd", "--binary", "linux/arm64=arm"];
    fixture.run(&[&binaries[..], args].concat())
}

fn status(state: &str) -> Value {
    match state {
        "FAILED" => {
            json!([{"signingProfileArn": PROFILE, "status": state, "failureCode": "AccessDeniedException",
            "failureReason": "not authorized to perform signer:SignPayload"}])
        }
        _ => json!([{"signingProfileArn": PROFILE, "status": state}]),
    }
}

fn gate(fixture: &Fixture, args: &[&str]) -> Output {
    push(fixture, &[&["--timeout", "300ms"], args].concat())
}

fn set(fixture: &Fixture, digests: &[String], state: &str) {
    digests.iter().for_each(|it| fixture.registry.signatures(it, &status(state)));
}

#[test]
fn push_require_signed_passes_an_image_whose_manifests_are_all_signed() {
    let (fixture, digests) = pushed();
    set(&fixture, &digests, "COMPLETE");
    let signed = gate(&fixture, &["--require-signed"]);
    expect![[r#"
        127.0.0.1:[PORT]/my-app@sha256:[DIGEST]
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
           Unchanged my-app 1.0.0
              Signed my-app
            [-digest--]  signed with arn:aws:signer:us-east-1:123456789012:/signing-profiles/release
            [-digest--]  signed with arn:aws:signer:us-east-1:123456789012:/signing-profiles/release
            [-digest--]  signed with arn:aws:signer:us-east-1:123456789012:/signing-profiles/release
            Finished 1 image: 1 unchanged in [TIME]
    "#]]
    .assert_eq(&without_digests(&signed.good().shown()));
    for profile in [PROFILE, "release"] {
        let flag = format!("--require-signed={profile}");
        let report = gate(&fixture, &[&flag, "--format", "json"]).json_with(0);
        let signatures = report["images"][0]["signatures"].as_array().unwrap();
        let found: Vec<_> = signatures.iter().map(|it| it["digest"].as_str().unwrap()).collect();
        assert_eq!(found, digests);
        assert!(signatures.iter().all(|it| it["status"] == "signed" && it["profiles"] == json!([PROFILE])));
    }
    // Another profile has not signed it.
    let other = gate(&fixture, &["--require-signed=staging", "--format", "json"]).json_with(4);
    assert_eq!(other["images"][0]["signatures"][0]["status"], "missing");
}

#[test]
fn push_require_signed_fails_where_a_signature_fails() {
    let (fixture, digests) = pushed();
    set(&fixture, &digests[..2], "COMPLETE");
    set(&fixture, &digests[2..], "FAILED");
    let failed = gate(&fixture, &["--require-signed"]);
    assert_eq!(failed.code, 4);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
           Unchanged my-app 1.0.0
            Unsigned my-app
            [-digest--]  signed with arn:aws:signer:us-east-1:123456789012:/signing-profiles/release
            [-digest--]  signed with arn:aws:signer:us-east-1:123456789012:/signing-profiles/release
            [-digest--]  not signed: arn:aws:signer:us-east-1:123456789012:/signing-profiles/release: FAILED: AccessDeniedException: not authorized to perform signer:SignPayload
            Finished 1 image: 1 unchanged in [TIME]
        --- exit 4
    "#]].assert_eq(&without_digests(&failed.shown()));
}

#[test]
fn push_require_signed_fails_closed() {
    let (fixture, digests) = pushed();
    // Without a file, ECR goes on signing for ever.
    let report = gate(&fixture, &["--require-signed", "--format", "json"]).json_with(4);
    assert_eq!(report["images"][0]["signatures"][0]["status"], "in-progress");
    assert_eq!(report["images"][0]["error"], json!(null));
    // A state that this version does not know is no signature.
    set(&fixture, &digests, "REVOKED");
    let report = gate(&fixture, &["--require-signed", "--format", "json"]).json_with(4);
    assert_eq!(report["images"][0]["signatures"][0]["reason"], format!("{PROFILE}: REVOKED"));
    // Without a rule, nothing is signed.
    fixture.registry.sdk(async |ecr| ecr.delete_signing_configuration().send().await);
    digests.iter().for_each(|it| fixture.registry.signatures(it, &json!([])));
    let unsigned = gate(&fixture, &["--require-signed"]);
    assert_eq!(unsigned.code, 4);
    assert!(
        unsigned.stderr.contains("not signed: no signing rule of the registry is about it"),
        "{unsigned:#?}"
    );
    assert_eq!(unsigned.stdout, "");
}

#[test]
fn push_require_signed_waits_until_ecr_has_signed() {
    let (fixture, digests) = pushed();
    set(&fixture, &digests[1..], "COMPLETE");
    let report = std::thread::scope(|scope| {
        let gate =
            scope.spawn(|| push(&fixture, &["--require-signed", "--timeout", "30s", "--format", "json"]));
        while !fixture.registry.has_calls("DescribeImageSigningStatus") {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        set(&fixture, &digests[..1], "COMPLETE");
        gate.join().unwrap().json_with(0)
    });
    assert_eq!(report["images"][0]["signatures"][0]["status"], "signed");
}

#[test]
fn push_require_signed_without_the_permission_fails() {
    let fixture = Fixture::service().with_faults(&["deny=DescribeImageSigningStatus"]).created();
    fixture.workspace.file("amd", static_binary("x86_64", 10));
    let denied = fixture.run(&["push", "--binary", "linux/amd64=amd", "--require-signed"]);
    assert_eq!(denied.code, 1);
    assert!(denied.stderr.contains("ecr:DescribeImageSigningStatus: AccessDeniedException"), "{denied:#?}");
    let nowhere = fixture.run(&["push", "--dry-run", "--require-signed"]);
    assert!(nowhere.code == 1 && nowhere.stderr.contains("cannot be used with"), "{nowhere:#?}");
}
