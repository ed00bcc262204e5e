//! Requests, attempts and bodies.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Request, Response, StatusCode};

use super::{Progress, RegistryError};
use crate::http::{Client, Trust, client, is_tls, is_unreachable};

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
/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the answer to a request without a body of our own may take to begin.
const ANSWER: Duration = Duration::from_secs(60);
/// Bytes read from a file at a time.
const CHUNK: usize = 128 * 1024;

/// Plain HTTP for loopback registries, TLS for all others.
#[derive(Debug)]
pub(super) struct Http {
    client: Client<Body>,
    scheme: &'static str,
}

impl Http {
    pub(super) fn new(host: &str) -> io::Result<Self> {
        let (trust, scheme) =
            if is_loopback(host) { (Trust::Nobody, "http") } else { (Trust::System, "https") };
        Ok(Self { client: client(trust, Some(CONNECT))?, scheme })
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
                Err(error) if left == 0 || is_unreachable(&error) || is_tls(&error) => {
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
