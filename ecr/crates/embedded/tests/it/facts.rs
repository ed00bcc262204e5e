//! What ECR is known to answer where a registry could answer something else. Each test names its source.

use ecr_embedded::Server;
use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{ACCOUNT, DOCKER_MANIFEST, MANIFEST, begin, ecr, start, with_repository};

/// nuonco/nuon#2348 (measured), openai/tart#890: 500 layers are the most.
#[test]
fn image_of_more_than_500_layers_is_refused() {
    let ecr = with_repository();
    let mut manifest = ecr.manifest_of("my-app", MANIFEST, "layer");
    let layer = manifest["layers"][0].clone();
    manifest["layers"] = vec![layer.clone(); 500].into();
    assert_eq!(ecr.push("my-app", "500", &manifest).status, 201);
    manifest["layers"] = vec![layer; 501].into();
    let refused = expect![
        "405 UNSUPPORTED: Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Limit on number of layers per image exceeded'"
    ];
    refused.assert_eq(&ecr.push("my-app", "501", &manifest).error());
    let refused = expect![
        "400 InvalidParameterException: Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Limit on number of layers per image exceeded'"
    ];
    refused.assert_eq(
        &ecr.fail("PutImage", json!({"repositoryName": "my-app", "imageManifest": manifest.to_string()})),
    );
}

/// oras-project/oras-py#54.
#[test]
fn manifest_with_absent_layers_is_refused() {
    let ecr = with_repository();
    let mut manifest = ecr.manifest_of("my-app", MANIFEST, "layer");
    manifest["layers"][0]["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    let sentence = format!(
        "Layers with digests '[sha256:{}]' required for pushing image into repository with name 'my-app' in the registry with id '{ACCOUNT}' do not exist",
        "0".repeat(64)
    );
    assert_eq!(ecr.push("my-app", "1", &manifest).error(), format!("400 BLOB_UPLOAD_UNKNOWN: {sentence}"));
    let input = json!({"repositoryName": "my-app", "imageManifest": manifest.to_string()});
    assert_eq!(ecr.fail("PutImage", input), format!("400 LayersNotFoundException: {sentence}"));
}

/// ko-build/ko#928, chainguard-dev/apko#450: also for want of a media type.
#[test]
fn text_that_is_no_manifest_is_refused() {
    let ecr = with_repository();
    let refused = expect![
        "405 UNSUPPORTED: Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"
    ];
    refused.assert_eq(&ecr.v2("PUT", "my-app/manifests/1", &[], b"junk").error());
    let mut untyped = ecr.manifest_of("my-app", MANIFEST, "layer");
    untyped.as_object_mut().unwrap().remove("mediaType");
    refused.assert_eq(&ecr.v2("PUT", "my-app/manifests/1", &[], untyped.to_string().as_bytes()).error());
    let refused = expect![
        "400 InvalidParameterException: Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"
    ];
    refused.assert_eq(
        &ecr.fail("PutImage", json!({"repositoryName": "my-app", "imageManifest": untyped.to_string()})),
    );
}

/// bazel-contrib/rules_oci#720, datawire/forge#99.
#[test]
fn tag_that_no_image_can_have_is_refused() {
    let ecr = with_repository();
    assert_eq!(ecr.v2("HEAD", "my-app/manifests/1.0+b", &[], b"").status, 400);
    assert_eq!(ecr.v2("HEAD", "my-app/manifests/1.0", &[], b"").status, 404);
    let refused = expect![
        "400 InvalidParameterException: Invalid parameter at 'imageTag' failed to satisfy constraint: 'must satisfy regular expression '[a-zA-Z0-9-_.]+''"
    ];
    refused.assert_eq(
        &ecr.fail("DescribeImages", json!({"repositoryName": "my-app", "imageIds": [{"imageTag": "1.0+b"}]})),
    );
}

