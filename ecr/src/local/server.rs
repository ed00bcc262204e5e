//! Accepting connections and telling the planes apart.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::error::ApiError;
use super::faults::{Fault, Faults};
use super::http::{Response, header, json_response, text_response};
use super::lock::Lock;
use super::shared::Shared;
use super::store::Store;
use super::{api, distribution};
use crate::name::RegistryId;

/// The most bytes of a control plane request: a layer part in base64, and some.
const MAX_BODY: usize = 32 * 1024 * 1024;

/// How to start the embedded ECR.
#[derive(Debug, Clone)]
pub struct Options {
    /// The state's folder.
    pub data: PathBuf,
    /// The port on 127.0.0.1; 0 for any free one.
    pub port: u16,
    /// The account that it plays.
    pub account: RegistryId,
    /// The region of requests that name none.
    pub region: String,
    /// Failures to inject.
    pub faults: Vec<Fault>,
    /// Whether to remember every operation, for tests.
    pub keeps_log: bool,
}

/// A running embedded ECR. It ends when it is dropped; nothing that was acknowledged is lost by that.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Opens the state, which nobody else may hold, and listens on 127.0.0.1.
    pub async fn start(options: &Options, lock: Lock) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await;
        let listener = listener.with_context(|| format!("failed to listen on 127.0.0.1:{}", options.port))?;
        let address = listener.local_addr().context("failed to ask for the port")?;
        let store = Store::open(&options.data, lock.into_file())?;
        let faults = Faults::new(&options.faults);
        let (account, region) = (options.account.clone(), options.region.clone());
        let mut shared = Shared::new(store, account, region, address.to_string(), faults);
        if options.keeps_log {
            shared = shared.with_log();
        }
        let shared = Arc::new(shared);
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { address, shared, accepting })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The operations since the last call, in the order in which they came in; empty without `keeps_log`.
    pub fn take_log(&self) -> Vec<String> {
        self.shared.take_log()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with the task that accepts them, so that a server that was dropped holds no state.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream, shared.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(shared, request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    // A client that goes away in the middle of a request is its own affair.
    let _ = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response {
    if !is_loopback(header(&request, "host").unwrap_or_default()) {
        let message = "the embedded ECR answers requests to loopback names only\n";
        return text_response(403, "text/plain", message.to_owned());
    }
    let path = request.uri().path();
    if path == "/v2" || path.starts_with("/v2/") {
        return distribution::answer(shared, request).await;
    }
    if path == "/" && request.method() == Method::POST {
        return control_plane(&shared, request).await;
    }
    text_response(404, "text/plain", "the embedded ECR: POST / is the API, /v2/ is the registry\n".to_owned())
}

/// A web page cannot reach the server under a name that its own DNS points to 127.0.0.1.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "127.0.0.1" | "localhost" | "[::1]") || name.ends_with(".localhost")
}

async fn control_plane(shared: &Shared, request: Request<Incoming>) -> Response {
    let region = signing_region(header(&request, "authorization")).unwrap_or(&shared.region).to_owned();
    let target = header(&request, "x-amz-target").map(str::to_owned);
    let Ok(body) = Limited::new(request.into_body(), MAX_BODY).collect().await else {
        return aws_json(Err(ApiError::new("InvalidParameterException", "the request is too large")));
    };
    let body = body.to_bytes();
    let registry = format!("{}/{region}", shared.account);
    let call = api::Call { shared, registry, region };
    match target.as_deref() {
        Some(target) => match target.strip_prefix("AmazonEC2ContainerRegistry_V20150921.") {
            Some(operation) => aws_json(api::answer(&call, operation, &body)),
            None => aws_json(Err(ApiError::new("UnknownOperationException", format!("no service {target}")))),
        },
        None if is_caller_identity(&body) => text_response(200, "text/xml", api::caller_identity(shared)),
        None => aws_json(Err(ApiError::new("UnknownOperationException", "no X-Amz-Target"))),
    }
}

fn aws_json(answer: Result<serde_json::Value, ApiError>) -> Response {
    let (status, body) = match answer {
        Ok(body) => (200, body),
        Err(error) => (error.status, error.body()),
    };
    let mut response = json_response(status, &body);
    let media_type = hyper::header::HeaderValue::from_static("application/x-amz-json-1.1");
    response.headers_mut().insert("content-type", media_type);
    response
}

/// STS speaks the query protocol: a form, not JSON.
fn is_caller_identity(body: &[u8]) -> bool {
    let body = String::from_utf8_lossy(body);
    body.split('&').any(|it| it == "Action=GetCallerIdentity")
}

/// The region in `Credential=KEY/DATE/REGION/SERVICE/aws4_request` (AWS, "Signature Version 4").
fn signing_region(authorization: Option<&str>) -> Option<&str> {
    let scope = authorization?.split_once("Credential=")?.1;
    scope.split(',').next()?.split('/').nth(2).filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_answered() {
        for host in ["127.0.0.1:4510", "127.0.0.1", "localhost:1", "ecr.localhost:4510", "[::1]:4510"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "evil.example", "evil.example:4510", "127.0.0.1.evil.example", "10.0.0.1:80"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn the_region_is_that_of_the_credential_scope() {
        let header =
            "AWS4-HMAC-SHA256 Credential=AKID/20261123/eu-west-1/ecr/aws4_request, SignedHeaders=host";
        assert_eq!(signing_region(Some(header)), Some("eu-west-1"));
        assert_eq!(signing_region(Some("Basic x")), None);
        assert_eq!(signing_region(None), None);
    }
}
