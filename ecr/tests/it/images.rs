//! `ecr images`: what is listed, in which order, and what it costs.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Registry, Workspace, by_name};

const LIFECYCLE_BY_PULLS: &str = r#"{"rules": [{"rulePriority": 1, "selection":
    {"tagStatus": "any", "countType": "sinceImagePulled", "countUnit": "days", "countNumber": 90},
    "action": {"type": "transition", "targetStorageClass": "archive"}}]}"#;
const KEEP_ONE: &str = r#"{"rules": [{"rulePriority": 1, "action": {"type": "expire"}, "selection":
    {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}}]}"#;

/// A repository with two versions that share a layer, an index of two images, an artifact, and scans.
pub fn filled(registry: &Registry) -> Workspace {
    let workspace = Workspace::seed();
    workspace.on(registry, &["ecr", "create"]).good();
    let base = ('B', 300_000);
    let old = registry.layered("my-app", &[base, ('a', 50_000)], json!({}), Some("1.0.0"));
    let new = registry.layered("my-app", &[base, ('b', 70_000)], json!({}), Some("1.0.1"));
    let subject =
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": old, "size": 1});
    let sbom = json!({"subject": subject, "artifactType": "application/spdx+json"});
    registry.layered("my-app", &[('s', 2000)], sbom, None);
    let amd = registry.layered("my-app", &[base, ('x', 10_000)], json!({}), None);
    let arm = registry.layered("my-app", &[base, ('y', 10_000)], json!({}), None);
    registry.index("my-app", &[("amd64", &amd), ("arm64", &arm)], "2.0.0");
    registry
        .scan(&new, &basic(&[("CVE-2024-6119", "CRITICAL"), ("CVE-2024-1", "HIGH"), ("CVE-2024-2", "HIGH")]));
    registry.scan(&arm, &basic(&[]));
    workspace
}

