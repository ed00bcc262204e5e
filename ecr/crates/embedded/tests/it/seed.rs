//! What tests of other programs need: a state to begin with, a clock, a reset, hosts like those of ECR.

use ecr_embedded::Server;
use serde_json::{Value, json};

use crate::support::{Ecr, ecr, start};

const SEED: &str = r#"{"repositories": [
    {"name": "my-app", "imageTagMutability": "IMMUTABLE", "scanOnPush": true, "tags": {"team": "web"},
     "lifecyclePolicy": {"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any", "countType": "sinceImagePushed",
        "countUnit": "days", "countNumber": 30}, "action": {"type": "expire"}}]},
     "images": [
        {"tags": ["1.0.0", "stable"], "pushedAt": "2026-01-01T00:00:00Z", "lastPulledAt": "2026-01-15T00:00:00Z",
         "scan": {"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindings": {"findingSeverityCounts": {"HIGH": 1}}}},
        {"tags": ["1.0.{n}"], "repeat": 3, "pushedAt": "2026-02-01T00:00:00Z", "size": 2000},
        {"artifactType": "application/vnd.cyclonedx+json", "subject": "stable", "pushedAt": "2026-01-01T00:00:00Z"},
        {"tags": ["old"], "archived": true, "pushedAt": "2025-01-01T00:00:00Z"}]},
    {"name": "abroad", "registry": "444455556666/eu-west-1"}]}"#;

fn images(ecr: &Ecr, name: &str) -> Vec<Value> {
    let input = json!({"repositoryName": name, "filter": {"imageStatus": "ANY"}});
    let mut images = ecr.ok("DescribeImages", input)["imageDetails"].as_array().unwrap().clone();
    images.sort_by_key(|it| it["imageTags"].to_string());
    images
}

#[test]
fn seed_is_there_when_the_server_starts() {
    let mut ecr =
        start(Server::builder().seed(SEED).unwrap().account_of("other", "444455556666".parse().unwrap()));
    let found = ecr.ok("DescribeRepositories", json!({}))["repositories"].clone();
    assert_eq!(
        (found[0]["imageTagMutability"].clone(), found.as_array().unwrap().len()),
        (json!("IMMUTABLE"), 1)
    );
    let images = images(&ecr, "my-app");
    let tags: Vec<_> = images.iter().map(|it| it["imageTags"].clone()).collect();
    assert_eq!(
        tags,
        [
            json!(["1.0.0", "stable"]),
            json!(["1.0.1"]),
            json!(["1.0.2"]),
            json!(["1.0.3"]),
            json!(["old"]),
            Value::Null
        ]
    );
    assert_eq!(images[0]["imagePushedAt"], 1_767_225_600.0);
    assert_eq!(images[0]["imageScanFindingsSummary"]["findingSeverityCounts"], json!({"HIGH": 1}));
    assert_eq!(images[4]["imageStatus"], "ARCHIVED");
    assert_eq!(images[5]["subjectManifestDigest"], images[0]["imageDigest"]);
    assert!(images[1]["imageSizeInBytes"].as_u64().unwrap() > 2000);
    // Images are whole: their layers can be pulled.
    let layer = ecr.v2("GET", "my-app/manifests/1.0.1", &[], b"").json()["layers"][0]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(ecr.v2("GET", &format!("my-app/blobs/{layer}"), &[], b"").status, 307);
    ecr.signed("other", "eu-west-1", |ecr| ecr.ok("DescribeImages", json!({"repositoryName": "abroad"})));
}