/// mdlavin/copy-docker-image#5, NVIDIA/enroot#59.
#[test]
fn request_without_credentials_is_answered_as_text() {
    let ecr = with_repository();
    let answer = ecr.ask("GET", "/v2/", &[], b"");
    assert_eq!((answer.status, answer.text().as_str()), (401, "Not Authorized\n"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let realm = format!("Basic realm=\"{}/\",service=\"ecr.amazonaws.com\"", ecr.server.url());
    assert_eq!(answer.header("www-authenticate"), Some(realm.as_str()));
    assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
}

/// RFC 6890: docker takes the whole of 127.0.0.0/8 for this machine.
#[test]
fn every_address_on_loopback_is_a_host() {
    let ecr = ecr();
    let status = |host: &str| ecr.ask("GET", "/v2/", &[("host", host)], b"").status;
    assert_eq!([status("127.0.0.2:4510"), status("registry.localhost"), status("[::1]:4510")], [401; 3]);
    assert_eq!(status("127.0.0.1.example.com"), 403);
}

/// containers/image#1010.
#[test]
fn unknown_path_is_answered_as_text() {
    let answer = ecr().v2("GET", "my-app/nothing", &[], b"");
    assert_eq!((answer.status, answer.text().as_str()), (404, "404 page not found\n"));
}

/// open-policy-agent/opa#6580: a blob is behind a signed URL on another host, which refuses further credentials.
#[test]
fn blob_is_behind_a_signed_url() {
    let ecr = with_repository();
    let digest = ecr.blob("my-app", b"content");
    let answer = ecr.v2("GET", &format!("my-app/blobs/{digest}"), &[], b"");
    assert_eq!(answer.status, 307);
    let url = answer.header("location").unwrap().to_owned();
    let port = ecr.host().split_once(':').unwrap().1;
    let path = url.strip_prefix(&format!("http://localhost:{port}")).unwrap();
    let followed = ecr.ask("GET", path, &[], b"");
    assert_eq!((followed.status, followed.body.as_slice()), (200, &b"content"[..]));
    let basic = ecr.basic();
    let refused = ecr.ask("GET", path, &[("authorization", &basic)], b"");
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("<Message>Only one auth mechanism allowed;"), "{}", refused.text());
    // HEAD tells the size without a redirect.
    let head = ecr.v2("HEAD", &format!("my-app/blobs/{digest}"), &[], b"");
    assert_eq!((head.status, head.header("content-length")), (200, Some("7")));
    // The API gives such a URL as well.
    let url = ecr.ok("GetDownloadUrlForLayer", json!({"repositoryName": "my-app", "layerDigest": digest}));
    let path = url["downloadUrl"].as_str().unwrap().split_once(ecr.host()).unwrap().1.to_owned();
    assert_eq!(ecr.ask("GET", &path, &[], b"").body, b"content");
}

#[test]
fn blob_is_sent_to_a_client_that_uses_another_host() {
    let ecr = start(Server::builder().allow_host("registry.test"));
    ecr.create("my-app");
    let digest = ecr.blob("my-app", b"content");
    let got = ecr.v2("GET", &format!("my-app/blobs/{digest}"), &[("host", "registry.test:4510")], b"");
    assert_eq!((got.status, got.body.as_slice()), (200, &b"content"[..]));
}

/// oras-project/oras-go#237 (a trace), apple/swift-container-plugin#27.
#[test]
fn digest_of_a_manifest_is_sent_with_head_only_and_no_location_with_put() {
    let ecr = with_repository();
    let manifest = ecr.manifest_of("my-app", MANIFEST, "layer");
    let put = ecr.push("my-app", "1", &manifest);
    assert_eq!((put.status, put.header("location")), (201, None));
    let digest = put.header("docker-content-digest").map(str::to_owned);
    assert!(digest.is_some());
    let head = ecr.v2("HEAD", "my-app/manifests/1", &[], b"");
    assert_eq!(head.header("docker-content-digest").map(str::to_owned), digest);
    assert_eq!(ecr.v2("GET", "my-app/manifests/1", &[], b"").header("docker-content-digest"), None);
}

/// Amazon ECR user guide, "Container image manifest format support": by tag, never by digest.
#[test]
fn manifest_is_converted_when_it_is_pulled_by_tag() {
    let ecr = with_repository();
    for (stored, other) in [(MANIFEST, DOCKER_MANIFEST), (DOCKER_MANIFEST, MANIFEST)] {
        let tag = if stored == MANIFEST { "oci" } else { "docker" };
        let manifest = ecr.manifest_of("my-app", stored, "layer");
        let digest = ecr.push("my-app", tag, &manifest).header("docker-content-digest").unwrap().to_owned();
        let get = |reference: &str, accept: &str| {
            let answer = ecr.v2("GET", &format!("my-app/manifests/{reference}"), &[("accept", accept)], b"");
            assert_eq!(answer.header("content-type"), answer.json()["mediaType"].as_str());
            answer.json()
        };
        assert_eq!(get(tag, stored), manifest);
        assert_eq!(get(tag, &format!("{other}, {stored}")), manifest);
        assert_eq!(get(&digest, other), manifest);
        let converted = get(tag, other);
        assert_eq!(converted["mediaType"], other);
        assert_eq!(converted, ecr.manifest_of("my-app", other, "layer"));
        let got = ecr.ok(
            "BatchGetImage",
            json!({"repositoryName": "my-app", "imageIds": [{"imageTag": tag}],
            "acceptedMediaTypes": [other]}),
        );
        assert_eq!(got["images"][0]["imageManifestMediaType"], other);
    }
}

/// JavaScript SDK `$metadata.requestId`, boto3 `ResponseMetadata.RequestId`.
#[test]
fn every_answer_has_a_request_id() {
    let ecr = with_repository();
    let answers = [
        ecr.api("DescribeRepositories", json!({})),
        ecr.api("Nonsense", json!({})),
        ecr.v2("GET", "my-app/tags/list", &[], b""),
        ecr.ask("GET", "/v2/", &[], b""),
        ecr.ask("GET", "/", &[], b""),
    ];
    let ids: Vec<_> = answers.iter().map(|it| it.header("x-amzn-requestid").unwrap().to_owned()).collect();
    assert!(ids.iter().all(|it| it.len() == 36 && ids.iter().filter(|id| *id == it).count() == 1), "{ids:?}");
}

/// monken/aws-ecr-public#11.
#[test]
fn download_of_an_absent_layer_names_it() {
    let ecr = with_repository();
    let digest = format!("sha256:{}", "0".repeat(64));
    let error =
        ecr.fail("GetDownloadUrlForLayer", json!({"repositoryName": "my-app", "layerDigest": digest}));
    assert_eq!(
        error,
        format!(
            "400 LayersNotFoundException: The layer with digest '{digest}' does not exist within the repository with name 'my-app' in the registry with id '{ACCOUNT}'"
        )
    );
}

/// AWS CLI reference, `batch-check-layer-availability`; hashicorp/terraform-provider-aws, `TestAccECRRepository_Encryption_kms`;
/// AWS CLI reference, `get-lifecycle-policy`.
#[test]
fn members_of_the_documented_examples_are_there() {
    let ecr = with_repository();
    ecr.image("my-app", "1", "layer");
    let layer = ecr_types::Digest::of(b"{}");
    let checked =
        ecr.ok("BatchCheckLayerAvailability", json!({"repositoryName": "my-app", "layerDigests": [layer]}));
    assert_eq!(checked["layers"][0]["mediaType"], "application/vnd.oci.image.config.v1+json");
    let kms = ecr.ok(
        "CreateRepository",
        json!({"repositoryName": "kms", "encryptionConfiguration": {"encryptionType": "KMS"}}),
    );
    let key = kms["repository"]["encryptionConfiguration"]["kmsKey"].as_str().unwrap().to_owned();
    assert!(key.starts_with("arn:aws:kms:us-east-1:111122223333:key/") && key.len() == 39 + 36, "{key}");
    let policy = json!({"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan",
        "countNumber": 10}, "action": {"type": "expire"}}]});
    ecr.ok(
        "PutLifecyclePolicy",
        json!({"repositoryName": "my-app", "lifecyclePolicyText": policy.to_string()}),
    );
    assert!(ecr.ok("GetLifecyclePolicy", json!({"repositoryName": "my-app"}))["lastEvaluatedAt"].is_number());
    assert!(
        ecr.ok("DeleteLifecyclePolicy", json!({"repositoryName": "my-app"}))["lastEvaluatedAt"].is_number()
    );
}

