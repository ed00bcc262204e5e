//! Requests, attempts and bodies.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::{Progress, RegistryError};
use crate::error::{causes, is_refused};

/// A request's body.
pub(super) type Body = BoxBody<Bytes, io::Error>;
/// An answer whose body was not read yet.
pub(super) type Answer = Response<Incoming>;

/// How often a request is made at most.
const ATTEMPTS: u32 = 8;
/// The wait after the first failure; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait, also where the registry asks for a longer one.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How long the answer to a request without a body of our own may take to begin.
const ANSWER: Duration = Duration::from_secs(60);
/// Bytes read from a file at a time.
const CHUNK: usize = 128 * 1024;

/// Plain HTTP for loopback registries, TLS for all others.
#[derive(Debug)]
pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    scheme: &'static str,
}

impl Http {
    pub(super) fn new(host: &str) -> io::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(10)));
        connector.enforce_http(false);
        let tls = hyper_rustls::HttpsConnectorBuilder::new();
        let (connector, scheme) = match is_loopback(host) {
            // Nothing to trust, and no time spent on reading the system's certificates.
            true => (
                tls.with_tls_config(no_trust()?).https_or_http().enable_http1().wrap_connector(connector),
                "http",
            ),
            false => {
                (tls.with_native_roots()?.https_only().enable_http1().wrap_connector(connector), "https")
            }
        };
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), scheme })
    }

    pub(super) fn url(&self, host: &str, path: &str) -> String {
        format!("{}://{host}{path}", self.scheme)
    }

    /// One attempt that has no body to send, and so no reason to last.
    pub(super) async fn ask(&self, request: hyper::http::Result<Request<Body>>) -> io::Result<Answer> {
        let timeout = || io::Error::new(io::ErrorKind::TimedOut, "no answer within a minute");
        tokio::time::timeout(ANSWER, self.send(request)).await.map_err(|_| timeout())?
    }

    /// One attempt.
    pub(super) async fn send(&self, request: hyper::http::Result<Request<Body>>) -> io::Result<Answer> {
        let request = request.map_err(io::Error::other)?;
        self.client.request(request).await.map_err(io::Error::other)
    }

    /// Attempts, until one is answered by something that waiting does not change.
    pub(super) async fn retry(
        &self,
        what: &str,
        attempt: impl AsyncFn() -> io::Result<Answer>,
    ) -> Result<Answer, RegistryError> {
        let mut wait = FIRST_WAIT;
        for left in (0..ATTEMPTS).rev() {
            let asked = match attempt().await {
                Ok(answer) if left == 0 || !is_transient(answer.status()) => return Ok(answer),
                Err(error) if left == 0 || is_refused(&error) || is_unknown_host(&error) => {
                    return Err(RegistryError::transport(what, &error));
                }
                Ok(answer) => retry_after(&answer),
                Err(_) => None,
            };
            tokio::time::sleep(asked.unwrap_or(wait).min(LONGEST_WAIT)).await;
            wait *= 2;
        }
        Err(RegistryError::unexpected(what, "no attempt was made"))
    }
}

/// Whether a host's name leads nowhere. The connector says so in words only.
fn is_unknown_host(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|it| it.to_string().starts_with("dns error"))
}

/// A TLS configuration that trusts nobody.
fn no_trust() -> io::Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let roots = rustls::RootCertStore::empty();
    Ok(versions.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth())
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3).
fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds = answer.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn is_transient(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

/// Whether `host` (perhaps with a port) is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    name == "localhost" || name.ends_with(".localhost") || address.is_ok_and(|it| it.is_loopback())
}

pub(super) fn empty() -> Body {
    Empty::new().map_err(|it| match it {}).boxed()
}

pub(super) fn full(bytes: Vec<u8>) -> Body {
    Full::new(Bytes::from(bytes)).map_err(|it| match it {}).boxed()
}

/// A body that is read while it is sent, so that memory does not grow with it.
pub(super) fn file_body(file: File, progress: Progress) -> Body {
    let chunks = futures_util::stream::unfold(Some((file, progress)), |state| async {
        let (mut file, progress) = state?;
        let mut buffer = vec![0; CHUNK];
        match file.read(&mut buffer) {
            Ok(0) => None,
            Ok(n) => {
                buffer.truncate(n);
                progress(n as u64);
                Some((Ok(Frame::data(Bytes::from(buffer))), Some((file, progress))))
            }
            Err(error) => Some((Err(error), None)),
        }
    });
    BodyExt::boxed(StreamBody::new(chunks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_plain_http() {
        for host in ["127.0.0.1:4510", "127.1.2.3", "localhost:1", "ecr.localhost", "[::1]:80"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["123456789012.dkr.ecr.us-east-1.amazonaws.com", "10.0.0.1:5000", "localhost.example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
