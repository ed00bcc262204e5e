//! `ecr images`: the list, its order, and the costs of storage.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Fixture, POLICY, by_name, without_digests};

const LIFECYCLE_BY_PULLS: &str = r#"{"rules": [{"rulePriority": 1, "selection":
    {"tagStatus": "any", "countType": "sinceImagePulled", "countUnit": "days", "countNumber": 90},
    "action": {"type": "transition", "targetStorageClass": "archive"}}]}"#;
const KEEP_ONE: &str = r#"{"rules": [{"rulePriority": 1, "action": {"type": "expire"}, "selection":
    {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}}]}"#;

#[test]
fn images_lists_newest_first_with_artifacts_below() {
    let fixture = Fixture::filled();
    let output = fixture.run(&["ecr", "images"]).good();
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
              Listed 2 repositories; storage at $0.10 per GB and month, without data transfer and replication
    "#]]
    .assert_eq(&without_digests(&output.shown()));
}

#[test]
fn images_colours_keep_the_columns() {
    let fixture = Fixture::filled();
    let output = fixture.run(&["ecr", "images", "-p", "my-app", "--color", "always"]).good();
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
    "#]].assert_eq(&without_digests(&output.stdout));
}

#[test]
fn images_json_has_every_field() {
    let fixture = Fixture::filled();
    let json = fixture.run(&["ecr", "images", "--format", "json"]).json_with(0);
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
    let fixture = Fixture::filled();
    fixture.workspace.file("ecr/lifecycle-policy.json", KEEP_ONE);
    fixture.run(&["ecr", "create", "--yes"]).good();
    let args = ["ecr", "images", "-p", "my-app", "--price", "1000", "--format", "json"];
    let json = fixture.run(&args).json_with(0);
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
    let fixture = Fixture::filled();
    let images = fixture.run(&["ecr", "images", "--format", "json"]).good();
    fixture.workspace.file("images.json", images.stdout);
    fixture.workspace.file("one.json", KEEP_ONE);
    let preview = ["ecr", "lifecycle", "preview", "--policy", "one.json", "--format", "json"];
    let online = fixture.run(&preview).json_with(0);
    let offline =
        fixture.workspace.command(&[&preview[..], &["--images", "images.json"]].concat()).run().json_with(0);
    assert_eq!(online, offline);
    assert_eq!(online["repositories"][0]["expired"].as_array().unwrap().len(), 2);
}

#[test]
fn images_skips_manifests_where_pulls_keep_images_alive() {
    let fixture = Fixture::filled();
    fixture.workspace.file("ecr/lifecycle-policy.json", LIFECYCLE_BY_PULLS);
    fixture.run(&["ecr", "create", "--yes"]).good();
    fixture.registry.calls();
    let output = fixture.run(&["ecr", "images"]).good();
    assert!(!fixture.registry.calls().contains_key("BatchGetImage"));
    assert!(output.stderr.contains("note: manifests were not read"), "{}", output.stderr);
    assert!(output.stdout.contains("at most"), "{}", output.stdout);

    // This policy does not depend on pulls.
    fixture.workspace.file("ecr/lifecycle-policy.json", POLICY);
    fixture.run(&["ecr", "create", "--yes"]).good();
    fixture.registry.calls();
    fixture.run(&["ecr", "images", "--keep-pull-times"]).good();
    assert!(!fixture.registry.calls().contains_key("BatchGetImage"));
    fixture.run(&["ecr", "images"]).good();
    assert!(fixture.registry.calls().contains_key("BatchGetImage"));
}

#[test]
fn images_reading_manifests_counts_as_a_pull() {
    let fixture = Fixture::filled();
    let pulled = |args: &[&str]| {
        let args = [&["ecr", "images", "-p", "my-app", "--format", "json"], args].concat();
        let json = fixture.run(&args).json_with(0);
        let images = json["repositories"][0]["images"].as_array().unwrap().clone();
        images.iter().filter(|it| !it["lastPulledAt"].is_null()).count()
    };
    assert_eq!(pulled(&["--keep-pull-times"]), 0);
    assert_eq!(pulled(&[]), 0);
    assert_eq!(pulled(&[]), 6);
}

#[test]
fn images_without_permissions_shows_what_it_can() {
    let fixture = Fixture::example().with_faults(&["deny=BatchGetImage", "deny=GetLifecyclePolicy"]);
    fixture.run(&["ecr", "create"]);
    fixture.registry.image("my-app", "1.0.0");
    let output = fixture.run(&["ecr", "images"]).good();
    expect![[r#"
        my-app
          TAGS   DIGEST        PUSHED  LAST PULLED  SIZE  SCAN
          1.0.0  [-digest--]  now     never        10 B  unsupported
          1 image, at most 10 B stored, at most <$0.01 a month
        my-app-worker: no images
        total: 1 image, at most 10 B stored, at most <$0.01 a month
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        warning: no permission for ecr:GetLifecyclePolicy: lifecycle policies are unknown, and `ecr create` writes them again (my-app, my-app-worker)
        note: manifests were not read, because ECR records each read as a pull and the lifecycle policy depends on pulls or is unknown: my-app, my-app-worker
              Listed 2 repositories; storage at $0.10 per GB and month, without data transfer and replication
    "#]].assert_eq(&without_digests(&output.shown()));

    let fixture = fixture.with_faults(&["deny=DescribeImages"]);
    fixture.run(&["ecr", "create"]);
    let output = fixture.run(&["ecr", "images"]);
    expect![[r#"
        my-app: unknown
        my-app-worker: unknown
        total (of the repositories that could be read): 0 images, 0 B stored, $0.00 a month
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
              Failed my-app: no permission to list the images (ecr:DescribeImages)
              Failed my-app-worker: no permission to list the images (ecr:DescribeImages)
        warning: no permission for ecr:DescribeImages: images were not read (my-app, my-app-worker)
              Listed 2 repositories; storage at $0.10 per GB and month, without data transfer and replication
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
    let json = fixture.run(&["ecr", "images", "--format", "json"]).json_with(1);
    assert_eq!(json["repositories"][0]["storage"], Value::Null);
}
