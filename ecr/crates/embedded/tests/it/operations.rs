//! Operations on a registry as a whole, and what they do to pushes and pulls.

use std::time::Duration;

use ecr_embedded::Server;
use serde_json::{Value, json};

use crate::support::{Ecr, MANIFEST, ecr, start};

fn template(prefix: &str, more: Value) -> Value {
    let mut template = json!({"prefix": prefix, "appliedFor": ["CREATE_ON_PUSH"]});
    template.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    template
}

#[test]
fn templates_decide_whether_a_push_creates_its_repository() {
    let ecr = ecr();
    let begin = |name: &str| ecr.v2("POST", &format!("{name}/blobs/uploads/"), &[], b"").status;
    assert_eq!(begin("prod/team/app"), 404);
    ecr.ok("CreateRepositoryCreationTemplate", template("prod", json!({"imageTagMutability": "IMMUTABLE"})));
    ecr.ok("CreateRepositoryCreationTemplate", template("prod/team/", json!({"description": "of the team"})));
    ecr.fail("CreateRepositoryCreationTemplate", template("prod", json!({})));
    assert_eq!((begin("prod/team/app"), begin("prod/app"), begin("production")), (202, 202, 404));
    let found = ecr.ok("DescribeRepositories", json!({"repositoryNames": ["prod/app", "prod/team/app"]}));
    assert_eq!(found["repositories"][0]["imageTagMutability"], "IMMUTABLE");
    assert_eq!(found["repositories"][1]["imageTagMutability"], "MUTABLE");
    // A pull creates nothing.
    assert_eq!(ecr.v2("GET", "prod/other/manifests/1", &[], b"").status, 404);
    assert_eq!(ecr.v2("HEAD", "prod/other/manifests/1", &[], b"").status, 404);
    // Resource tags need a role, or the repository is not created (aws/containers-roadmap#2398).
    let tags = json!({"resourceTags": [{"Key": "a", "Value": "b"}]});
    ecr.ok("CreateRepositoryCreationTemplate", template("ROOT", tags));
    assert_eq!(begin("anything"), 404);
    let role = json!({"prefix": "ROOT", "customRoleArn": "arn:aws:iam::111122223333:role/ecr"});
    ecr.ok("UpdateRepositoryCreationTemplate", role);
    assert_eq!(begin("anything"), 202);
    let arn = "arn:aws:ecr:us-east-1:111122223333:repository/anything";
    assert_eq!(
        ecr.ok("ListTagsForResource", json!({ "resourceArn": arn }))["tags"],
        json!([{"Key": "a", "Value": "b"}])
    );
    let described = ecr.ok("DescribeRepositoryCreationTemplates", json!({}));
    assert_eq!(described["repositoryCreationTemplates"].as_array().unwrap().len(), 3);
    ecr.ok("DeleteRepositoryCreationTemplate", json!({"prefix": "prod"}));
    let error = ecr.fail("DeleteRepositoryCreationTemplate", json!({"prefix": "prod"}));
    assert!(error.starts_with("400 TemplateNotFoundException"), "{error}");
}

