//! Files with a byte order mark are read, and other encodings than UTF-8 are named.

use expect_test::expect;

use crate::support::scans::basic_scan;
use crate::support::{Fixture, POLICY, Workspace};

/// `text` in UTF-8 with a byte order mark.
fn with_mark(text: &str) -> String {
    format!("\u{FEFF}{text}")
}

fn utf_16(text: &str) -> Vec<u8> {
    with_mark(text).encode_utf16().flat_map(u16::to_le_bytes).collect()
}

const REPOSITORY_POLICY: &str = r#"{"Version": "2012-10-17", "Statement": [{"Sid": "pull", "Effect": "Allow",
    "Principal": {"AWS": "111111111111"}, "Action": "ecr:BatchGetImage"}]}"#;

#[test]
fn encoding_mark_is_read_in_every_file() {
    let workspace = Workspace::new().service("my-app", "repository-policy = \"policy.json\"\n");
    let repositories = r#"{"repositories": [{"name": "extra"}]}"#;
    for (file, text) in [
        ("ecr/repositories.json", repositories),
        ("ecr/lifecycle-policy.json", POLICY),
        ("my-app/policy.json", REPOSITORY_POLICY),
        (
            "ecr/scan-ignore.toml",
            "[[ignore]]\nid = \"CVE-2024-1\"\nreason = \"not reachable\"\nexpires = 2999-01-01\n",
        ),
        ("in-use.txt", "my-app:1.0.0\n"),
    ] {
        workspace.file(file, with_mark(text));
    }
    // cargo reads manifests with a mark as well.
    for manifest in ["Cargo.toml", "my-app/Cargo.toml"] {
        let text = std::fs::read_to_string(workspace.root().join(manifest)).unwrap();
        workspace.file(manifest, with_mark(&text));
    }
    let fixture = workspace.start();
    fixture.run(&["ecr", "create", "--in-use", "in-use.txt"]).good();
    assert_eq!(fixture.run(&["ecr", "plan", "--check"]).code, 0);
    let fail_on = fixture.run(&["ecr", "scan", "--fail-on", "high"]);
    assert!(!fail_on.stderr.contains("scan-ignore"), "{fail_on:#?}");
    fixture.run(&["ecr", "lifecycle", "check", "ecr/lifecycle-policy.json"]).good();
}

#[test]
fn encoding_positions_do_not_count_the_mark() {
    let fixture = Fixture::service();
    fixture.workspace.file("ecr/repositories.json", with_mark("{\"repositoris\": []}"));
    let output = fixture.run(&["ecr", "plan"]);
    assert!(output.stderr.contains("ecr/repositories.json:1:2: unknown key `repositoris`"), "{output:#?}");
}

#[test]
fn encoding_utf_16_is_named() {
    let fixture = Workspace::new().service("my-app", "repository-policy = \"policy.json\"\n").start();
    for (file, text) in [
        ("ecr/repositories.json", "{\"repositories\": []}"),
        ("ecr/lifecycle-policy.json", POLICY),
        ("my-app/policy.json", REPOSITORY_POLICY),
    ] {
        fixture.workspace.file(file, utf_16(text));
    }
    expect![[r#"
        --- stderr
        error: there are 3 problems in the configuration

        Cargo.toml: the lifecycle policy `ecr/lifecycle-policy.json` cannot be read: it is UTF-16, not UTF-8
          help: save it as UTF-8, such as with `iconv --from-code=UTF-16 --to-code=UTF-8 FILE > NEW`; in PowerShell, write with `Set-Content -Encoding utf8`

        ecr/repositories.json: `ecr/repositories.json` cannot be read: it is UTF-16, not UTF-8
          help: save it as UTF-8, such as with `iconv --from-code=UTF-16 --to-code=UTF-8 FILE > NEW`; in PowerShell, write with `Set-Content -Encoding utf8`

        my-app/Cargo.toml:7:21: the repository policy `my-app/policy.json` cannot be read: it is UTF-16, not UTF-8
          help: save it as UTF-8, such as with `iconv --from-code=UTF-16 --to-code=UTF-8 FILE > NEW`; in PowerShell, write with `Set-Content -Encoding utf8`
        --- exit 1
    "#]].assert_eq(&fixture.run(&["ecr", "plan"]).shown());
    let check = fixture.run(&["ecr", "lifecycle", "check", "ecr/lifecycle-policy.json"]);
    expect![[r#"
        --- stderr
        error: failed to read `ecr/lifecycle-policy.json`

        Caused by:
          it is UTF-16, not UTF-8

        help: save it as UTF-8, such as with `iconv --from-code=UTF-16 --to-code=UTF-8 FILE > NEW`; in PowerShell, write with `Set-Content -Encoding utf8`
        --- exit 1
    "#]].assert_eq(&check.shown());
}

#[test]
fn encoding_latin_1_is_named() {
    let fixture = Fixture::service();
    fixture.workspace.file("ecr/repositories.json", b"{\n\"repositories\": [{\"name\": \"caf\xE9\"}]}");
    expect![[r#"
        --- stderr
        error: there is a problem in the configuration

        ecr/repositories.json: `ecr/repositories.json` cannot be read: it is not UTF-8: line 2 has the byte 0xE9
          help: save it as UTF-8, such as with `iconv --from-code=WINDOWS-1252 --to-code=UTF-8 FILE > NEW`
        --- exit 1
    "#]].assert_eq(&fixture.run(&["ecr", "plan"]).shown());
}

#[test]
fn encoding_mark_is_read_in_findings() {
    let fixture = Fixture::filled();
    let images = fixture.run(&["ecr", "images", "-p", "my-app", "--format", "json"]).json_with(0);
    let images = images["repositories"][0]["images"].as_array().unwrap();
    let image = images.iter().find(|it| it["tags"] == serde_json::json!(["1.0.1"])).unwrap();
    let digest = image["digest"].as_str().unwrap();
    let findings = basic_scan(&[("CVE-2024-1", "HIGH")]).to_string();
    let scan = || fixture.run(&["ecr", "scan", "-p", "my-app", "--tag", "1.0.1"]).good().stdout;
    fixture.registry.scan_file(digest, with_mark(&findings));
    assert!(scan().contains("CVE-2024-1"));
    fixture.registry.scan_file(digest, utf_16(&findings));
    let output = scan();
    assert!(output.contains("UTF-16"), "{output}");
}
