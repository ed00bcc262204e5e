//! The state of an older version: `tests/version-3` was written by version 3, with a snapshot and a journal.

use std::path::Path;

use ecr_embedded::{Server, check};
use serde_json::json;

use crate::support::{Ecr, start};

fn copied() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/version-3");
    std::fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
    for file in ["state.json", "journal.jsonl"] {
        std::fs::copy(from.join(file), folder.path().join(file)).unwrap();
    }
    for blob in std::fs::read_dir(from.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        std::fs::copy(blob.path(), folder.path().join("blobs/sha256").join(blob.file_name())).unwrap();
    }
    folder
}

fn open(folder: &Path) -> Ecr {
    let mut ecr = start(Server::builder().data(folder).account_of("old", "000000000000".parse().unwrap()));
    ecr.signed("old", "us-east-1", |_| {});
    ecr
}

#[test]
fn state_of_version_3_is_taken_over_once_and_kept_beside() {
    let folder = copied();
    let path = folder.path();
    for _ in 0..2 {
        let mut ecr = open(path);
        ecr.signed("old", "us-east-1", |ecr| {
            let found = ecr.ok("DescribeRepositories", json!({}));
            assert_eq!(found["repositories"].as_array().unwrap().len(), 1, "`gone` was deleted");
            assert_eq!(found["repositories"][0]["imageTagMutability"], "IMMUTABLE");
            let images = ecr.ok("DescribeImages", json!({"repositoryName": "kept"}));
            let images = images["imageDetails"].as_array().unwrap().clone();
            let mut tags: Vec<_> = images.iter().map(|it| it["imageTags"].clone()).collect();
            tags.sort_by_key(ToString::to_string);
            assert_eq!(tags, [json!(["1.0.0", "1.0.1", "latest"]), json!(["index"]), json!(null)]);
            assert!(
                ecr.ok("GetLifecyclePolicy", json!({"repositoryName": "kept"}))["lifecyclePolicyText"]
                    .is_string()
            );
            let setting = ecr.ok("GetAccountSetting", json!({"name": "BLOB_MOUNTING"}));
            assert_eq!(setting["value"], "ENABLED");
            let manifest = ecr.v2("GET", "kept/manifests/1.0.1", &[], b"").json();
            let layer = manifest["layers"][0]["digest"].as_str().unwrap();
            let url = ecr.v2("GET", &format!("kept/blobs/{layer}"), &[], b"");
            assert_eq!(url.status, 307);
        });
    }
    for file in ["state.json", "journal.jsonl"] {
        assert!(path.join("version-3").join(file).exists() && !path.join(file).exists(), "{file}");
    }
    assert_eq!(std::fs::read_dir(path.join("version-3/manifests")).unwrap().count(), 3);
    let checked = check(path).unwrap();
    assert_eq!((checked.whole, checked.damaged), (6, Vec::<String>::new()), "3 blobs and 3 manifests");
}

#[test]
fn damaged_state_of_version_3_is_refused_and_unchanged() {
    let folder = copied();
    let journal = folder.path().join("journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap().replace("1.0.1", "1.0.2");
    std::fs::write(&journal, &text).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(Server::builder().data(folder.path()).start()).unwrap_err().to_string();
    assert!(error.contains("is damaged at line 2") && error.contains("another checksum"), "{error}");
    assert_eq!(std::fs::read_to_string(&journal).unwrap(), text);
    // A last line that was not finished was not acknowledged.
    std::fs::write(&journal, text.lines().next().unwrap().to_owned() + "\nabc").unwrap();
    drop(open(folder.path()));
}