#[test]
fn images_are_replicated_when_they_are_pushed() {
    let mut ecr = start(Server::builder().account_of("other", "444455556666".parse().unwrap()));
    ecr.create("my-app");
    let early = ecr.image("my-app", "early", "early");
    let rules = json!([{"destinations": [
        {"region": "eu-west-1", "registryId": "111122223333"},
        {"region": "us-east-1", "registryId": "444455556666"}],
        "repositoryFilters": [{"filter": "my-", "filterType": "PREFIX_MATCH"}]}]);
    let own = json!({"replicationConfiguration": {"rules": [{"destinations": [{"region": "us-east-1", "registryId": "111122223333"}]}]}});
    assert!(
        ecr.fail("PutReplicationConfiguration", own)
            .contains("Replication destination cannot be the same as the source registry")
    );
    ecr.ok("PutReplicationConfiguration", json!({"replicationConfiguration": {"rules": rules}}));
    assert_eq!(ecr.ok("DescribeRegistry", json!({}))["replicationConfiguration"]["rules"], rules);
    let digest = ecr.image("my-app", "1.0.0", "layer");
    let status = |ecr: &Ecr, digest: &str| {
        let input = json!({"repositoryName": "my-app", "imageId": {"imageDigest": digest}});
        ecr.ok("DescribeImageReplicationStatus", input)["replicationStatuses"].clone()
    };
    assert_eq!(status(&ecr, &early), json!([]));
    assert_eq!(
        status(&ecr, &digest),
        json!([
        {"region": "eu-west-1", "registryId": "111122223333", "status": "COMPLETE"},
        {"region": "us-east-1", "registryId": "444455556666", "status": "FAILED", "failureCode": "DESTINATION_REGISTRY_ACCESS_DENIED"}])
    );
    let head = |ecr: &Ecr| {
        ecr.v2("HEAD", "my-app/manifests/1.0.0", &[], b"").header("docker-content-digest").map(str::to_owned)
    };
    assert_eq!(ecr.signed("dummy", "eu-west-1", head), Some(digest.clone()));
    // A push restores an archived image; its copies are not archived.
    let archive = json!({"repositoryName": "my-app", "imageId": {"imageTag": "early"}, "targetStorageClass": "ARCHIVE"});
    ecr.ok("UpdateImageStorageClass", archive);
    ecr.image("my-app", "early", "early");
    let early_head = |ecr: &Ecr| ecr.v2("HEAD", "my-app/manifests/early", &[], b"").status;
    assert_eq!(ecr.signed("dummy", "eu-west-1", early_head), 200);
    // The other account allows it.
    ecr.signed("other", "us-east-1", |ecr| {
        let policy = json!({"Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": ["ecr:ReplicateImage", "ecr:CreateRepository"], "Resource": "arn:aws:ecr:us-east-1:444455556666:repository/*"}]});
        ecr.ok("PutRegistryPolicy", json!({"policyText": policy.to_string()}));
    });
    let digest = ecr.image("my-app", "1.0.1", "layer 2");
    assert_eq!(status(&ecr, &digest)[1]["status"], "COMPLETE");
    let of_other = |ecr: &Ecr| ecr.v2("GET", "my-app/manifests/1.0.1", &[], b"").status;
    assert_eq!(ecr.signed("other", "us-east-1", of_other), 200);
}

#[test]
fn images_are_pulled_through_from_an_upstream_registry() {
    // A registry without credentials: a server that answers three paths.
    let upstream = Upstream::start();
    let ecr = ecr();
    let rule = json!({"ecrRepositoryPrefix": "cache", "upstreamRegistryUrl": upstream.host});
    ecr.ok("CreatePullThroughCacheRule", rule.clone());
    assert!(
        ecr.fail("CreatePullThroughCacheRule", rule).starts_with("400 PullThroughCacheRuleAlreadyExists")
    );
    let get = |tag: &str| {
        ecr.v2("GET", &format!("cache/library/app/manifests/{tag}"), &[("accept", MANIFEST)], b"")
    };
    assert_eq!(get("none").status, 404);
    let pulled = get("1");
    assert_eq!((pulled.status, pulled.text()), (200, upstream.manifest.clone()));
    let layer = pulled.json()["layers"][0]["digest"].as_str().unwrap().to_owned();
    assert_eq!(ecr.v2("HEAD", &format!("cache/library/app/blobs/{layer}"), &[], b"").status, 200);
    // Who may not pull fetches nothing.
    let deny =
        json!({"Statement": {"Effect": "Deny", "Principal": "*", "Action": "ecr:BatchGetImage"}}).to_string();
    let set = |policy: &str| json!({"repositoryName": "cache/library/app", "policyText": policy});
    ecr.ok("SetRepositoryPolicy", set(&deny));
    assert_eq!((get("2").status, upstream.asked.load(std::sync::atomic::Ordering::SeqCst)), (403, 4));
    ecr.ok("DeleteRepositoryPolicy", json!({"repositoryName": "cache/library/app"}));
    // The cached image is served without the upstream registry.
    drop(upstream);
    assert_eq!(get("1").status, 200);
    let found = ecr.ok("DescribePullThroughCacheRules", json!({"ecrRepositoryPrefixes": ["cache"]}));
    assert_eq!(found["pullThroughCacheRules"][0]["upstreamRepositoryPrefix"], "ROOT");
    assert_eq!(
        ecr.ok("ValidatePullThroughCacheRule", json!({"ecrRepositoryPrefix": "cache"}))["isValid"],
        true
    );
    ecr.ok("DeletePullThroughCacheRule", json!({"ecrRepositoryPrefix": "cache"}));
    ecr.fail("ValidatePullThroughCacheRule", json!({"ecrRepositoryPrefix": "cache"}));
}