/// The service model has `LifecyclePolicyPreviewInProgressException` for `StartLifecyclePolicyPreview`.
#[test]
fn second_preview_at_once_is_refused() {
    let ecr = with_repository();
    let policy = json!({"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan",
        "countNumber": 1}, "action": {"type": "expire"}}]});
    let start = json!({"repositoryName": "my-app", "lifecyclePolicyText": policy.to_string()});
    let status =
        || ecr.ok("GetLifecyclePolicyPreview", json!({"repositoryName": "my-app"}))["status"].clone();
    assert_eq!(ecr.ok("StartLifecyclePolicyPreview", start.clone())["status"], "IN_PROGRESS");
    let error = ecr.fail("StartLifecyclePolicyPreview", start.clone());
    assert!(error.starts_with("400 LifecyclePolicyPreviewInProgressException"), "{error}");
    assert_eq!([status(), status()], ["IN_PROGRESS", "COMPLETE"]);
    assert_eq!(ecr.ok("StartLifecyclePolicyPreview", start)["status"], "IN_PROGRESS");
}

/// ECR API reference, `DescribeImages` and `DescribeRepositories`: "This option cannot be used when you specify images".
#[test]
fn pages_of_named_things_are_refused() {
    let ecr = with_repository();
    ecr.image("my-app", "1", "layer");
    for (operation, input) in [
        (
            "DescribeImages",
            json!({"repositoryName": "my-app", "imageIds": [{"imageTag": "1"}], "maxResults": 1}),
        ),
        ("DescribeRepositories", json!({"repositoryNames": ["my-app"], "maxResults": 1})),
    ] {
        let error = ecr.fail(operation, input);
        assert!(error.starts_with("400 InvalidParameterException"), "{error}");
    }
}

