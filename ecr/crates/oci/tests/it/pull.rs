//! Pulling from registries that answer in their own ways.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ecr_oci::credentials::Credentials;
use ecr_oci::http::{HttpClient, Limits};
use ecr_oci::reference::Reference;
use ecr_oci::registry::{RegistryErrorKind, RemoteRepository};
use ecr_types::error::causes;
use ecr_types::{Descriptor, Digest};

use crate::support::{Registry, Reply, Request};

/// A blob that arrives in several pieces.
fn content() -> Vec<u8> {
    (0..400_000_u32).map(|it| (it % 251) as u8).collect()
}

fn descriptor(content: &[u8]) -> Descriptor {
    Descriptor::new("application/octet-stream", Digest::of(content), content.len() as u64)
}

/// A client with limits that a test can wait for.
fn repository(host: &str, credentials: Option<Credentials>) -> RemoteRepository {
    let reference: Reference = format!("{host}/a/b:1").parse().unwrap();
    RemoteRepository::new(HttpClient::new(Limits::within(Duration::from_secs(60))), &reference, credentials)
        .unwrap()
}

/// The same with a client that loses its patience soon.
fn impatient(host: &str) -> RemoteRepository {
    let reference: Reference = format!("{host}/a/b:1").parse().unwrap();
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::within(Duration::from_secs(2)) };
    RemoteRepository::new(HttpClient::new(limits), &reference, None).unwrap()
}

/// Downloads the blob. The result is the digest of the file, or the causes of the error.
async fn download(repository: &RemoteRepository, blob: &Descriptor) -> Result<Digest, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    let result = repository.blob(blob, &path, &|_| ()).await;
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, usize::from(result.is_ok()), "what a failed download leaves behind");
    result.map(|()| Digest::of(&std::fs::read(path).unwrap())).map_err(|it| told(&it))
}

fn told(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).skip(1).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The rest of the content that a `Range` asks for.
fn rest(request: &Request, content: &[u8]) -> Reply {
    let from = request.header("range").trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>();
    match from {
        Ok(from) => Reply { status: 206, ..Reply::ok(&content[from..]) }
            .with("Content-Range", format!("bytes {from}-{}/{}", content.len() - 1, content.len())),
        Err(_) => Reply::ok(content),
    }
}

#[tokio::test]
async fn pull_resumes_a_blob_that_breaks_off() {
    let registry = Registry::start(|request| {
        let reply = rest(request, &content());
        Reply { sent: (request.earlier < 2).then_some(30_000), ..reply }
    });
    let blob = descriptor(&content());
    assert_eq!(download(&repository(&registry.host, None), &blob).await, Ok(descriptor(&content()).digest));
    let ranges: Vec<_> = registry.log().iter().map(|it| it.header("range").to_owned()).collect();
    assert_eq!(ranges, ["", "bytes=30000-", "bytes=60000-"]);
}

#[tokio::test]
async fn pull_begins_anew_where_a_server_does_not_resume() {
    let not_satisfiable = |request: &Request| match request.header("range") {
        "" => Reply { sent: (request.earlier == 0).then_some(30_000), ..Reply::ok(content()) },
        _ => Reply::new(416),
    };
    let whole =
        |request: &Request| Reply { sent: (request.earlier == 0).then_some(30_000), ..Reply::ok(content()) };
    let other_range = |request: &Request| match request.header("range") {
        "" => Reply { sent: (request.earlier == 0).then_some(30_000), ..Reply::ok(content()) },
        _ => Reply { status: 206, ..Reply::ok(&content()[7..]) }
            .with("Content-Range", format!("bytes 7-399999/{}", content().len())),
    };
    let servers: [fn(&Request) -> Reply; 3] = [not_satisfiable, whole, other_range];
    for (at, answer) in servers.into_iter().enumerate() {
        let registry = Registry::start(answer);
        let blob = descriptor(&content());
        assert_eq!(
            download(&repository(&registry.host, None), &blob).await,
            Ok(descriptor(&content()).digest),
            "server {at}"
        );
    }
}

