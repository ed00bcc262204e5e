//! Fuzzing of all parsers of client input with random texts: they return a value or an error and do not panic. Texts that
//! caused errors are in the lists of this file.

use ecr_types::{EncryptionType, ImageTagMutability, RepositoryName};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::distribution::fuzzing::{Route, parse_range};
use super::images::{NewImage, put};
use super::model::{RegistryKey, RepositorySettings};
use super::store::{Queries, Store};
use super::{Fault, service_model, token};

/// A property that fails by panicking.
fn hold<S: Strategy>(strategy: S, property: impl Fn(S::Value)) {
    ecr_types::property::hold(strategy, |value| {
        property(value);
        Ok(())
    });
}

/// Texts from pieces that are known to a parser and random ones, in any order.
fn pieces(known: &[&str]) -> impl Strategy<Value = String> + use<> {
    let known: Vec<String> = known.iter().map(|it| (*it).to_owned()).collect();
    let piece = prop_oneof![3 => prop::sample::select(known), 1 => "\\PC{0,4}"];
    prop::collection::vec(piece, 0..12).prop_map(|it| it.concat())
}

/// Random JSON with keys of the API and of manifests.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        pieces(&[
            "sha256:",
            &"0".repeat(64),
            "my-app",
            "1.0.0",
            "application/vnd.oci.image.manifest.v1+json",
            "../"
        ])
        .prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "repositoryName",
        "imageIds",
        "imageTag",
        "imageDigest",
        "filter",
        "tags",
        "Key",
        "Value",
        "maxResults",
        "schemaVersion",
        "mediaType",
        "config",
        "layers",
        "digest",
        "size",
        "manifests",
        "subject",
        "urls",
        "layerPartBlob",
    ]);
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..6)
                .prop_map(|it| it.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

#[test]
fn paths_are_read_soundly() {
    let known =
        ["/v2/", "/", "blobs", "uploads", "manifests", "tags", "list", "referrers", "..", "%2f", "sha256:"];
    hold(pieces(&known), |path| {
        if let Some(Route::In(name, _)) = Route::parse(&path)
            && let Ok(name) = name.parse::<ecr_types::RepositoryName>()
        {
            assert!(!name.as_str().contains(".."), "{path}");
        }
    });
}

#[test]
fn ranges_are_read_soundly() {
    let known = ["bytes=", "-", "0", "9", "18446744073709551615", "99999999999999999999", ","];
    hold((pieces(&known), 0..100u64), |(range, size)| {
        if let Some(part) = parse_range(&range, size) {
            assert!(part.start < part.end && part.end <= size, "{range}");
        }
    });
}

#[test]
fn credentials_are_read_soundly() {
    let known = [
        "Basic ",
        "basic ",
        "QVdTOng=",
        "AWS:",
        "000000000000/us-east-1/",
        "/download/",
        "/",
        "=",
        "ff",
        "é",
    ];
    hold(pieces(&known), |text| {
        assert!(token::check("secret", Some(&text), 0).is_err());
        assert!(token::check_path("secret", &text, 0).is_none());
    });
}

#[test]
fn faults_are_read_soundly() {
    let known = ["deny", "slow", "throttle", "seed", "=", ":", "PutImage", "*", "5", "%", "ms", "ecr:"];
    hold(pieces(&known), |text| {
        if let Err(error) = text.parse::<Fault>() {
            assert!(!error.to_string().is_empty());
        }
    });
}

#[test]
fn inputs_are_read_soundly() {
    let operations: Vec<_> = service_model::operations().collect();
    hold((prop::sample::select(operations), any_json()), |(operation, input)| {
        if let Err(error) = service_model::check(operation, &input) {
            assert_eq!(error.status, 400);
            assert!(!error.message.is_empty());
        }
    });
}

#[test]
fn manifests_are_read_soundly() {
    let folder = tempfile::tempdir().unwrap();
    let lock = std::fs::File::create(folder.path().join("lock")).unwrap();
    let store = Store::open(folder.path(), lock).unwrap();
    let settings = RepositorySettings {
        created_at: 0.0,
        image_tag_mutability: ImageTagMutability::Immutable,
        exclusion_filters: Vec::new(),
        scan_on_push: true,
        encryption_type: EncryptionType::Aes256,
        kms_key: None,
        lifecycle_policy: None,
        repository_policy: None,
        tags: Default::default(),
    };
    let key = "000000000000/us-east-1".parse::<RegistryKey>().unwrap();
    let name: RepositoryName = "my-app".parse().unwrap();
    let repository = store.write(|it| it.create_repository(&key, &name, settings)).unwrap();
    let valid =
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []});
    let manifest = (any_json(), any_json(), 0..3u8).prop_map(move |(json, other, kind)| match kind {
        0 => json,
        1 => {
            let mut it = valid.clone();
            it["manifests"] = json;
            it["subject"] = other;
            it
        }
        _ => {
            let mut it = valid.clone();
            it["mediaType"] = "application/vnd.oci.image.manifest.v1+json".into();
            it["config"] = json;
            it["layers"] = other;
            it
        }
    });
    hold(manifest, |manifest| {
        let new =
            NewImage { tag: None, digest: None, media_type: None, bytes: manifest.to_string().into_bytes() };
        if let Ok(stored) = put(&store, &key, &name, new, 0.0) {
            let image = store.read().unwrap().image(repository.id, &stored.digest).unwrap().unwrap();
            assert!(image.layers.is_empty() && image.children.iter().all(|it| *it != stored.digest));
        }
    });
}
