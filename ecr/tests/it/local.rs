//! The embedded ECR: both planes, its state, and `ecr serve`.

use std::io::{BufRead, BufReader};

use aws_sdk_ecr::Client;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use expect_test::expect;
use serde_json::json;

use crate::support::{Fixture, POLICY, Registry, Workspace};

/// Sends a request to the data plane. Returns the status, head and body of the answer.
fn ask(
    registry: &Registry,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, String) {
    let headers: String = headers.iter().map(|(key, value)| format!("{key}: {value}\r\n")).collect();
    let answer = registry.raw(&format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    ));
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

fn digest(text: &str) -> String {
    ecr_types::Digest::of(text.as_bytes()).to_string()
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Uploads `text` as the config and only blob of an image. Returns the manifest of the image.
fn uploaded(registry: &Registry, name: &str, text: &str) -> String {
    let basic = registry.basic();
    let (status, head, _) =
        ask(registry, "POST", &format!("/v2/{name}/blobs/uploads/"), &[("authorization", &basic)], "");
    assert_eq!(status, 202, "{head}");
    let location = head.lines().find_map(|it| it.strip_prefix("location: ")).unwrap();
    let path = format!("{location}?digest={}", digest(text));
    let (status, head, _) = ask(registry, "PUT", &path, &[("authorization", &basic)], text);
    assert_eq!(status, 201, "{head}");
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(text), "size": text.len()},
    })
    .to_string()
}

fn put_manifest(registry: &Registry, name: &str, tag: &str, manifest: &str) -> (u16, String) {
    let basic = registry.basic();
    let headers = [("authorization", basic.as_str()), ("content-type", MANIFEST)];
    let (status, _, body) = ask(registry, "PUT", &format!("/v2/{name}/manifests/{tag}"), &headers, manifest);
    (status, body)
}

#[test]
fn registry_data_plane_requires_control_plane_credentials() {
    let registry = Registry::start();
    registry.create_plain("my-app");
    let (status, head, body) = ask(&registry, "GET", "/v2/", &[], "");
    assert_eq!(status, 401);
    assert!(head.contains("www-authenticate: basic realm="), "{head}");
    assert_eq!(body, "Not Authorized\n");
    let wrong = [("authorization", "Basic QVdTOndyb25n")];
    assert_eq!(ask(&registry, "GET", "/v2/", &wrong, "").0, 401);
    let basic = registry.basic();
    assert_eq!(ask(&registry, "GET", "/v2/", &[("authorization", &basic)], "").0, 200);
}