#[tokio::test]
async fn pull_of_a_blob_that_stands_still_ends() {
    let stall =
        |request: &Request| Reply { sent: Some(1000), stands_still: true, ..rest(request, &content()) };
    let registry = Registry::start(stall);
    let error = download(&impatient(&registry.host), &descriptor(&content())).await;
    assert_eq!(error, Err("the response stalled for 200 ms".to_owned()));
    // It is tried again, and each time counts, though a little arrives.
    let attempts = registry.log().len();
    assert!((2..8).contains(&attempts), "{attempts}");
}

#[tokio::test]
async fn pull_verifies_size_and_digest() {
    let content = content();
    let sized = |size: u64| Descriptor { size, ..descriptor(&content) };
    let registry = Registry::start(|_| Reply::ok(self::content()));
    let remote = repository(&registry.host, None);
    for (blob, wanted) in [
        (sized(400_001), "unexpected response: the content has 400000 bytes, and its descriptor says 400001"),
        (
            sized(399_999),
            "unexpected response: the content is longer than the 399999 bytes of its descriptor",
        ),
        (sized(200), "unexpected response: the content is longer than the 200 bytes of its descriptor"),
        (
            Descriptor { digest: Digest::of(b"other"), ..sized(400_000) },
            "unexpected response: the content has the digest ",
        ),
    ] {
        let error = download(&remote, &blob).await.unwrap_err();
        assert!(error.starts_with(wanted), "{error}");
    }
    // None of these is tried again.
    assert_eq!(registry.log().len(), 4);
}

#[tokio::test]
async fn pull_follows_redirects_without_the_authorization() {
    let storage = Registry::start(|_| Reply::ok(content()));
    let elsewhere = format!("//{}/blob?signature=a%2Fb", storage.host);
    let registry = Registry::start(move |request| match request.line.as_str() {
        line if line.contains("/blobs/") && request.header("authorization").is_empty() => {
            Reply::new(401).with("WWW-Authenticate", "Basic realm=\"r\"")
        }
        line if line.contains("/blobs/") => Reply::new(307).with("Location", "../next one?x"),
        _ => Reply::new(302).with("Location", elsewhere.clone()),
    });
    let credentials = Credentials::Basic { user: "u".to_owned(), password: "p".to_owned() };
    let remote = repository(&registry.host, Some(credentials));
    assert_eq!(download(&remote, &descriptor(&content())).await, Ok(descriptor(&content()).digest));
    let lines: Vec<_> = registry.log().into_iter().map(|it| it.line).collect();
    assert_eq!(lines.last().map(String::as_str), Some("GET /v2/a/b/next%20one?x"));
    let stored = storage.log().remove(0);
    assert_eq!((stored.line.as_str(), stored.header("authorization")), ("GET /blob?signature=a%2Fb", ""));
}

#[tokio::test]
async fn pull_sends_credentials_to_the_registry_only() {
    let other = Registry::start(|request| match request.line.as_str() {
        line if line.contains("/token") => Reply::ok(r#"{"token": "T"}"#),
        _ if request.header("authorization") == "Bearer T" => Reply::ok(content()),
        _ => {
            let realm = format!("http://{}/token", request.header("host"));
            Reply::new(401)
                .with("WWW-Authenticate", format!("Bearer realm=\"{realm}\",scope=\"repository:x:pull\""))
        }
    });
    let elsewhere = format!("http://{}/blob", other.host);
    let secret = || Credentials::Basic { user: "u".to_owned(), password: "p".to_owned() };
    let is_secret =
        |it: &Request| it.header("authorization").starts_with("Basic") || it.line.contains("account=");

    // Where the registry redirects to gets a token that anybody gets.
    let location = elsewhere.clone();
    let registry = Registry::start(move |_| Reply::new(307).with("Location", location.clone()));
    let remote = repository(&registry.host, Some(secret()));
    assert_eq!(download(&remote, &descriptor(&content())).await, Ok(descriptor(&content()).digest));
    let log = other.log();
    assert!(!log.iter().any(is_secret), "{log:?}");
    let asked = log.iter().find(|it| it.line.contains("/token")).unwrap();
    assert_eq!(asked.line, "GET /token?scope=repository%3Ax%3Apull");

    // An address in a manifest gets none at all (CVE-2020-15157).
    let folder = tempfile::tempdir().unwrap();
    let blob = Descriptor { urls: vec![elsewhere], ..descriptor(&content()) };
    let remote = repository(&registry.host, Some(secret()));
    let error = remote.blob_elsewhere(&blob, &folder.path().join("blob"), &|_| ()).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Unauthorized);
    assert_eq!(other.log().len(), log.len() + 1);
}

