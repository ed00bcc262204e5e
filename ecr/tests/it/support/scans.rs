//! Scans as `DescribeImageScanFindings` gives them, and what the gate says of them.

use serde_json::{Value, json};

use super::{Fixture, Output};

/// A basic scan that is complete, with findings by name and severity.
pub fn basic_scan(findings: &[(&str, &str)]) -> Value {
    let finding = |(name, severity): &(&str, &str)| {
        json!({
            "name": name,
            "severity": severity,
            "uri": format!("https://security-tracker.debian.org/tracker/{name}"),
            "attributes": [{"key": "package_name", "value": "openssl"}, {"key": "package_version", "value": "3.0.13-1"}],
        })
    };
    let mut counts = serde_json::Map::new();
    for (_, severity) in findings {
        let n = counts.get(*severity).and_then(Value::as_u64).unwrap_or_default();
        counts.insert((*severity).to_owned(), json!(n + 1));
    }
    json!({
        "imageScanStatus": {"status": "COMPLETE"},
        "imageScanFindings": {
            "imageScanCompletedAt": 1_780_000_000,
            "findingSeverityCounts": counts,
            "findings": findings.iter().map(finding).collect::<Vec<_>>(),
        },
    })
}

/// An enhanced scan that is active, with findings by name, severity, and whether there is a fix (`YES` or `NO`).
pub fn enhanced_scan(findings: &[(&str, &str, &str)]) -> Value {
    let finding = |(name, severity, fix): &(&str, &str, &str)| {
        json!({
            "title": format!("{name} - curl"),
            "severity": severity,
            "status": "ACTIVE",
            "fixAvailable": fix,
            "packageVulnerabilityDetails": {
                "vulnerabilityId": name,
                "sourceUrl": format!("https://nvd.nist.gov/vuln/detail/{name}"),
                "vulnerablePackages": [{
                    "name": "curl",
                    "version": "8.0.0",
                    "fixedInVersion": if *fix == "YES" { "8.0.1" } else { "NotAvailable" },
                }],
            },
        })
    };
    json!({
        "imageScanStatus": {"status": "ACTIVE", "description": "Continuous scan is selected for image."},
        "imageScanFindings": {
            "imageScanCompletedAt": 1_780_000_000,
            "enhancedFindings": findings.iter().map(finding).collect::<Vec<_>>(),
        },
    })
}

/// One service whose repository holds one image, and the digest of that image.
pub fn one_image() -> (Fixture, String) {
    let fixture = Fixture::service().created();
    let digest = fixture.registry.image("my-app", "1.0.0");
    (fixture, digest)
}

/// Runs the gate, which waits for a short time only.
pub fn gate(fixture: &Fixture, args: &[&str]) -> Output {
    let gate = ["ecr", "scan", "--fail-on", "high", "--timeout", "600ms", "--format", "json"];
    fixture.run(&[&gate[..], args].concat())
}

/// The verdict of the gate on the only image.
pub fn verdict(output: &Output, code: i32) -> Value {
    let json = output.json_with(code);
    assert_eq!(json["images"].as_array().unwrap().len(), 1, "{json}");
    json["images"][0]["gate"].clone()
}
