//! A base from a registry like Docker Hub, which gives anonymous tokens and redirects to blobs on another host.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use ecr_types::Digest;
use serde_json::json;

use crate::support::{Registry, Workspace, static_binary};

/// Starts a server that answers requests by `answer`, a function from own host, path and authorization to status,
/// further headers and body. Returns its host and its log of requests.
fn serve(
    answer: impl Fn(&str, &str, &str) -> (u16, String, Vec<u8>) + Send + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let log = Arc::<Mutex<Vec<String>>>::default();
    let (own, seen) = (host.clone(), log.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (path, authorization) = request(&stream);
            seen.lock().unwrap().push(format!("{path} {authorization}"));
            let (status, headers, body) = answer(&own, &path, &authorization);
            let head = format!(
                "HTTP/1.1 {status} Status\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
                body.len()
            );
            let _ = (&stream).write_all(&[head.as_bytes(), &body].concat());
        }
    });
    (host, log)
}

/// Reads a request without a body. Returns its path and authorization.
fn request(mut stream: &TcpStream) -> (String, String) {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|it| it == 1) {
        text.extend(byte);
    }
    let text = String::from_utf8(text).unwrap();
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let header = |line: &str| Some(line.to_lowercase().strip_prefix("authorization: ")?.to_owned());
    (path, text.lines().find_map(header).unwrap_or_else(|| "-".to_owned()))
}

#[test]
fn base_token_is_not_sent_to_redirected_hosts() {
    let (layer, registry) = (vec![0; 1024], Registry::start());
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
    });
    let config = config.to_string().into_bytes();
    let descriptor = |kind: &str, bytes: &[u8]| json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": Digest::of(bytes), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", &config), "layers": [descriptor("layer.v1.tar", &layer)],
    });
    let blobs: BTreeMap<_, _> =
        [config, layer].into_iter().map(|it| (format!("/{}", Digest::of(&it)), it)).collect();
    let digests: Vec<_> = blobs.keys().map(|it| format!("{it} -")).collect();
    let (storage, fetched) = serve(move |_, path, _| match blobs.get(path) {
        Some(bytes) => (200, String::new(), bytes.clone()),
        None => (404, String::new(), Vec::new()),
    });
    let (host, asked) = serve(move |own, path, authorization| match path {
        _ if path.starts_with("/token?") => (200, String::new(), br#"{"token": "t0ken"}"#.to_vec()),
        _ if authorization != "bearer t0ken" => {
            let scope = "repository:library/base:pull";
            let challenge = format!("Bearer realm=\"http://{own}/token\",service=\"hub\",scope=\"{scope}\"");
            (401, format!("www-authenticate: {challenge}\r\n"), Vec::new())
        }
        _ if path.contains("/manifests/") => (200, String::new(), manifest.to_string().into_bytes()),
        _ => {
            let digest = path.rsplit('/').next().unwrap_or_default();
            (307, format!("location: http://{storage}/{digest}\r\n"), Vec::new())
        }
    });
    let base = format!("[package.metadata.ecr.image]\nbase = \"{host}/library/base:12\"\n");
    let workspace = Workspace::new().service("my-app", &base);
    workspace.file("my-app/binary", static_binary("x86_64", 10));
    let args = ["push", "--create", "--binary", "linux/amd64=my-app/binary"];
    workspace.on(&registry, &args).good();
    assert_eq!(registry.manifest("my-app", "1.0.0")["layers"].as_array().unwrap().len(), 2);

    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked[0], "/v2/library/base/manifests/12 -");
    assert_eq!(asked[1], "/token?service=hub&scope=repository%3Alibrary%2Fbase%3Apull -");
    assert!(asked[2..].iter().all(|it| it.ends_with(" bearer t0ken")), "{asked:#?}");
    let mut fetched = fetched.lock().unwrap().clone();
    fetched.sort();
    assert_eq!(fetched, digests, "each blob once, without the token");
}

/// A layer that may not be distributed stays where its descriptor says, as `docker push` and skopeo leave it there.
#[test]
fn base_layer_that_is_nondistributable_is_not_uploaded() {
    let (layer, registry) = (vec![0; 1024], Registry::start());
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
    });
    let config = config.to_string().into_bytes();
    let digest = Digest::of(&layer);
    let (store, _) = serve(move |_, _, _| (200, String::new(), layer.clone()));
    let url = format!("http://{store}/layer");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::of(&config), "size": config.len()},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar", "digest": digest, "size": 1024, "urls": [url]}],
    });
    let listed = manifest["layers"][0].clone();
    let (host, _) = serve(move |_, path, _| match path {
        _ if path.contains("/manifests/") => (200, String::new(), manifest.to_string().into_bytes()),
        _ if path.ends_with(Digest::of(&config).as_str()) => (200, String::new(), config.clone()),
        _ => (404, String::new(), Vec::new()),
    });
    let base = format!("[package.metadata.ecr.image]\nbase = \"{host}/base:1\"\n");
    let workspace = Workspace::new().service("my-app", &base);
    workspace.file("my-app/binary", static_binary("x86_64", 10));
    let args = ["push", "--create", "--binary", "linux/amd64=my-app/binary", "--format", "json"];
    let pushed = workspace.on(&registry, &args).json_with(0);
    assert_eq!(pushed["images"][0]["skippedBytes"], 1024);
    assert_eq!(registry.manifest("my-app", "1.0.0")["layers"][0], listed);
}