#[tokio::test]
async fn pull_follows_redirects_of_the_token_endpoint() {
    let basic = || Credentials::Basic { user: "u".to_owned(), password: "p".to_owned() };
    let identity = || Credentials::IdentityToken("R".to_owned());
    for (status, credentials, is_followed) in [
        (301, None, true),
        (302, Some(basic()), true),
        (308, Some(identity()), true),
        (302, Some(identity()), false),
    ] {
        let registry = with_tokens(move |request| match request.line.contains("/token/next") {
            false => Reply::new(status).with("Location", "/token/next?x=1"),
            true => Reply::ok(r#"{"token": "T"}"#),
        });
        let remote = repository(&registry.host, credentials.clone());
        assert_eq!(remote.manifest("1").await.is_ok(), is_followed, "{status} {credentials:?}");
        let sent = registry.log().into_iter().find(|it| it.line.contains("/token/next"));
        assert_eq!(sent.is_some(), is_followed);
        if let (Some(sent), Some(Credentials::Basic { .. })) = (sent, &credentials) {
            assert_eq!(sent.header("authorization"), "Basic dTpw");
        }
    }
    let other = Registry::start(|_| Reply::ok(r#"{"token": "T"}"#));
    let location = format!("http://localhost:{}/token", other.host.rsplit(':').next().unwrap());
    let registry = with_tokens(move |_| Reply::new(307).with("Location", location.clone()));
    assert!(repository(&registry.host, Some(basic())).manifest("1").await.is_err());
    assert_eq!(other.log().len(), 0, "credentials go to no other host");
}

#[tokio::test]
async fn pull_ends_at_redirects_that_lead_nowhere() {
    for (location, wanted, requests) in [
        (
            "file:///etc/passwd",
            "the registry returned status 307 Temporary Redirect, but its Location has the scheme `file`",
            1,
        ),
        ("", "the registry returned status 307 Temporary Redirect, but it names no Location", 1),
        ("/v2/loop", "unexpected response: more than 10 redirects", 11),
    ] {
        let registry = Registry::start(move |_| Reply::new(307).with("Location", location));
        let error = download(&repository(&registry.host, None), &descriptor(&content())).await.unwrap_err();
        assert_eq!(error, wanted);
        assert_eq!(registry.log().len(), requests, "{location}");
    }
}

/// A registry with a token endpoint. The token is `T`.
fn with_tokens(grants: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Registry {
    Registry::start(move |request| {
        if request.line.contains("/token") {
            return grants(request);
        }
        match request.header("authorization") {
            "Bearer T" => Reply::ok("{}"),
            _ => {
                let challenge =
                    format!("Bearer realm=\"http://{}/token\",service=\"s\"", request.header("host"));
                Reply::new(401)
                    .with("WWW-Authenticate", "Basic realm=\"r\"")
                    .with("WWW-Authenticate", challenge)
            }
        }
    })
}

#[tokio::test]
async fn pull_authenticates_with_each_kind_of_credentials() {
    let basic = || Credentials::Basic { user: "u".to_owned(), password: "p".to_owned() };
    let registry = with_tokens(|request| match (request.header("authorization"), request.body.as_str()) {
        ("Basic dTpw", _) => Reply::ok(r#"{"token": "T"}"#),
        ("", body) if body.contains("grant_type=refresh_token&refresh_token=R") => {
            Reply::ok(r#"{"access_token": "T"}"#)
        }
        _ => Reply::new(401),
    });
    for credentials in
        [basic(), Credentials::IdentityToken("R".to_owned()), Credentials::RegistryToken("T".to_owned())]
    {
        let remote = repository(&registry.host, Some(credentials.clone()));
        assert!(remote.manifest("1").await.is_ok(), "{credentials:?}");
    }
    for credentials in [None, Some(Credentials::IdentityToken("stale".to_owned()))] {
        let remote = repository(&registry.host, credentials);
        assert_eq!(remote.manifest("1").await.unwrap_err().kind(), RegistryErrorKind::Unauthorized);
    }
}

#[tokio::test]
async fn pull_repeats_a_token_answer_and_a_manifest_that_break_off() {
    let registry = with_tokens(|request| Reply {
        sent: (request.earlier == 0).then_some(4),
        ..Reply::ok(r#"{"token": "T"}"#)
    });
    assert_eq!(repository(&registry.host, None).manifest("1").await.unwrap().1.as_ref(), b"{}");

    let registry =
        Registry::start(|request| Reply { sent: (request.earlier == 0).then_some(1), ..Reply::ok("{}") });
    assert_eq!(repository(&registry.host, None).manifest("1").await.unwrap().1.as_ref(), b"{}");
}

#[tokio::test]
async fn pull_sends_no_credentials_to_a_realm_without_encryption() {
    let registry = Registry::start(|_| {
        Reply::new(401).with("WWW-Authenticate", "Bearer realm=\"http://auth.example/token\"")
    });
    let credentials = Credentials::IdentityToken("R".to_owned());
    let error = repository(&registry.host, Some(credentials)).manifest("1").await.unwrap_err();
    assert_eq!(told(&error), "credentials are not sent to `http://auth.example/token` without encryption");
}

#[tokio::test]
async fn pull_does_not_repeat_what_a_registry_refuses() {
    for status in [400, 403, 404, 405, 410, 501] {
        let registry = Registry::start(move |_| Reply::new(status));
        assert!(repository(&registry.host, None).manifest("1").await.is_err());
        assert_eq!(registry.log().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn pull_finds_a_layer_at_the_addresses_of_its_descriptor() {
    let storage = Registry::start(|request| match request.line.as_str() {
        "GET /there" => Reply::ok(content()),
        _ => Reply::new(404),
    });
    let url = |path: &str| format!("http://{}/{path}", storage.host);
    let blob = |urls: Vec<String>| Descriptor { urls, ..descriptor(&content()) };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    let remote = repository("127.0.0.1:1", None);
    let several = blob(vec!["ftp://x/y".to_owned(), "none".to_owned(), url("gone"), url("there")]);
    remote.blob_elsewhere(&several, &path, &|_| ()).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), content());
    let error = remote.blob_elsewhere(&blob(vec![url("gone")]), &path, &|_| ()).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::NotFound);
    let error = remote.blob_elsewhere(&blob(Vec::new()), &path, &|_| ()).await.unwrap_err();
    assert_eq!(told(&error), "unexpected response: its descriptor names no HTTP address");
}

#[tokio::test]
async fn pull_tells_for_which_host_it_waits() {
    let silent = |request: &Request| match request.line.as_str() {
        "GET /v2/a/b/manifests/1" => Reply { sent: Some(0), stands_still: true, ..Reply::ok("{}") },
        _ => Reply::ok("{}"),
    };
    let registry = Registry::start(silent);
    let told = Arc::<Mutex<Vec<String>>>::default();
    let log = told.clone();
    let limits = Limits { idle: Duration::from_millis(100), ..Limits::within(Duration::from_millis(300)) };
    let client = HttpClient::new(limits).with_observer(
        Duration::from_millis(20),
        Arc::new(move |host: &str, _: Option<&str>| log.lock().unwrap().push(host.to_owned())),
    );
    let reference: Reference = format!("{}/a/b:1", registry.host).parse().unwrap();
    let remote = RemoteRepository::new(client, &reference, None).unwrap();
    assert!(remote.manifest("1").await.is_err());
    assert_eq!(told.lock().unwrap().first(), Some(&registry.host));
}
