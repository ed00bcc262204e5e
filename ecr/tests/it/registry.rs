//! The embedded ECR with hostile or damaged input: manifests, pages, scans, and its state.

use std::io::{Read, Write};
use std::net::TcpStream;

use aws_sdk_ecr::types::ImageIdentifier;
use serde_json::{Value, json};

use crate::support::{Registry, Workspace};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn digest(text: &str) -> String {
    ecr_types::Digest::of(text.as_bytes()).to_string()
}

/// Puts a manifest that is declared as `media_type`. Returns the code of the error.
fn put(registry: &Registry, manifest: &Value, media_type: &str) -> Result<(), String> {
    let text = manifest.to_string();
    let answer = registry.try_sdk(async |ecr| {
        let request = ecr.put_image().repository_name("my-app").image_manifest(text);
        request.image_manifest_media_type(media_type).send().await
    });
    let code = |error: aws_sdk_ecr::error::SdkError<_, _>| {
        use aws_sdk_ecr::error::ProvideErrorMetadata;
        error.code().unwrap_or_default().to_owned()
    };
    answer.map(drop).map_err(code)
}

#[test]
fn registry_checks_the_blobs_of_every_manifest() {
    let registry = Registry::start();
    registry.create_plain("my-app");
    let config = registry.upload("my-app", b"{}");
    let descriptor = |digest: &str| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": 2});
    let image = |layers: Value| json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(config.as_str()), "layers": layers});
    let absent = descriptor(&digest("absent"));
    // The layers of an image are checked, even if it is declared as an index.
    assert_eq!(put(&registry, &image(json!([absent])), INDEX).unwrap_err(), "InvalidParameterException");
    assert_eq!(put(&registry, &image(json!([absent])), MANIFEST).unwrap_err(), "LayersNotFoundException");
    let mut elsewhere = absent.clone();
    elsewhere["urls"] = json!(["http://127.0.0.1:1/"]);
    assert_eq!(put(&registry, &image(json!([elsewhere])), MANIFEST).unwrap_err(), "LayersNotFoundException");
    elsewhere["mediaType"] = json!("application/vnd.oci.image.layer.nondistributable.v1.tar");
    put(&registry, &image(json!([elsewhere])), MANIFEST).unwrap();
    // Programs in Go write `null` for an empty list.
    put(&registry, &image(json!(null)), MANIFEST).unwrap();
    for layers in [json!("x"), json!({}), json!([5]), json!([{"digest": config, "size": -1}])] {
        assert_eq!(put(&registry, &image(layers), MANIFEST).unwrap_err(), "InvalidParameterException");
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(&digest("absent"))]});
    assert_eq!(put(&registry, &index, INDEX).unwrap_err(), "ReferencedImagesNotFoundException");
    let mut notes = image(json!([]));
    notes["annotations"] = json!({"a": 5});
    assert_eq!(put(&registry, &notes, MANIFEST).unwrap_err(), "InvalidParameterException");
}

#[test]
fn registry_pages_skip_nothing_after_deletions() {
    let registry = Registry::start();
    registry.create_plain("my-app");
    (0..10).for_each(|n| drop(registry.image("my-app", &format!("1.{n}.0"))));
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let page = registry.sdk(async |ecr| {
            ecr.list_images()
                .repository_name("my-app")
                .max_results(3)
                .set_next_token(token.clone())
                .send()
                .await
        });
        let ids: Vec<ImageIdentifier> = page.image_ids().to_vec();
        seen.extend(ids.iter().filter_map(|it| it.image_tag().map(str::to_owned)));
        registry.sdk(async |ecr| {
            ecr.batch_delete_image().repository_name("my-app").set_image_ids(Some(ids)).send().await
        });
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
}

#[test]
fn registry_connection_survives_a_refused_request() {
    let registry = Registry::start();
    let mut stream = TcpStream::connect(registry.host()).unwrap();
    for _ in 0..3 {
        let head = "POST /v2/nothing/blobs/uploads/ HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 4\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream.flush().unwrap();
        stream.write_all(b"body").unwrap();
        let mut answer = vec![0; 4096];
        let n = stream.read(&mut answer).unwrap();
        assert!(answer[..n].starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer[..n]));
    }
}