#[test]
fn upstream_registries_are_checked() {
    let ecr = ecr();
    let create = |url: &str, secret: Option<&str>| {
        let mut rule = json!({"ecrRepositoryPrefix": "cache", "upstreamRegistryUrl": url});
        if let Some(secret) = secret {
            rule["credentialArn"] = json!(secret);
        }
        let answer = ecr.api("CreatePullThroughCacheRule", rule);
        ecr.api("DeletePullThroughCacheRule", json!({"ecrRepositoryPrefix": "cache"}));
        if answer.status == 200 { answer.json()["upstreamRegistry"].to_string() } else { answer.error() }
    };
    let secret = "arn:aws:secretsmanager:us-east-1:111122223333:secret:ecr-pullthroughcache/name";
    assert_eq!(create("public.ecr.aws", None), "\"ecr-public\"");
    assert_eq!(create("registry-1.docker.io", Some(secret)), "\"docker-hub\"");
    assert_eq!(create("name.azurecr.io", Some(secret)), "\"azure-container-registry\"");
    assert_eq!(
        create("registry-1.docker.io", None),
        "400 UnsupportedUpstreamRegistryException: The specified upstream registry requires authentication. Specify a valid Secrets Manager ARN containing the upstream registry credentials."
    );
    assert_eq!(
        create("quay.io", Some(secret)),
        "400 UnsupportedUpstreamRegistryException: The specified upstream registry doesn't require authentication"
    );
    assert_eq!(
        create("example.com", None),
        "400 UnsupportedUpstreamRegistryException: The upstream registry URL example.com is invalid"
    );
}