/// A basic scan that is complete.
pub fn basic(findings: &[(&str, &str)]) -> Value {
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

/// Short digests become a word; the tables that hold them keep their shape.
pub fn without_digests(text: &str) -> String {
    let is_digest = |word: &str| word.len() == 12 && word.bytes().all(|it| it.is_ascii_hexdigit());
    let line = |line: &str| {
        let words = line.split(' ').map(|word| if is_digest(word) { "[12 digits]" } else { word });
        words.collect::<Vec<_>>().join(" ").replace("[12 digits]", "[-digest--]")
    };
    text.lines().map(|it| line(it) + "\n").collect()
}

#[test]
fn images_lists_newest_first_with_artifacts_below() {
    let registry = Registry::start();
    let workspace = filled(&registry);
    let output = workspace.on(&registry, &["ecr", "images"]).good();
    assert!(output.stdout.lines().all(|it| it.chars().count() <= 80), "{}", output.stdout);
    expect![[r#"
        my-app
          TAGS         DIGEST        PUSHED  LAST PULLED      SIZE  SCAN
          2.0.0        [-digest--]  now     never        310.0 kB
          └ image      [-digest--]  now     never        310.0 kB  unsupported
          └ image      [-digest--]  now     never        310.0 kB  no findings
          1.0.1        [-digest--]  now     never        370.0 kB  1 CRITICAL +2
          1.0.0        [-digest--]  now     never        350.0 kB  unsupported
          └ spdx+json  [-digest--]  now     never          2.2 kB
          6 images, 442.4 kB stored, <$0.01 a month
        my-app-worker: no images
        total: 6 images, 442.4 kB stored, <$0.01 a month
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
              Listed 2 repositories; storage at $0.10 a GB and month; transfer and replication are left out
    "#]]
    .assert_eq(&without_digests(&output.shown()));
}

#[test]
fn images_colours_keep_the_columns() {
    let registry = Registry::start();
    let workspace = filled(&registry);
    let output = workspace.on(&registry, &["ecr", "images", "-p", "my-app", "--color", "always"]).good();
    expect![[r#"
        ^[1mmy-app^[0m
          ^[2mTAGS^[0m         ^[2mDIGEST^[0m        ^[2mPUSHED^[0m  ^[2mLAST PULLED^[0m      ^[2mSIZE^[0m  ^[2mSCAN^[0m
          2.0.0        [-digest--]  now     never        310.0 kB
          ^[2m└ image^[0m      [-digest--]  now     never        310.0 kB  ^[2munsupported^[0m
          ^[2m└ image^[0m      [-digest--]  now     never        310.0 kB  ^[32mno findings^[0m
          1.0.1        [-digest--]  now     never        370.0 kB  ^[1m^[31m1 CRITICAL +2^[0m
          1.0.0        [-digest--]  now     never        350.0 kB  ^[2munsupported^[0m
          ^[2m└ spdx+json^[0m  [-digest--]  now     never          2.2 kB
          6 images, 442.4 kB stored, <$0.01 a month
        total: 6 images, 442.4 kB stored, <$0.01 a month
    "#]].assert_eq(&without_digests(&output.stdout.replace('\x1b', "^")));
}

#[test]
fn images_json_has_every_field() {
    let registry = Registry::start();
    let workspace = filled(&registry);
    let json = workspace.on(&registry, &["ecr", "images", "--format", "json"]).json_with(0);
    let app = by_name(&json["repositories"], "my-app");
    let images = app["images"].as_array().unwrap();
    let tagged = |tag: &str| images.iter().find(|it| it["tags"] == json!([tag])).unwrap();
    assert_eq!(images.len(), 6);
    assert_eq!(tagged("1.0.1")["findings"], json!({"CRITICAL": 1, "HIGH": 2}));
    assert_eq!(
        (&tagged("1.0.0")["scanStatus"], &tagged("1.0.0")["findings"]),
        (&json!("UNSUPPORTED_IMAGE"), &Value::Null)
    );
    assert_eq!(tagged("2.0.0")["children"].as_array().unwrap().len(), 2);
    let sbom = images.iter().find(|it| it["artifactType"] == "application/spdx+json").unwrap();
    assert_eq!(sbom["subject"], tagged("1.0.0")["digest"]);
    assert_eq!(by_name(&json["repositories"], "my-app-worker")["images"], json!([]));
}

#[test]
fn images_counts_shared_layers_once_and_weighs_the_policy() {
    let registry = Registry::start();
    let workspace = filled(&registry);
    workspace.file("ecr/lifecycle-policy.json", KEEP_ONE);
    workspace.on(&registry, &["ecr", "create", "--yes"]).good();
    let args = ["ecr", "images", "-p", "my-app", "--price", "1000", "--format", "json"];
    let json = workspace.on(&registry, &args).json_with(0);
    let storage = &json["repositories"][0]["storage"];
    let layers = 300_000 + 50_000 + 70_000 + 2000 + 10_000 + 10_000;
    let bytes = storage["storedBytes"].as_u64().unwrap();
    assert!((layers..layers + 2000).contains(&bytes), "the layers and the configs: {bytes}");
    assert_eq!(storage["isUpperBound"], false);
    assert_eq!(storage["costPerMonth"].as_f64().unwrap(), bytes as f64 / 1e6);
    // The newest is the index, which keeps its two images.
    let left = &storage["afterLifecycle"];
    assert_eq!(left["images"], 3, "{left}");
    let bytes = left["storedBytes"].as_u64().unwrap();
    assert!((320_000..321_000).contains(&bytes), "{bytes}");
    assert_eq!(json["total"], *storage);
}

#[test]
fn images_json_is_input_for_lifecycle_preview() {
    let registry = Registry::start();
    let workspace = filled(&registry);
    let images = workspace.on(&registry, &["ecr", "images", "--format", "json"]).good();
    workspace.file("images.json", &images.stdout);
    workspace.file("one.json", KEEP_ONE);
    let preview = ["ecr", "lifecycle", "preview", "--policy", "one.json", "--format", "json"];
    let online = workspace.on(&registry, &preview).json_with(0);
    let offline =
        workspace.command(&[&preview[..], &["--images", "images.json"]].concat()).run().json_with(0);
    assert_eq!(online, offline);
    assert_eq!(online["repositories"][0]["expired"].as_array().unwrap().len(), 2);
}

#[test]
fn images_skips_manifests_where_pulls_keep_images_alive() {
    let registry = Registry::start();
    let workspace = filled(&registry);
    workspace.file("ecr/lifecycle-policy.json", LIFECYCLE_BY_PULLS);
    workspace.on(&registry, &["ecr", "create", "--yes"]).good();
    registry.calls();
    let output = workspace.on(&registry, &["ecr", "images"]).good();
    assert!(!registry.calls().contains_key("BatchGetImage"));
    assert!(output.stderr.contains("note: manifests were not read"), "{}", output.stderr);
    assert!(output.stdout.contains("at most"), "{}", output.stdout);

    let workspace = Workspace::seed();
    workspace.on(&registry, &["ecr", "create", "--yes"]).good();
    registry.calls();
    workspace.on(&registry, &["ecr", "images", "--keep-pull-times"]).good();
    assert!(!registry.calls().contains_key("BatchGetImage"));
    workspace.on(&registry, &["ecr", "images"]).good();
    assert!(registry.calls().contains_key("BatchGetImage"));
}

#[test]
fn images_reading_manifests_counts_as_a_pull() {
    let registry = Registry::start();
    let workspace = filled(&registry);
    let pulled = |args: &[&str]| {
        let args = [&["ecr", "images", "-p", "my-app", "--format", "json"], args].concat();
        let json = workspace.on(&registry, &args).json_with(0);
        let images = json["repositories"][0]["images"].as_array().unwrap().clone();
        images.iter().filter(|it| !it["lastPulledAt"].is_null()).count()
    };
    assert_eq!(pulled(&["--keep-pull-times"]), 0);
    assert_eq!(pulled(&[]), 0);
    assert_eq!(pulled(&[]), 6);
}

#[test]
fn images_without_permissions_shows_what_it_can() {
    let registry = Registry::with_faults(&["deny=BatchGetImage", "deny=GetLifecyclePolicy"]);
    let workspace = Workspace::seed();
    workspace.on(&registry, &["ecr", "create"]);
    registry.image("my-app", "1.0.0");
    let output = workspace.on(&registry, &["ecr", "images"]).good();
    expect![[r#"
        my-app
          TAGS   DIGEST        PUSHED  LAST PULLED  SIZE  SCAN
          1.0.0  [-digest--]  now     never        10 B  unsupported
          1 image, at most 10 B stored, at most <$0.01 a month
        my-app-worker: no images
        total: 1 image, at most 10 B stored, at most <$0.01 a month
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        warning: no permission for ecr:GetLifecyclePolicy: lifecycle policies are not known, and `ecr create` writes them again (my-app, my-app-worker)
        note: manifests were not read, as that counts as a pull, and the lifecycle policy depends on pulls, or is not known: my-app, my-app-worker
              Listed 2 repositories; storage at $0.10 a GB and month; transfer and replication are left out
    "#]].assert_eq(&without_digests(&output.shown()));

    let registry = Registry::with_faults(&["deny=DescribeImages"]);
    workspace.on(&registry, &["ecr", "create"]);
    let output = workspace.on(&registry, &["ecr", "images"]);
    expect![[r#"
        my-app: unknown
        my-app-worker: unknown
        total (of the repositories that could be read): 0 images, 0 B stored, $0.00 a month
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
              Failed my-app: no permission to list its images
              Failed my-app-worker: no permission to list its images
        warning: no permission for ecr:DescribeImages: images were not looked at (my-app, my-app-worker)
              Listed 2 repositories; storage at $0.10 a GB and month; transfer and replication are left out
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
    let json = workspace.on(&registry, &["ecr", "images", "--format", "json"]).json_with(1);
    assert_eq!(json["repositories"][0]["storage"], Value::Null);
}
