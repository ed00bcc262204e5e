//! Accepting connections and telling the planes apart.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::error::ApiError;
use super::faults::{Fault, Faults, Strikes};
use super::http::{Response, broken, header, json_response, text_response};
use super::lock::Lock;
use super::shared::Shared;
use super::store::Store;
use super::{api, distribution, page, token};
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
    /// Names beside the loopback ones under which it may be reached.
    pub allowed_hosts: Vec<String>,
    /// A file that gets a line of JSON for each request.
    pub request_log: Option<PathBuf>,
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
        shared = shared.with_hosts(options.allowed_hosts.clone());
        if let Some(path) = &options.request_log {
            shared = shared.with_request_log(path)?;
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
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(serve(stream, shared.clone()))),
            // Out of file descriptors, for instance: asking again at once would only burn the processor.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = shared.clone();
        // An error here ends the connection without an answer.
        async move {
            logged(shared, request).await.ok_or(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    // A client that goes away in the middle of a request is its own affair.
    let _ = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// The same, written to the request log.
async fn logged(shared: Arc<Shared>, request: Request<Incoming>) -> Option<Response> {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let operation = header(&request, "x-amz-target").map(str::to_owned);
    let response = answer(shared.clone(), request).await;
    shared.log_request(&serde_json::json!({
        "time": shared.now(),
        "method": method,
        "path": path,
        "target": operation,
        "status": response.as_ref().map(|it| it.status().as_u16()),
    }));
    response
}

/// The answer of one request; `None` for one that a fault leaves without any.
async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Option<Response> {
    let host = header(&request, "host").unwrap_or_default().to_ascii_lowercase();
    if !is_loopback(&host) && !shared.allows_host(&host) {
        let message =
            "the embedded ECR answers requests to loopback names only (see `ecr serve --allow-host`)\n";
        return Some(text_response(403, "text/plain", message.to_owned()));
    }
    // Requests of a page of another origin carry where they come from; no client of a registry does.
    let own = format!("http://{host}");
    if request
        .headers()
        .get_all("origin")
        .iter()
        .any(|it| !it.as_bytes().eq_ignore_ascii_case(own.as_bytes()))
    {
        let message = "the embedded ECR answers no page of another origin\n";
        return Some(text_response(403, "text/plain", message.to_owned()));
    }
    let path = request.uri().path();
    match (request.method(), path) {
        (_, path) if path == "/v2" || path.starts_with("/v2/") => distribution::answer(shared, request).await,
        (&Method::POST, "/") => control_plane(&shared, request).await,
        (&Method::GET | &Method::HEAD, "/") => Some(page::answer(&shared)),
        (&Method::GET | &Method::HEAD, path) if path.starts_with("/download/") => {
            Some(download(&shared, &request))
        }
        _ => {
            let message = "the embedded ECR: POST / is the API, /v2/ is the registry, GET / is a page\n";
            Some(text_response(404, "text/plain", message.to_owned()))
        }
    }
}

/// A blob at the URL that `GetDownloadUrlForLayer` gave.
fn download(shared: &Shared, request: &Request<Incoming>) -> Response {
    let (path, method) = (request.uri().path(), request.method());
    let store = shared.store();
    let found = token::check_path(store.secret(), path, shared.now() as u64);
    let blob = found.and_then(|(registry, name, digest)| {
        let size = *store.model().repository(&registry, &name)?.layers.get(&digest)?;
        Some((store.blob_path(&digest), digest, size))
    });
    let refused = |status, text: &str| text_response(status, "text/plain", format!("{text}\n"));
    match blob {
        Some((path, digest, size)) => {
            distribution::send(&path, &digest, size, method, header(request, "range"))
                .unwrap_or_else(|it| refused(it.status, &it.message))
        }
        None => refused(403, "this URL is not signed by this registry, has expired, or its layer is gone"),
    }
}

/// A web page cannot reach the server under a name that its own DNS points to 127.0.0.1.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "127.0.0.1" | "localhost" | "[::1]") || name.ends_with(".localhost")
}

async fn control_plane(shared: &Shared, request: Request<Incoming>) -> Option<Response> {
    let region = signing_region(header(&request, "authorization")).unwrap_or(&shared.region).to_owned();
    let target = header(&request, "x-amz-target").map(str::to_owned);
    let Ok(body) = Limited::new(request.into_body(), MAX_BODY).collect().await else {
        return Some(aws_json(Err(ApiError::new("InvalidParameterException", "the request is too large"))));
    };
    let body = body.to_bytes();
    let operation = match target.as_deref() {
        Some(target) => target.strip_prefix("AmazonEC2ContainerRegistry_V20150921."),
        None => is_caller_identity(&body).then_some("GetCallerIdentity"),
    };
    let Some(operation) = operation else {
        let message = format!("no operation {}", target.as_deref().unwrap_or("is named by X-Amz-Target"));
        return Some(aws_json(Err(ApiError::new("UnknownOperationException", message))));
    };
    shared.log(operation);
    let strikes = shared.faults.strike(operation);
    strikes.wait().await;
    let registry = format!("{}/{region}", shared.account);
    let call = api::Call { shared, registry, region };
    let response = match struck(strikes) {
        Some(error) if operation == "GetCallerIdentity" => query_error(&error),
        Some(error) => aws_json(Err(error)),
        None if operation == "GetCallerIdentity" => {
            text_response(200, "text/xml", api::caller_identity(shared))
        }
        None => aws_json(api::answer(&call, operation, &body)),
    };
    Some(if strikes.drop { broken(response) } else { response })
}

/// An error of STS, in the XML of the query protocol.
fn query_error(error: &ApiError) -> Response {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{}</Code>\
         <Message>{}</Message></Error><RequestId>embedded</RequestId></ErrorResponse>",
        error.code.trim_end_matches("Exception"),
        error.message
    );
    text_response(error.status, "text/xml", body)
}

/// The error that faults want instead of an answer.
fn struck(strikes: Strikes) -> Option<ApiError> {
    if strikes.error {
        Some(ApiError::internal(&"a fault was asked for"))
    } else if strikes.throttle {
        Some(ApiError::new("ThrottlingException", "Rate exceeded"))
    } else if strikes.expire {
        Some(ApiError::new("ExpiredTokenException", "The security token included in the request is expired"))
    } else {
        None
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
    let is_region = |it: &&str| it.parse::<crate::metadata::Region>().is_ok();
    scope.split(',').next()?.split('/').nth(2).filter(is_region)
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
