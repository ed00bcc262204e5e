//! Accepting connections and telling the planes apart.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ecr_types::{Region, host};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::builder::{Builder, Folder, StartError};
use super::error::ApiError;
use super::faults::InjectedFaults;
use super::http::{Response, broken, header, json_response, text_response};
use super::model::RegistryKey;
use super::shared::Shared;
use super::{api, distribution, page, token};

/// The most bytes of a control plane request: a layer part in base64, and some.
const MAX_BODY: usize = 32 * 1024 * 1024;

/// A running embedded ECR. It ends when it is dropped; nothing that was acknowledged is lost by that.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
    folder: Folder,
}

impl Server {
    /// A server on any free port whose state ends with it.
    ///
    /// # Errors
    /// There is no temporary folder, or no port.
    pub async fn ephemeral() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// The settings of a server, to be started with [`Builder::start`].
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn new(address: SocketAddr, listener: TcpListener, shared: Shared, folder: Folder) -> Self {
        let shared = Arc::new(shared);
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, accepting, folder }
    }

    /// `http://127.0.0.1:PORT`: the endpoint for AWS SDKs, and the registry's host after the scheme.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder of the state.
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// The operations since the last call, in the order in which they came in, such as `PutImage`. Empty without
    /// [`Builder::keep_operations`].
    pub fn take_operations(&self) -> Vec<String> {
        self.shared.take_operations()
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
    // A web page cannot reach the server under a name that its own DNS points to 127.0.0.1.
    let host = header(&request, "host").unwrap_or_default().to_ascii_lowercase();
    if !host::is_loopback(&host) && !shared.allows_host(&host) {
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
        Some((store.blobs().path(&digest), digest, size))
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

async fn control_plane(shared: &Shared, request: Request<Incoming>) -> Option<Response> {
    let region = signing_region(header(&request, "authorization"));
    let region = region.unwrap_or_else(|| shared.settings.region.clone());
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
    shared.note_operation(operation);
    let injected = shared.faults.inject(operation);
    injected.wait().await;
    let registry = RegistryKey { account: shared.settings.account.clone(), region };
    let call = api::Call { shared, registry };
    let response = match injected_error(injected) {
        Some(error) if operation == "GetCallerIdentity" => query_error(&error),
        Some(error) => aws_json(Err(error)),
        None if operation == "GetCallerIdentity" => {
            text_response(200, "text/xml", api::caller_identity(shared))
        }
        None => aws_json(api::answer(&call, operation, &body)),
    };
    Some(if injected.drop { broken(response) } else { response })
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

/// The error that injected faults put in place of an answer.
fn injected_error(injected: InjectedFaults) -> Option<ApiError> {
    if injected.error {
        Some(ApiError::internal(&"a fault was asked for"))
    } else if injected.throttle {
        Some(ApiError::new("ThrottlingException", "Rate exceeded"))
    } else if injected.expire {
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
fn signing_region(authorization: Option<&str>) -> Option<Region> {
    let scope = authorization?.split_once("Credential=")?.1;
    scope.split(',').next()?.split('/').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_is_that_of_the_credential_scope() {
        let header =
            "AWS4-HMAC-SHA256 Credential=AKID/20261123/eu-west-1/ecr/aws4_request, SignedHeaders=host";
        assert_eq!(signing_region(Some(header)), "eu-west-1".parse().ok());
        assert_eq!(signing_region(Some("Basic x")), None);
        assert_eq!(signing_region(None), None);
    }
}
