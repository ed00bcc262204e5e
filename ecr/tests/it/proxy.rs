//! Proxies in the environment: `HTTPS_PROXY` and `NO_PROXY`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{self, Receiver};

use expect_test::expect;

use crate::support::{Output, Registry, Workspace};

/// Starts a proxy that gives every request the same answer. Returns its host and its log of requests.
fn refusing(answer: &'static str) -> (String, Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (asked, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let _ = asked.send(lines.take_while(|it| !it.is_empty()).collect());
            let _ = stream.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes());
        }
    });
    (host, requests)
}

fn plan(proxy: &str, endpoint: &str, not_for: &str) -> Output {
    let workspace = Workspace::example().metadata("region = \"us-east-1\"\n");
    let command = workspace.command(&["ecr", "plan"]).env("AWS_ENDPOINT_URL", endpoint);
    command.env("HTTPS_PROXY", proxy).env("NO_PROXY", not_for).run()
}

#[test]
fn proxy_refusal_is_reported_without_its_password() {
    let (host, requests) = refusing("407 Proxy Authentication Required");
    let output = plan(&format!("http://me:secret@{host}"), "https://aws.invalid", "");
    expect![[r#"
        --- stderr
        error: failed to identify the AWS account

        Caused by:
          sts:GetCallerIdentity: failed to connect through the proxy 127.0.0.1:[PORT] of the environment: tunnel error: proxy authorization required

        help: check the proxy that HTTPS_PROXY or ALL_PROXY names (http://NAME:PASSWORD@HOST:PORT), or list the host in NO_PROXY
        --- exit 1
    "#]].assert_eq(&output.shown());
    let asked = requests.recv().unwrap();
    assert_eq!(asked[0], "CONNECT aws.invalid:443 HTTP/1.1");
    // `me:secret` in base64 (RFC 7617).
    assert!(
        asked.iter().any(|it| it.eq_ignore_ascii_case("proxy-authorization: Basic bWU6c2VjcmV0")),
        "{asked:?}"
    );
}

#[test]
fn proxy_of_another_kind_is_refused() {
    let output = plan("socks5://127.0.0.1:9", "https://aws.invalid", "");
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("only proxies at http:// addresses are supported"), "{}", output.stderr);
}

#[test]
fn proxy_is_not_used_for_plain_http_or_no_proxy() {
    let registry = Registry::start();
    assert_eq!(plan("http://127.0.0.1:9", &registry.url(), "").code, 0);
    let output = plan("http://127.0.0.1:9", "https://127.0.0.1:9", "127.0.0.1");
    assert!(!output.stderr.contains("proxy"), "{}", output.stderr);
}
