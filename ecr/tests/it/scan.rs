//! `ecr scan`: the findings that it shows, and the verdicts of the gate.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::scans::{basic_scan, enhanced_scan, gate, one_image, verdict};
use crate::support::{Fixture, Output, Workspace, static_binary, without_digests};

#[test]
fn scan_findings_have_package_versions_and_link() {
    let fixture = Fixture::filled();
    let output = fixture.run(&["ecr", "scan", "-p", "my-app", "--tag", "1.0.1"]).good();
    expect![[r#"
        my-app:1.0.1  [-digest--]  COMPLETE, basic scanning
          1 CRITICAL, 2 HIGH
          SEVERITY  ID             PACKAGE  INSTALLED  FIXED IN
          CRITICAL  CVE-2024-6119  openssl  3.0.13-1   unknown
                    https://security-tracker.debian.org/tracker/CVE-2024-6119
          HIGH      CVE-2024-1     openssl  3.0.13-1   unknown
                    https://security-tracker.debian.org/tracker/CVE-2024-1
          HIGH      CVE-2024-2     openssl  3.0.13-1   unknown
                    https://security-tracker.debian.org/tracker/CVE-2024-2
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
            Finished 1 image: 1 scanned
    "#]]
    .assert_eq(&without_digests(&output.shown()));
}

#[test]
fn scan_colours_keep_the_columns() {
    let fixture = Fixture::filled();
    let args = ["ecr", "scan", "-p", "my-app", "-t", "1.0.1", "--fail-on", "critical", "--color", "always"];
    let output = fixture.run(&args);
    expect![[r#"
        ^[1mmy-app:1.0.1^[0m  [-digest--]  COMPLETE, basic scanning
          1 CRITICAL, 2 HIGH
          ^[2mSEVERITY^[0m  ^[2mID^[0m             ^[2mPACKAGE^[0m  ^[2mINSTALLED^[0m  ^[2mFIXED IN^[0m
          ^[1m^[31mCRITICAL^[0m  CVE-2024-6119  openssl  3.0.13-1   ^[2munknown^[0m
                    ^[2mhttps://security-tracker.debian.org/tracker/CVE-2024-6119^[0m
          ^[1m^[31mHIGH^[0m      CVE-2024-1     openssl  3.0.13-1   ^[2munknown^[0m
                    ^[2mhttps://security-tracker.debian.org/tracker/CVE-2024-1^[0m
          ^[1m^[31mHIGH^[0m      CVE-2024-2     openssl  3.0.13-1   ^[2munknown^[0m
                    ^[2mhttps://security-tracker.debian.org/tracker/CVE-2024-2^[0m
          gate ^[1m^[31mfailed^[0m: 1 CRITICAL or worse
    "#]]
    .assert_eq(&without_digests(&output.stdout));
}

#[test]
fn scan_enhanced_shows_fixes_while_it_stays_active() {
    let (fixture, digest) = one_image();
    fixture
        .registry
        .scan(&digest, &enhanced_scan(&[("CVE-2025-1", "HIGH", "YES"), ("CVE-2025-2", "HIGH", "NO")]));
    let output = fixture.run(&["ecr", "scan", "--fail-on", "critical"]).good();
    expect![[r#"
        my-app:1.0.0  [-digest--]  ACTIVE, enhanced scanning
          2 HIGH
          SEVERITY  ID          PACKAGE  INSTALLED  FIXED IN
          HIGH      CVE-2025-1  curl     8.0.0      8.0.1
                    https://nvd.nist.gov/vuln/detail/CVE-2025-1
          HIGH      CVE-2025-2  curl     8.0.0      no fix
                    https://nvd.nist.gov/vuln/detail/CVE-2025-2
          gate passed
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
            Finished 1 image: 1 passed
    "#]]
    .assert_eq(&without_digests(&output.shown()));
    assert_eq!(verdict(&gate(&fixture, &["--ignore-unfixed"]), 4), "failed");
    fixture.registry.scan(&digest, &enhanced_scan(&[("CVE-2025-2", "HIGH", "NO")]));
    assert_eq!(verdict(&gate(&fixture, &["--ignore-unfixed"]), 0), "passed");
}

#[test]
fn scan_index_covers_each_listed_image() {
    let fixture = Fixture::filled();
    let args = ["ecr", "scan", "-p", "my-app", "-t", "2.0.0", "--fail-on", "high"];
    let output = fixture.run(&args);
    expect![[r#"
        my-app:2.0.0 (linux/amd64)  [-digest--]  UNSUPPORTED_IMAGE
          ECR cannot scan this image: it contains no supported operating system
          ECR says: UnsupportedImageError: The operating system and/or package manager
          are not supported.
          help: scan it with `trivy image` or `grype`; with `--unsupported pass` it
          passes the gate
          gate not passed: ECR cannot scan the image
        my-app:2.0.0 (linux/arm64)  [-digest--]  COMPLETE
          no findings
          gate passed
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        note: ECR cannot scan images built from scratch. To scan such an image, build its binary with `cargo auditable` and use `cargo audit bin`, `trivy` or `grype`
            Finished 2 images: 1 passed, 1 not passed
        --- exit 4
    "#]].assert_eq(&without_digests(&output.shown()));
    let passed = fixture.run(&[&args[..], &["--unsupported", "pass"]].concat());
    assert_eq!(passed.code, 0, "{passed:#?}");
}

#[test]
fn scan_gate_fails_for_every_other_status() {
    let (fixture, digest) = one_image();
    let mut shown = String::new();
    let statuses =
        ["FAILED", "SCAN_ELIGIBILITY_EXPIRED", "FINDINGS_UNAVAILABLE", "LIMIT_EXCEEDED", "UNSUPPORTED_IMAGE"];
    for status in statuses {
        fixture.registry.scan(&digest, &json!({"imageScanStatus": {"status": status}}));
        let output = gate(&fixture, &[]);
        let wanted = if status == "UNSUPPORTED_IMAGE" { "unsupported" } else { "not-scanned" };
        assert_eq!(verdict(&output, 4), wanted, "{status}");
        shown += &fixture.run(&["ecr", "scan"]).good().stdout;
    }
    expect![[r#"
        my-app:1.0.0  [-digest--]  FAILED
          the scan failed
          help: start another scan (once in 24 hours) with `aws ecr start-image-scan
          --repository-name my-app --image-id
          imageDigest=sha256:bf4c5b3d2cd54645b2ca138ed923c0a4c509f65e4500977d6b24fb7f58602ca9`,
          or push the image again
        my-app:1.0.0  [-digest--]  SCAN_ELIGIBILITY_EXPIRED
          Amazon Inspector no longer scans this image: its rescan duration has expired
          help: push the image again, or extend the rescan duration in the settings of
          Amazon Inspector
        my-app:1.0.0  [-digest--]  FINDINGS_UNAVAILABLE
          the findings are unavailable at the moment
          help: try again later
        my-app:1.0.0  [-digest--]  LIMIT_EXCEEDED
          the scan quota of the account is exceeded
          help: wait a day, or request a higher quota from AWS
        my-app:1.0.0  [-digest--]  UNSUPPORTED_IMAGE
          ECR cannot scan this image: it contains no supported operating system
          ECR says: UnsupportedImageError: The operating system and/or package manager
          are not supported.
          help: scan it with `trivy image` or `grype`; with `--unsupported pass` it
          passes the gate
    "#]]
    .assert_eq(&without_digests(&shown));
    // Basic scanning reports an unsupported image as a failed scan.
    let description = "UnsupportedImageError: The operating system and/or package manager are not supported.";
    fixture
        .registry
        .scan(&digest, &json!({"imageScanStatus": {"status": "FAILED", "description": description}}));
    assert_eq!(verdict(&gate(&fixture, &[]), 4), "unsupported");
    assert_eq!(verdict(&gate(&fixture, &["--unsupported", "pass"]), 0), "unsupported");
}

#[test]
fn scan_gate_fails_without_any_scan() {
    let fixture = Workspace::new().service("my-app", "scan-on-push = false\n").start().created();
    fixture.registry.image("my-app", "1.0.0");
    let output = gate(&fixture, &["--unsupported", "pass"]);
    assert_eq!(verdict(&output, 4), "not-scanned");
    let output = fixture.run(&["ecr", "scan", "--timeout", "0s"]).good();
    expect![[r#"
        my-app:1.0.0  [-digest--]  not scanned
          it was never scanned
          help: enable scan on push (`scan-on-push = true`), or start a scan with `aws
          ecr start-image-scan --repository-name my-app --image-id
          imageDigest=sha256:[DIGEST]`
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
            Finished 1 image: 1 not scanned
    "#]]
    .assert_eq(&without_digests(&output.shown()));
}

#[test]
fn scan_gate_ignores_known_findings_until_they_expire() {
    let (fixture, digest) = one_image();
    fixture.registry.scan(&digest, &basic_scan(&[("CVE-1", "HIGH")]));
    let file = |id: &str, expires: &str| {
        let entry = format!("[[ignore]]\nid = \"{id}\"\nreason = \"not reachable\"\nexpires = {expires}\n");
        fixture.workspace.file("ecr/scan-ignore.toml", &entry);
    };
    file("CVE-1", "9999-01-01");
    let output = gate(&fixture, &[]);
    assert_eq!(verdict(&output, 0), "passed");
    assert_eq!((&output.json()["images"][0]["ignored"], output.warnings()), (&json!(1), vec![]));
    file("CVE-1", "2020-01-01");
    let output = gate(&fixture, &[]);
    assert_eq!(verdict(&output, 4), "failed");
    expect!["ignore entry `CVE-1` has expired: the finding is no longer ignored"]
        .assert_eq(&output.warnings().join("\n"));
    file("CVE-0", "9999-01-01");
    let output = gate(&fixture, &[]);
    assert_eq!(output.json()["ignore"], json!({"expired": [], "stale": ["CVE-0"]}));
    expect!["ignore entry `CVE-0` is stale: no image has this finding"]
        .assert_eq(&output.warnings().join("\n"));
    fixture.workspace.file("ecr/scan-ignore.toml", "[[ignore]]\nid = \"CVE-1\"\n");
    let output = fixture.run(&["ecr", "scan", "--fail-on", "low"]);
    expect![[r#"
        --- stderr
        error: there are 2 problems in the configuration

        ecr/scan-ignore.toml:1:1: an entry of `ignore` needs `expires`

        ecr/scan-ignore.toml:1:1: an entry of `ignore` needs `reason`
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn scan_without_configured_tag_takes_the_newest() {
    let fixture = Fixture::service().created();
    let empty = fixture.run(&["ecr", "scan"]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
        warning: `my-app` has no images
        error: no images found

        help: push an image with `cargo xtask push`
        --- exit 1
    "#]]
    .assert_eq(&empty.shown());
    fixture.registry.image("my-app", "0.9.0");
    let output = fixture.run(&["ecr", "scan"]).good();
    assert_eq!(output.warnings(), ["`my-app` has no image with the tag `1.0.0`: showing the newest, 0.9.0"]);
    let named = fixture.run(&["ecr", "scan", "-t", "1.0.0"]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
              Failed my-app: no image has the tag `1.0.0`
            Finished 1 image: 1 failed
        --- exit 1
    "#]]
    .assert_eq(&named.shown());
}

#[test]
fn scan_all_covers_every_image() {
    let fixture = Fixture::filled();
    let args = ["ecr", "scan", "--all", "-p", "my-app", "--format", "json"];
    let json = fixture.run(&args).json_with(0);
    let images = json["images"].as_array().unwrap();
    assert_eq!(images.len(), 4, "neither the index nor the artifact");
    assert!(images.iter().all(|it| it["gate"].is_null()));
}

#[test]
fn push_fails_at_the_scan_gate() {
    let (fixture, _) = one_image();
    let main = "#[used]\n#[unsafe(link_section = \".dep-v0\")]\nstatic CRATES: [u8; 4] = *b\"data\";\nfn main() {}\n";
    fixture.workspace.file("my-app/src/main.rs", main);
    let push = |args: &[&str]| {
        let push = ["push", "--profile", "dev", "-t", "2", "--fail-on", "High", "--timeout", "600ms"];
        fixture.run(&[&push[..], args].concat())
    };
    let output = push(&["-q"]);
    assert_eq!(output.code, 4, "{output:#?}");
    assert_eq!(output.stdout, "", "no reference of an image that did not pass");
    let output = push(&[]);
    assert!(output.stderr.contains("my-app contains `cargo auditable` data"), "{}", output.stderr);
    assert!(output.stderr.contains("gate not passed: ECR cannot scan the image"), "{}", output.stderr);
    let output = push(&["--unsupported", "pass", "--format", "json"]);
    let image = &output.json_with(0)["images"][0];
    assert_eq!((&image["outcome"], &image["scans"][0]["gate"]), (&json!("unchanged"), &json!("unsupported")));
    fixture.registry.scan(image["digest"].as_str().unwrap(), &basic_scan(&[("CVE-1", "CRITICAL")]));
    let json = push(&["--format", "json"]).json_with(4);
    assert_eq!(json["images"][0]["scans"][0]["gate"], "failed");
    let dry = push(&["--dry-run"]);
    assert_eq!(dry.code, 1, "a dry run has nothing to scan: {dry:#?}");
}

#[test]
fn push_prints_no_reference_of_an_image_whose_scan_cannot_be_read() {
    let fixture = Fixture::service().with_faults(&["deny=DescribeImageScanFindings"]).created();
    fixture.workspace.file("bin/my-app", static_binary("x86_64", 10));
    let args = ["push", "--allow-dirty", "--binary", "linux/amd64=bin", "--fail-on", "high", "-q"];
    let output = fixture.run(&args);
    assert_eq!(output.code, 1, "{output:#?}");
    assert_eq!(output.stdout, "", "{output:#?}");
    assert!(output.stderr.contains("ecr:DescribeImageScanFindings"), "{}", output.stderr);
}

#[test]
fn scan_gate_fails_where_there_is_no_image() {
    let fixture = Fixture::example().created();
    let clean = fixture.registry.image("my-app-worker", "1.0.0");
    fixture.registry.scan(&clean, &basic_scan(&[]));
    let reason = |output: &Output| output.json_with(1)["failures"][0]["error"].clone();
    assert_eq!(reason(&gate(&fixture, &[])), "my-app: the repository has no images");
    assert_eq!(reason(&gate(&fixture, &["--all"])), "my-app: the repository has no images");
    let empty =
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []});
    fixture.registry.put("my-app", &empty, Some("1.0.0"));
    assert_eq!(reason(&gate(&fixture, &[])), "my-app: the index lists no image");
    let output = fixture.run(&["ecr", "scan", "-t", "{version}-{digest}", "--fail-on", "low"]);
    expect![[r#"
        --- stderr
        error: tag `{version}-{digest}` contains the digest of the image, which is known only during a build

        help: pass the tag as `push` printed it, or show all images with --all
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn scan_gate_does_not_count_suppressed_findings() {
    let (fixture, digest) = one_image();
    let mut scan = enhanced_scan(&[("CVE-1", "HIGH", "YES")]);
    scan["imageScanFindings"]["enhancedFindings"][0]["status"] = json!("SUPPRESSED");
    fixture.registry.scan(&digest, &scan);
    let output = fixture.run(&["ecr", "scan", "--fail-on", "low"]).good();
    assert!(output.stdout.contains("suppressed\n"), "{}", output.stdout);
    assert!(output.stdout.contains("gate passed: 1 suppressed"), "{}", output.stdout);
}

#[test]
fn scan_findings_escape_control_characters() {
    let (fixture, digest) = one_image();
    fixture.registry.scan(&digest, &basic_scan(&[("CVE\x1b[2J\r\n1", "HIGH")]));
    let output = fixture.run(&["ecr", "scan"]).good();
    assert!(!output.stdout.contains(['\x1b', '\r']), "{:?}", output.stdout);
    assert!(output.stdout.contains(r"CVE\u{1b}[2J\r\n1"), "{}", output.stdout);
}

#[test]
fn scan_interrupt_leaves_one_json_document() {
    let (fixture, digest) = one_image();
    fixture.registry.scan(&digest, &json!({"imageScanStatus": {"status": "IN_PROGRESS"}}));
    let args = ["ecr", "scan", "--timeout", "1m", "--format", "json"];
    let child = fixture.command(&args).spawn();
    while !fixture.registry.calls().contains_key("DescribeImageScanFindings") {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json, json!({"images": [], "interrupted": true}));
}

#[test]
fn scan_gate_without_permission_fails() {
    let fixture = Fixture::service().with_faults(&["deny=DescribeImageScanFindings"]).created();
    fixture.registry.image("my-app", "1.0.0");
    let output = fixture.run(&["ecr", "scan", "--fail-on", "low"]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
              Failed my-app:1.0.0: ecr:DescribeImageScanFindings: AccessDeniedException: User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:DescribeImageScanFindings on resource: arn:aws:ecr:us-east-1:123456789012:repository/my-app because no identity-based policy allows the ecr:DescribeImageScanFindings action
        help: these credentials lack the permission ecr:DescribeImageScanFindings: grant it, or use other credentials
            Finished 1 image: 1 failed
        --- exit 1
    "#]].assert_eq(&output.shown());
}