#[test]
fn seed_with_a_mistake_names_it() {
    let parse = |json: &str| Server::builder().seed(json).unwrap_err().to_string();
    assert_eq!(parse("{"), "EOF while parsing an object at line 1 column 1");
    assert!(
        parse(r#"{"repositories": [{"name": "a", "images": []}]}"#)
            .starts_with("`a` is not a valid repository name")
    );
    assert!(
        parse(r#"{"repositories": [{"name": "my-app", "image": []}]}"#).starts_with("unknown field `image`")
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (images, wanted) in [
        (r#"[{"age": "old"}]"#, "image 1: `old` is not an age such as 90d, 12h, 30m or 5s"),
        (r#"[{"subject": "1.0.0"}]"#, "image 1: no earlier image has the tag `1.0.0`"),
        (r#"[{"tags": ["a b"]}]"#, "image 1: `a b` is not a valid image tag"),
        (r#"[{}, {}]"#, "image 2: another image of the seed is the same"),
    ] {
        let seed = format!(r#"{{"repositories": [{{"name": "my-app", "images": {images}}}]}}"#);
        let error = runtime.block_on(Server::builder().seed(&seed).unwrap().start()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("repository `my-app` of the seed: {wanted}")), "{error}");
    }
}

#[test]
fn clock_can_be_set() {
    let ecr =
        start(Server::builder().now("2026-01-20T00:00:00Z".parse().unwrap()).seed(SEED).unwrap().control());
    ecr.create("new");
    let created =
        ecr.ok("DescribeRepositories", json!({"repositoryNames": ["new"]}))["repositories"][0]["createdAt"]
            .clone();
    assert!((1_768_867_200.0..1_768_867_300.0).contains(&created.as_f64().unwrap()), "{created}");
    let expiring = || {
        ecr.ok("StartLifecyclePolicyPreview", json!({"repositoryName": "my-app"}));
        let get = || ecr.ok("GetLifecyclePolicyPreview", json!({"repositoryName": "my-app"}));
        get();
        get()["summary"]["expiringImageTotalCount"].clone()
    };
    assert_eq!(expiring(), 0);
    ecr.server.set_now("2026-02-15T00:00:00Z".parse().unwrap());
    assert_eq!(expiring(), 1);
    let set = |body: &str| ecr.ask("POST", "/_control/clock", &[], body.as_bytes()).status;
    assert_eq!(set(r#"{"now": "2026-04-01T00:00:00Z"}"#), 204);
    assert_eq!(expiring(), 4);
    assert_eq!(set("{}"), 400);
    // Passwords expire by this clock, too.
    let basic = ecr.basic();
    set(r#"{"now": "2026-04-01T13:00:00Z"}"#);
    assert_eq!(ecr.ask("GET", "/v2/", &[("authorization", &basic)], b"").status, 403);
}

#[test]
fn reset_removes_everything_but_the_seed() {
    let ecr = start(Server::builder().seed(SEED).unwrap().control());
    let basic = ecr.basic();
    ecr.create("new");
    ecr.image("my-app", "2.0.0", "layer");
    ecr.ok("PutAccountSetting", json!({"name": "BLOB_MOUNTING", "value": "ENABLED"}));
    assert_eq!(ecr.ask("POST", "/_control/reset", &[], b"").status, 204);
    assert_eq!(ecr.ok("DescribeRepositories", json!({}))["repositories"].as_array().unwrap().len(), 1);
    assert_eq!(images(&ecr, "my-app").len(), 6);
    assert_eq!(ecr.ok("GetAccountSetting", json!({"name": "BLOB_MOUNTING"}))["value"], "DISABLED");
    assert_eq!(ecr.ask("GET", "/v2/", &[("authorization", &basic)], b"").status, 200, "passwords stay valid");
    ecr.server.reset().unwrap();
    // Only where it was asked for.
    assert_eq!(ecr_without_control(), 404);
}

fn ecr_without_control() -> u16 {
    ecr().ask("POST", "/_control/reset", &[], b"").status
}

#[test]
fn registries_have_hosts_like_those_of_ecr_where_wanted() {
    let ecr = start(Server::builder().ecr_hosts());
    let port = ecr.host().split_once(':').unwrap().1.to_owned();
    let host = format!("111122223333.dkr.ecr.us-east-1.localhost:{port}");
    let created = ecr.ok("CreateRepository", json!({"repositoryName": "my-app"}));
    assert_eq!(created["repository"]["repositoryUri"], format!("{host}/my-app"));
    let token = &ecr.ok("GetAuthorizationToken", json!({}))["authorizationData"][0];
    assert_eq!(token["proxyEndpoint"], format!("http://{host}"));
    assert_eq!(ecr.v2("GET", "my-app/tags/list", &[("host", &host)], b"").status, 200);
    let elsewhere = host.replace("us-east-1", "eu-west-1");
    assert_eq!(ecr.v2("GET", "my-app/tags/list", &[("host", &elsewhere)], b"").status, 404);
}