#[test]
fn registry_invalid_scan_file_is_a_failed_scan() {
    let workspace = Workspace::example();
    workspace.local(&["ecr", "create", "-p", "my-app"]).good();
    let state = workspace.root().join("target/ecr-local");
    let registry = Registry::on(&state);
    let image = registry.image("my-app", "1.0.0");
    let asked = || {
        let answer = registry.sdk(async |ecr| {
            let id = ImageIdentifier::builder().image_tag("1.0.0").build();
            ecr.describe_image_scan_findings().repository_name("my-app").image_id(id).send().await
        });
        answer.image_scan_status().and_then(|it| it.status()).unwrap().as_str().to_owned()
    };
    assert_eq!(asked(), "UNSUPPORTED_IMAGE");
    std::fs::create_dir_all(state.join("scans")).unwrap();
    let file = state.join("scans").join(format!("{}.json", image.trim_start_matches("sha256:")));
    for text in [
        "",
        "{}",
        "[]",
        "5",
        r#"{"imageScanStatus": "COMPLETE"}"#,
        r#"{"imageScanStatus": {"status": "GOOD"}}"#,
        r#"{"statuses": []}"#,
        r#"{"statuses": ["COMPLETE"]}"#,
        r#"{"statuses": ["COMPLETE"], "imageScanFindings": {"findings": [5]}}"#,
    ] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(asked(), "FAILED", "{text}");
    }
}

#[test]
fn serve_check_finds_damage_and_changes_nothing() {
    let workspace = Workspace::example();
    workspace.local(&["ecr", "create"]).good();
    let state = workspace.root().join("target/ecr-local");
    let check = || workspace.command(&["ecr", "serve", "--check"]).run();
    let config = {
        let registry = Registry::on(&state);
        registry.image("my-app", "1.0.0");
        registry.manifest("my-app", "1.0.0")["config"]["digest"].as_str().unwrap().to_owned()
    };
    let report = check().good();
    assert!(report.stderr.contains("2 blobs: 2 intact, 0 damaged"), "{}", report.stderr);

    let blob = state.join("blobs/sha256").join(config.trim_start_matches("sha256:"));
    std::fs::write(&blob, "other bytes").unwrap();
    let report = check();
    assert_eq!(report.code, 1);
    assert!(
        report.stdout.contains(&config) && report.stdout.contains("has the digest sha256:"),
        "{}",
        report.stdout
    );
    assert!(report.stderr.contains("2 blobs: 1 intact, 1 damaged"), "{}", report.stderr);
    // A missing blob is reported, too.
    std::fs::remove_file(&blob).unwrap();
    assert_eq!(check().code, 1);

    std::fs::write(&blob, "other bytes").unwrap();
    std::fs::remove_file(state.join("state.redb")).unwrap();
    let missing = workspace.local(&["ecr", "plan"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("state.redb is missing"), "{}", missing.stderr);
    assert_eq!(workspace.command(&["ecr", "serve", "--check", "--data", "nothing"]).run().code, 1);
}

#[test]
fn serve_check_reports_damaged_records() {
    let workspace = Workspace::example();
    let state = workspace.root().join("target/ecr-local");
    {
        let registry = Registry::on(&state);
        workspace.on(&registry, &["ecr", "create"]).good();
        registry.image("my-app", "1.0.0");
    }
    let records = state.join("state.redb");
    let whole = std::fs::read(&records).unwrap();
    let check = || workspace.command(&["ecr", "serve", "--check"]).run();
    assert!(check().good().stderr.ends_with("2 blobs: 2 intact, 0 damaged\n"));

    // Two digits are exchanged, in each record that has them.
    let mut damaged = whole.clone();
    for at in 0..damaged.len() - 5 {
        if damaged[at..].starts_with(b"1.0.0") {
            damaged[at + 4] = b'1';
        }
    }
    assert_ne!(damaged, whole);
    std::fs::write(&records, &damaged).unwrap();
    let read = workspace.local(&["ecr", "images"]);
    assert!(read.code == 1 && read.stderr.contains("it has another checksum"), "{read:?}");
    let report = check();
    assert!(
        report.code == 1 && report.stdout.contains("damaged") || report.stderr.contains("damaged"),
        "{report:?}"
    );

    // A file that is none of its kind.
    std::fs::write(&records, "nonsense").unwrap();
    for output in [check(), workspace.local(&["ecr", "plan"])] {
        assert!(output.code == 1 && output.stderr.contains("state.redb` is damaged"), "{output:?}");
        assert!(!output.stderr.contains("--port"), "the port is not the problem: {output:?}");
    }
}

#[test]
fn registry_refuses_a_data_folder_with_other_files() {
    let workspace = Workspace::example();
    workspace.file("pictures/uploads/holiday.jpg", "a picture");
    workspace.file("pictures/blobs/sha256/notes.txt", "a note");
    // A folder with other files but without a state is refused.
    let refused = workspace.command(&["ecr", "plan", "--local", "--data", "pictures"]).run();
    assert_eq!(refused.code, 1);
    for path in ["pictures/uploads/holiday.jpg", "pictures/blobs/sha256/notes.txt"] {
        assert!(workspace.root().join(path).exists(), "{path}");
    }
}