/// alexjurkiewicz/ecr-scan-image#43, #44 and #45.
#[test]
fn scans_are_refused_as_ecr_does() {
    let ecr = with_repository();
    let digest = ecr.image("my-app", "1", "layer");
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {"mediaType": MANIFEST, "digest": digest, "size": 1}]});
    assert_eq!(ecr.push("my-app", "index", &index).status, 201);
    let scan = |tag: &str| json!({"repositoryName": "my-app", "imageId": {"imageTag": tag}});
    let refused = expect![
        "400 UnsupportedImageTypeException: An artifact with media type 'application/vnd.oci.image.index.v1+json' cannot be scanned. For more information, see the Amazon ECR documentation."
    ];
    refused.assert_eq(&ecr.fail("StartImageScan", scan("index")));
    let rules = json!([{"scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}]);
    ecr.ok("PutRegistryScanningConfiguration", json!({"scanType": "ENHANCED", "rules": rules}));
    expect!["400 ValidationException: This feature is disabled"]
        .assert_eq(&ecr.fail("StartImageScan", scan("1")));
    let file = ecr.server.data().join("scans");
    std::fs::create_dir_all(&file).unwrap();
    let findings = json!({"imageScanFindings": {"enhancedFindings": [], "findingSeverityCounts": {}}});
    std::fs::write(file.join(format!("{}.json", &digest[7..])), findings.to_string()).unwrap();
    let found = ecr.ok("DescribeImageScanFindings", scan("1"));
    let status = json!({"status": "ACTIVE", "description": "Continuous scan is selected for image."});
    assert_eq!(found["imageScanStatus"], status);
}

/// Amazon ECR user guide, "Container image manifest format support": schema 1 is stored, and never converted.
#[test]
fn manifest_of_schema_1_is_stored() {
    let ecr = with_repository();
    let layer = ecr.blob("my-app", b"layer");
    let schema1 = "application/vnd.docker.distribution.manifest.v1+json";
    let manifest = json!({"schemaVersion": 1, "name": "my-app", "tag": "1", "architecture": "amd64",
        "fsLayers": [{"blobSum": layer}], "history": [{"v1Compatibility": "{}"}]});
    let put = |manifest: &Value| {
        ecr.v2("PUT", "my-app/manifests/1", &[("content-type", schema1)], manifest.to_string().as_bytes())
    };
    assert_eq!(put(&manifest).status, 201);
    let got = ecr.v2("GET", "my-app/manifests/1", &[("accept", MANIFEST)], b"");
    assert_eq!((got.header("content-type"), got.json()), (Some(schema1), manifest.clone()));
    let mut absent = manifest;
    absent["fsLayers"][0]["blobSum"] = json!(format!("sha256:{}", "0".repeat(64)));
    assert!(put(&absent).error().starts_with("400 BLOB_UPLOAD_UNKNOWN"));
}

/// The specification's behaviour, where it was asked for.
#[test]
fn oci_behaves_as_the_specification() {
    let ecr = start(Server::builder().oci());
    ecr.create("my-app");
    ecr.blob("my-app", b"");
    let digest = ecr.blob("my-app", b"content");
    assert_eq!(ecr.v2("GET", &format!("my-app/blobs/{digest}"), &[], b"").body, b"content");
    let path = begin(&ecr, "my-app");
    for (n, range) in ["0-0", "0-1"].into_iter().enumerate() {
        let answer = ecr.v2("PATCH", &path, &[("content-range", &format!("{n}-{n}"))], b"x");
        assert_eq!((answer.status, answer.header("range")), (202, Some(range)));
    }
    let digest = ecr_types::Digest::of(b"xx");
    assert_eq!(ecr.v2("PUT", &format!("{path}?digest={digest}"), &[], b"").status, 201);
    let manifest = ecr.manifest_of("my-app", DOCKER_MANIFEST, "layer");
    for tag in ["b", "a", "c"] {
        assert_eq!(ecr.push("my-app", tag, &manifest).status, 201);
    }
    let got = ecr.v2("GET", "my-app/manifests/a", &[("accept", MANIFEST)], b"");
    assert!(got.header("docker-content-digest").is_some() && got.json() == manifest);
    let page = ecr.v2("GET", "my-app/tags/list?n=2", &[], b"");
    assert_eq!(page.json()["tags"], json!(["a", "b"]));
    assert_eq!(page.header("link"), Some("</v2/my-app/tags/list?n=2&last=b>; rel=\"next\""));
    let missing = |body: &[u8]| ecr.v2("PUT", "my-app/manifests/x", &[("content-type", MANIFEST)], body);
    assert!(missing(b"junk").error().starts_with("400 MANIFEST_INVALID"));
    let unauthorized: Value = ecr.ask("GET", "/v2/", &[], b"").json();
    assert_eq!(unauthorized["errors"][0]["code"], "UNAUTHORIZED");
}