#[test]
fn registry_refuses_to_move_an_immutable_tag_on_both_planes() {
    let Fixture { registry, .. } = Fixture::service().created();
    let (one, two) = (uploaded(&registry, "my-app", "one"), uploaded(&registry, "my-app", "two"));
    assert_eq!(put_manifest(&registry, "my-app", "1.0.0", &one).0, 201);
    for manifest in [&one, &two] {
        let (status, body) = put_manifest(&registry, "my-app", "1.0.0", manifest);
        assert_eq!(status, 400);
        expect![[r#"{"errors":[{"code":"TAG_INVALID","message":"The image tag '1.0.0' already exists in the 'my-app' repository and cannot be overwritten because the tag is immutable."}]}"#]].assert_eq(&body);
    }
    let put = |manifest: &str, tag: &str| {
        let (manifest, tag) = (manifest.to_owned(), tag.to_owned());
        registry.try_sdk(async move |ecr| {
            ecr.put_image().repository_name("my-app").image_manifest(manifest).image_tag(tag).send().await
        })
    };
    assert!(put(&two, "1.0.0").unwrap_err().into_service_error().is_image_tag_already_exists_exception());
    assert!(put(&one, "1.0.0").unwrap_err().into_service_error().is_image_already_exists_exception());
    put(&two, "1.0.1").unwrap();
}

#[test]
fn registry_refuses_a_manifest_with_missing_blobs() {
    let registry = Registry::start();
    registry.create_plain("my-app");
    registry.create_plain("other");
    let manifest = uploaded(&registry, "my-app", "one");
    let (status, body) = put_manifest(&registry, "other", "1.0.0", &manifest);
    assert_eq!((status, body.contains("BLOB_UPLOAD_UNKNOWN")), (400, true), "{body}");
    let (status, body) = put_manifest(&registry, "my-app", "1.0.0", "{\"mediaType\": \"text/plain\"");
    assert_eq!((status, body.contains("UNSUPPORTED")), (405, true), "{body}");
    let (status, body) = put_manifest(&registry, "nowhere", "1.0.0", &manifest);
    assert_eq!(status, 404);
    expect![[r#"{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'nowhere' does not exist in the registry with id '123456789012'"}]}"#]].assert_eq(&body);
    let refused = registry.try_sdk(async |ecr| {
        ecr.put_image().repository_name("other").image_manifest(manifest).image_tag("x").send().await
    });
    assert!(refused.unwrap_err().into_service_error().is_layers_not_found_exception());
}

#[test]
fn registry_refuses_a_blob_with_another_digest() {
    let registry = Registry::start();
    registry.create_plain("my-app");
    let basic = registry.basic();
    let headers = [("authorization", basic.as_str())];
    let path = format!("/v2/my-app/blobs/uploads/?digest={}", digest("expected"));
    let (status, _, body) = ask(&registry, "POST", &path, &headers, "found");
    assert_eq!((status, body.contains("BLOB_UPLOAD_INVALID")), (400, true), "{body}");
    for wanted in ["expected", "found"] {
        let path = format!("/v2/my-app/blobs/{}", digest(wanted));
        assert_eq!(ask(&registry, "HEAD", &path, &headers, "").0, 404);
    }
    assert_eq!(ask(&registry, "GET", "/v2/my-app/blobs/sha256:../../state.json", &headers, "").0, 404);
    assert_eq!(ask(&registry, "GET", "/v2/my-app/blobs/sha256:..", &headers, "").0, 400);
    assert_eq!(
        ask(&registry, "PATCH", "/v2/my-app/blobs/uploads/..%2f..%2fstate.json", &headers, "x").0,
        404
    );
}

#[test]
fn registry_refuses_another_host_header() {
    let registry = Registry::start();
    let answer = registry.raw("GET /v2/ HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 403"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn registry_refuses_an_unsupported_operation_by_name() {
    let registry = Registry::start();
    // The lowest version of the SDK that this project supports does not have the operation.
    let name = |it: &mut HttpRequest| {
        it.headers_mut()
            .insert("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.ListReplicationBackfills");
    };
    let error = registry
        .try_sdk(async |ecr: &Client| {
            ecr.describe_repositories().customize().mutate_request(name).send().await
        })
        .unwrap_err();
    let text = format!("{error:?}");
    assert!(
        text.contains("the embedded ECR does not support the operation ListReplicationBackfills"),
        "{text}"
    );
}

#[test]
fn registry_describe_fails_for_absent_names_and_has_pages() {
    let registry = Registry::start();
    (0..5).for_each(|n| registry.create_plain(&format!("repository-{n}")));
    let names = ["repository-0", "absent"].map(str::to_owned).to_vec();
    let error = registry
        .try_sdk(async |ecr| ecr.describe_repositories().set_repository_names(Some(names)).send().await)
        .unwrap_err()
        .into_service_error();
    assert!(error.is_repository_not_found_exception());
    expect!["The repository with name 'absent' does not exist in the registry with id '123456789012'"]
        .assert_eq(error.meta().message().unwrap());
    let pages = registry.sdk(async |ecr| {
        let pages = ecr.describe_repositories().max_results(2).into_paginator().send();
        pages.collect::<Result<Vec<_>, _>>().await
    });
    assert_eq!(pages.iter().map(|it| it.repositories().len()).collect::<Vec<_>>(), [2, 2, 1]);
}

#[test]
fn serve_state_survives_kill_and_serves_local_commands() {
    let workspace = Workspace::example();
    let serve = || {
        let mut child = workspace.command(&["ecr", "serve", "--port", "0"]).spawn();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        (child, url.trim().to_owned())
    };
    let (mut child, url) = serve();
    let json = workspace.local(&["ecr", "create", "--format", "json"]).json_with(0);
    assert_eq!(json["registry"], url.replace("http://", ""));
    let second = workspace.command(&["ecr", "serve", "--port", "0"]).run();
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("already runs on"), "{second:#?}");
    child.kill().unwrap();
    child.wait().unwrap();

    assert_eq!(workspace.local(&["ecr", "plan", "--check"]).code, 0);
    let (mut child, _) = serve();
    assert_eq!(workspace.local(&["ecr", "plan", "--check"]).code, 0);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn registry_state_of_another_version_is_refused() {
    let workspace = Workspace::example();
    workspace.local(&["ecr", "create", "-p", "my-app"]).good();
    let state = workspace.root().join("target/ecr-local");
    std::fs::remove_file(state.join("state.redb")).unwrap();
    std::fs::write(state.join("journal.jsonl"), "").unwrap();
    std::fs::write(state.join("state.json"), "{\"version\": 5}").unwrap();
    let newer = workspace.local(&["ecr", "plan"]);
    assert_eq!(newer.code, 1);
    assert!(newer.stderr.contains("version 5 is not known"), "{newer:#?}");
    assert!(state.join("state.json").exists(), "what cannot be read is kept");
}

#[test]
fn registry_delete_removes_unused_blobs() {
    let workspace = Workspace::new().service("my-app", "").service("my-app-2", "");
    workspace.local(&["push", "--create", "--profile", "dev"]).good();
    let blobs = workspace.root().join("target/ecr-local/blobs/sha256");
    let count = || std::fs::read_dir(&blobs).unwrap().count();
    assert_eq!(count(), 5, "base, and for each binary and config");
    workspace.local(&["ecr", "delete", "--yes", "-p", "my-app"]).good();
    workspace.local(&["ecr", "plan"]).good();
    assert_eq!(count(), 3, "base, binary and config of the other");
    workspace.local(&["ecr", "delete", "--yes"]).good();
    workspace.local(&["ecr", "plan"]).good();
    assert_eq!(count(), 0);
}

#[test]
fn registry_refuses_an_invalid_lifecycle_policy() {
    let registry = Registry::start();
    registry.create_plain("my-app");
    let text = POLICY.replace("rules", "rulez");
    let error = registry.try_sdk(async |ecr| {
        ecr.put_lifecycle_policy().repository_name("my-app").lifecycle_policy_text(text).send().await
    });
    let error = error.unwrap_err().into_service_error();
    assert!(error.is_invalid_parameter_exception());
    let message = error.meta().message().unwrap();
    assert!(
        message.starts_with("Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint:"),
        "{message}"
    );
}