/// Amazon ECR user guide, "Archiving an image" and "Restoring an image".
#[test]
fn archived_image_is_not_pulled_until_it_is_restored() {
    let ecr = ecr();
    ecr.create("my-app");
    ecr.image("my-app", "1", "layer");
    let update = |class: &str| {
        let input =
            json!({"repositoryName": "my-app", "imageId": {"imageTag": "1"}, "targetStorageClass": class});
        ecr.ok("UpdateImageStorageClass", input)["imageStatus"].clone()
    };
    let get = || ecr.v2("GET", "my-app/manifests/1", &[], b"").status;
    let listed = |filter: Value| {
        ecr.ok("ListImages", json!({"repositoryName": "my-app", "filter": filter}))["imageIds"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(update("ARCHIVE"), "ARCHIVED");
    assert_eq!(
        (
            get(),
            listed(json!({})),
            listed(json!({"imageStatus": "ARCHIVED"})),
            listed(json!({"imageStatus": "ANY"}))
        ),
        (404, 0, 1, 1)
    );
    let got = ecr.ok("BatchGetImage", json!({"repositoryName": "my-app", "imageIds": [{"imageTag": "1"}]}));
    assert_eq!(got["failures"][0]["failureCode"], "ImageInaccessible");
    let scan = ecr.fail("StartImageScan", json!({"repositoryName": "my-app", "imageId": {"imageTag": "1"}}));
    assert!(scan.starts_with("400 ImageArchivedException"), "{scan}");
    assert_eq!(update("STANDARD"), "ACTIVATING");
    assert_eq!(get(), 404);
    std::thread::sleep(Duration::from_millis(3100));
    assert_eq!((get(), listed(json!({}))), (200, 1));
    // A push restores an image at once.
    update("ARCHIVE");
    ecr.image("my-app", "1", "layer");
    assert_eq!(get(), 200);
    let detail = ecr.ok("DescribeImages", json!({"repositoryName": "my-app"}));
    assert!(detail["imageDetails"][0]["lastArchivedAt"].is_number());
}

#[test]
fn pulls_of_excluded_principals_are_not_recorded() {
    let ecr = ecr();
    ecr.create("my-app");
    ecr.image("my-app", "1", "layer");
    let pulled_at = || {
        ecr.ok("DescribeImages", json!({"repositoryName": "my-app"}))["imageDetails"][0]["lastRecordedPullTime"].clone()
    };
    let role = json!({"principalArn": "arn:aws:iam::111122223333:role/scanner"});
    ecr.ok("RegisterPullTimeUpdateExclusion", role.clone());
    assert!(
        ecr.fail("RegisterPullTimeUpdateExclusion", role.clone()).starts_with("400 ExclusionAlreadyExists")
    );
    assert_eq!(
        ecr.ok("ListPullTimeUpdateExclusions", json!({}))["pullTimeUpdateExclusions"],
        json!(["arn:aws:iam::111122223333:role/scanner"])
    );
    // The role's password.
    let body = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::111122223333:role/scanner&RoleSessionName=nightly";
    let session = ecr
        .ask("POST", "/", &[("content-type", "application/x-www-form-urlencoded")], body.as_bytes())
        .text();
    let token = session.split_once("<SessionToken>").unwrap().1.split_once('<').unwrap().0;
    let target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
    let answer =
        ecr.ask("POST", "/", &[("x-amz-target", target), ("x-amz-security-token", token)], b"{}").json();
    let basic = format!("Basic {}", answer["authorizationData"][0]["authorizationToken"].as_str().unwrap());
    assert_eq!(ecr.ask("GET", "/v2/my-app/manifests/1", &[("authorization", &basic)], b"").status, 200);
    assert_eq!(pulled_at(), Value::Null);
    ecr.ok("DeregisterPullTimeUpdateExclusion", role.clone());
    assert_eq!(ecr.ask("GET", "/v2/my-app/manifests/1", &[("authorization", &basic)], b"").status, 200);
    assert!(pulled_at().is_number());
    assert!(ecr.fail("DeregisterPullTimeUpdateExclusion", role).starts_with("400 ExclusionNotFound"));
}

#[test]
fn signatures_have_the_status_that_a_file_gives() {
    let ecr = ecr();
    ecr.create("my-app");
    let digest = ecr.image("my-app", "1", "layer");
    assert!(ecr.fail("GetSigningConfiguration", json!({})).starts_with("400 SigningConfigurationNotFound"));
    let profile = "arn:aws:signer:us-east-1:111122223333:/signing-profiles/mine";
    let configuration = |profile: &str| {
        json!({"signingConfiguration": {"rules": [{"signingProfileArn": profile,
        "repositoryFilters": [{"filter": "my-*", "filterType": "WILDCARD_MATCH"}]}]}})
    };
    let elsewhere = configuration(&profile.replace("us-east-1", "eu-west-1"));
    assert!(
        ecr.fail("PutSigningConfiguration", elsewhere).contains("is 'eu-west-1' but must be 'us-east-1'")
    );
    ecr.ok("PutSigningConfiguration", configuration(profile));
    let statuses = || {
        ecr.ok(
            "DescribeImageSigningStatus",
            json!({"repositoryName": "my-app", "imageId": {"imageTag": "1"}}),
        )["signingStatuses"]
            .clone()
    };
    assert_eq!(statuses(), json!([{"signingProfileArn": profile, "status": "IN_PROGRESS"}]));
    let folder = ecr.server.data().join("signing");
    std::fs::create_dir_all(&folder).unwrap();
    let done = json!([{"signingProfileArn": profile, "status": "COMPLETE"}]);
    std::fs::write(
        folder.join(format!("{}.json", &digest[7..])),
        json!({ "signingStatuses": done }).to_string(),
    )
    .unwrap();
    assert_eq!(statuses(), done);
    ecr.ok("DeleteSigningConfiguration", json!({}));
    ecr.fail("DeleteSigningConfiguration", json!({}));
}

#[test]
fn what_is_left_is_refused_by_name() {
    let ecr = ecr();
    for operation in [
        "StartReplicationBackfill",
        "StopReplicationBackfill",
        "ListReplicationBackfills",
        "DescribeReplicationBackfillResults",
    ] {
        let error = ecr.fail(operation, json!({}));
        assert_eq!(
            error,
            format!(
                "400 UnsupportedOperationException: the embedded ECR does not support the operation {operation}"
            )
        );
    }
}

/// A registry without credentials that has the image `library/app:1`.
struct Upstream {
    host: String,
    manifest: String,
    /// The number of requests.
    asked: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Upstream {
    fn start() -> Self {
        let (config, layer) = ("{}", "a layer");
        let descriptor = |media_type: &str, content: &str| {
            let digest = ecr_types::Digest::of(content.as_bytes());
            json!({"mediaType": media_type, "digest": digest, "size": content.len()})
        };
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)]})
        .to_string();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let served = manifest.clone();
        let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = asked.clone();
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                tokio::spawn(answer(stream, [served.clone(), config.to_owned(), layer.to_owned()]));
            }
        });
        Self { host, manifest, asked, runtime: Some(runtime) }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// Answers one request: the manifest by its tag, the others by their digests.
async fn answer(mut stream: tokio::net::TcpStream, [manifest, config, layer]: [String; 3]) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(n) if n > 0 => request.extend_from_slice(&buffer[..n]),
            _ => return,
        }
    }
    let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or_default().to_owned();
    let blobs = [config, layer]
        .map(|it| (format!("/v2/library/app/blobs/{}", ecr_types::Digest::of(it.as_bytes())), it));
    let body = match path.as_str() {
        "/v2/library/app/manifests/1" => Some(manifest),
        path => blobs.into_iter().find(|(at, _)| at == path).map(|it| it.1),
    };
    let (status, body) = body.map_or(("404 Not Found", String::new()), |it| ("200 OK", it));
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {MANIFEST}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}
