//! The gate of `ecr scan --fail-on`: how long it waits, and which images it covers.

use serde_json::{Value, json};

use crate::support::scans::{basic_scan, enhanced_scan, gate, one_image, verdict};
use crate::support::{Fixture, Registry};

#[test]
fn scan_gate_waits_for_a_late_scan() {
    let (fixture, digest) = one_image();
    let mut scan = basic_scan(&[("CVE-1", "LOW")]);
    scan["statuses"] = json!(["PENDING", "IN_PROGRESS", "COMPLETE"]);
    fixture.registry.scan(&digest, &scan);
    let args = ["ecr", "scan", "--fail-on", "high", "--timeout", "1m"];
    let output = fixture.run(&args).good();
    assert!(
        output.stderr.contains("Scanning my-app:1.0.0 (waiting for at most 1 minute)"),
        "{}",
        output.stderr
    );
    assert!(output.stdout.contains("gate passed"), "{}", output.stdout);
}

#[test]
fn scan_gate_fails_for_a_scan_that_never_finishes() {
    let (fixture, digest) = one_image();
    for status in ["IN_PROGRESS", "PENDING"] {
        fixture.registry.scan(&digest, &json!({"imageScanStatus": {"status": status}}));
        assert_eq!(verdict(&gate(&fixture, &[]), 4), "not-scanned", "{status}");
    }
}

#[test]
fn scan_gate_waits_for_findings_after_complete() {
    let (fixture, digest) = one_image();
    // The answer of ECR in aws/aws-sdk#289.
    let early = json!({"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindings": {"findings": []}});
    for status in ["COMPLETE", "ACTIVE"] {
        let mut early = early.clone();
        early["imageScanStatus"]["status"] = json!(status);
        fixture.registry.scan(&digest, &early);
        assert_eq!(verdict(&gate(&fixture, &[]), 4), "not-scanned", "{status}");
    }
    let args = ["ecr", "scan", "--fail-on", "high", "--timeout", "1m", "--format", "json"];
    let output = std::thread::scope(|scope| {
        let command = scope.spawn(|| fixture.run(&args));
        std::thread::sleep(std::time::Duration::from_millis(400));
        fixture.registry.scan(&digest, &basic_scan(&[("CVE-1", "HIGH")]));
        command.join().unwrap()
    });
    assert_eq!(verdict(&output, 4), "failed");
}

/// Pushes an index of an image and an attestation of `docker buildx`.
fn attested(registry: &Registry, image: &str, attestation: &str, tag: &str) {
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let unknown = json!({"os": "unknown", "architecture": "unknown"});
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            // An unknown platform alone does not mark an attestation.
            {"mediaType": kind, "digest": image, "size": 1, "platform": unknown},
            {"mediaType": kind, "digest": attestation, "size": 1, "platform": unknown,
             "annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
        ],
    });
    registry.put("my-app", &index, Some(tag));
}

#[test]
fn scan_gate_leaves_out_attestations_only() {
    let fixture = Fixture::service().created();
    let image = fixture.registry.layered("my-app", &[('i', 10)], json!({}), None);
    let attestation = fixture.registry.layered("my-app", &[('a', 10)], json!({}), None);
    attested(&fixture.registry, &image, &attestation, "1.0.0");
    fixture.registry.scan(&image, &basic_scan(&[("CVE-1", "CRITICAL")]));
    for args in [&[][..], &["--all"]] {
        let output = gate(&fixture, args);
        assert_eq!(verdict(&output, 4), "failed", "{args:?}");
        assert_eq!(output.json()["images"][0]["digest"], image);
    }
}

#[test]
fn scan_gate_waits_for_findings_without_completion_time() {
    let (fixture, digest) = one_image();
    let mut scan = enhanced_scan(&[("CVE-1", "LOW", "NO")]);
    scan["imageScanFindings"]["imageScanCompletedAt"] = Value::Null;
    fixture.registry.scan(&digest, &scan);
    assert_eq!(verdict(&gate(&fixture, &[]), 4), "not-scanned");
}
