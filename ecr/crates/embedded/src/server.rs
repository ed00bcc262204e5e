//! Connections, and the routing of requests to the control plane, the data plane and the page.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ecr_types::{Digest, Region, RegistryId, Timestamp, host};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::builder::{Builder, Folder, StartError};
use super::error::ApiError;
use super::faults::InjectedFaults;
use super::http::{Response, broken, header, json_response, text_response, with_header};
use super::model::RegistryKey;
use super::shared::Shared;
use super::store::Queries;
use super::sts::Caller;
use super::transport::Transport;
use super::{api, control, distribution, page, sts, token};

/// The maximum size of a control plane request in bytes. The largest one has a layer part in base64.
const MAX_BODY: usize = 32 * 1024 * 1024;

/// The maximum time until a connection has begun.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A running server. It stops when it is dropped. All changes that were acknowledged are on disk by then.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
    folder: Folder,
}

impl Server {
    /// Starts a server on any free port, with an empty state in a temporary folder that is removed with the server.
    ///
    /// # Errors
    /// The temporary folder cannot be created, or there is no free port.
    pub async fn ephemeral() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// The configuration of a server, to be started with [`Builder::start`].
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn new(listener: TcpListener, transport: Transport, shared: Shared, folder: Folder) -> Self {
        let shared = Arc::new(shared);
        let accepting = tokio::spawn(accept(listener, transport, shared.clone()));
        let purging = tokio::spawn(purge(shared.clone()));
        Self { shared, tasks: [accepting, purging], folder }
    }

    /// The URL of the server: `http://127.0.0.1:PORT`, or `https://` with TLS. It is the endpoint for AWS SDKs, and the part
    /// after `//` is the host of the registry in image references.
    pub fn url(&self) -> String {
        self.shared.url_of(&self.shared.host)
    }

    /// The folder of the state. Scan findings can be provided in it, as `scans/HEX.json` for the digest `sha256:HEX`.
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// Sets the server's time, which goes on from there.
    pub fn set_now(&self, now: Timestamp) {
        self.shared.set_now(now.seconds() as f64);
    }

    /// Removes all repositories, images, settings and findings, and applies the seed again. Passwords stay valid.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn reset(&self) -> Result<(), StartError> {
        self.shared.forget();
        self.shared.store.clear()?;
        Ok(self.shared.apply_seed()?)
    }

    /// Returns the operations since the last call, such as `PutImage`, in the order of the requests. A request of the data plane
    /// is recorded as the operation whose permission ECR requires for it. Empty without [`Builder::keep_operations`].
    pub fn take_operations(&self) -> Vec<String> {
        self.shared.take_operations()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Removes the rows of repositories that were deleted, some at a time, so that no request waits long.
async fn purge(shared: Arc<Shared>) {
    loop {
        let purged = shared.clone();
        let has_more = tokio::task::spawn_blocking(move || purged.store.purge()).await;
        // What cannot be removed now, such as for want of space, is removed after the next deletion or start.
        if !matches!(has_more, Ok(Ok(true))) {
            shared.has_deleted.notified().await;
        }
    }
}

async fn accept(listener: TcpListener, transport: Transport, shared: Arc<Shared>) {
    // Connections end with the task that accepts them, so that a dropped server releases its state.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(serve(stream, transport.clone(), shared.clone()))),
            // Such as out of file descriptors. An immediate retry would fail again and use the CPU.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, transport: Transport, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, transport.accept(stream)).await else { return };
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = shared.clone();
        // An error here closes the connection without a response.
        async move {
            logged(shared, request).await.ok_or(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    // Errors are those of clients that disconnect during a request, and are ignored.
    let _ = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// Answers a request and writes it to the request log.
async fn logged(shared: Arc<Shared>, request: Request<Incoming>) -> Option<Response> {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let operation = header(&request, "x-amz-target").map(str::to_owned);
    // The SDKs read the first name, and the AWS CLI prints it.
    let id = Uuid::new_v4().to_string();
    let response = response(shared.clone(), request).await.map(|it| with_header(it, "x-amzn-requestid", &id));
    shared.log_request(&serde_json::json!({
        "time": shared.now(),
        "method": method,
        "path": path,
        "target": operation,
        "status": response.as_ref().map(|it| it.status().as_u16()),
        "requestId": id,
    }));
    response
}

/// Answers a request; `None` if an injected fault drops the connection.
async fn response(shared: Arc<Shared>, request: Request<Incoming>) -> Option<Response> {
    // Prevents DNS rebinding: a web page under a name that resolves to 127.0.0.1 cannot use the server.
    let host = header(&request, "host").unwrap_or_default().to_ascii_lowercase();
    if !host::is_loopback(&host) && !shared.allows_host(&host) {
        let message =
            "the embedded ECR answers requests to loopback names only (see `ecr serve --allow-host`)\n";
        return Some(text_response(403, "text/plain", message.to_owned()));
    }
    // Browsers send `Origin` with requests of web pages (RFC 6454, section 7). Clients of registries do not send it.
    let own = shared.url_of(&host);
    if request
        .headers()
        .get_all("origin")
        .iter()
        .any(|it| !it.as_bytes().eq_ignore_ascii_case(own.as_bytes()))
    {
        let message = "the embedded ECR rejects requests from web pages of other origins\n";
        return Some(text_response(403, "text/plain", message.to_owned()));
    }
    let path = request.uri().path();
    match (request.method(), path) {
        (_, path) if path == "/v2" || path.starts_with("/v2/") => {
            distribution::response(shared, request).await
        }
        (_, path) if shared.settings.has_control && path.starts_with("/_control/") => {
            Some(control::response(shared, request).await)
        }
        (&Method::POST, "/") => control_plane(&shared, request).await,
        (&Method::GET | &Method::HEAD, "/") => {
            let query = request.uri().query().map(str::to_owned);
            // It evaluates policies.
            let page = tokio::task::spawn_blocking(move || page::response(&shared, query.as_deref()));
            page.await.ok()
        }
        (&Method::GET | &Method::HEAD, path) if path.starts_with("/download/") => {
            Some(download(&shared, &request))
        }
        _ => {
            let message = "the embedded ECR: POST / is the API, /v2/ is the registry, GET / is a page\n";
            Some(text_response(404, "text/plain", message.to_owned()))
        }
    }
}

/// Answers a request to a URL from `GetDownloadUrlForLayer`.
fn download(shared: &Shared, request: &Request<Incoming>) -> Response {
    let (path, method) = (request.uri().path(), request.method());
    // As S3 does (open-policy-agent/opa#6580, oras-project/oras-java#334).
    if header(request, "authorization").is_some() {
        let message = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query \
                       string parameter or the Authorization header should be specified";
        let error = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InvalidArgument</Code><Message>{message}</Message></Error>"
        );
        return text_response(400, "application/xml", error);
    }
    let refused = |status, text: &str| text_response(status, "text/plain", format!("{text}\n"));
    let blob = match downloaded(shared, path) {
        Ok(blob) => blob,
        Err(error) => return refused(500, &format!("{error:#}")),
    };
    match blob {
        Some((path, digest, size)) => {
            distribution::send(&path, &digest, size, method, header(request, "range"))
                .unwrap_or_else(|it| refused(it.status, &it.message))
        }
        None => refused(
            403,
            "this URL is not signed by this registry, has expired, or its layer has been deleted",
        ),
    }
}

/// The file, the digest and the size of the blob of a signed path.
fn downloaded(shared: &Shared, path: &str) -> anyhow::Result<Option<(PathBuf, Digest, u64)>> {
    let signed = token::check_path(shared.store.secret(), path, shared.now() as u64);
    let Some((registry, name, digest)) = signed else { return Ok(None) };
    let rows = shared.store.read()?;
    let Some(repository) = rows.repository(&registry, &name)? else { return Ok(None) };
    let layer = rows.layer(repository.id, &digest)?;
    Ok(layer.map(|it| (shared.store.blobs().path(&digest), digest, it.size)))
}

async fn control_plane(shared: &Arc<Shared>, request: Request<Incoming>) -> Option<Response> {
    let region = signing_region(header(&request, "authorization"));
    let region = region.unwrap_or_else(|| shared.settings.region.clone());
    let caller = caller(shared, header(&request, "authorization"), header(&request, "x-amz-security-token"));
    let target = header(&request, "x-amz-target").map(str::to_owned);
    let Ok(body) = Limited::new(request.into_body(), MAX_BODY).collect().await else {
        return Some(aws_json(Err(ApiError::new("InvalidParameterException", "the request is too large"))));
    };
    let body = body.to_bytes();
    if let (None, Some(operation)) = (&target, sts::operation(&body)) {
        return Some(query_protocol(shared, &operation, &body, caller).await);
    }
    let operation = target.as_deref().and_then(|it| it.strip_prefix("AmazonEC2ContainerRegistry_V20150921."));
    let Some(operation) = operation else {
        let message = format!("no operation {}", target.as_deref().unwrap_or("is named by X-Amz-Target"));
        return Some(aws_json(Err(ApiError::new("UnknownOperationException", message))));
    };
    shared.note_operation(operation);
    let injected = shared.faults.inject(operation);
    injected.wait().await;
    let result = match (injected_error(injected), caller) {
        (Some(error), _) | (None, Err(error)) => Err(error),
        (None, Ok(caller)) => {
            let registry = RegistryKey { account: caller.account().clone(), region };
            let (shared, operation) = (shared.clone(), operation.to_owned());
            // Requests wait for each other's changes, and some read much.
            let answered = tokio::task::spawn_blocking(move || {
                api::response(&api::Call { shared: &shared, registry, caller }, &operation, &body)
            });
            answered.await.unwrap_or_else(|it| Err(ApiError::internal(&it)))
        }
    };
    let response = aws_json(result);
    Some(if injected.drop { broken(response) } else { response })
}

/// Answers a request to STS.
async fn query_protocol(
    shared: &Shared,
    operation: &str,
    body: &[u8],
    caller: Result<Caller, ApiError>,
) -> Response {
    let injected = if sts::OPERATIONS.contains(&operation) {
        shared.note_operation(operation);
        shared.faults.inject(operation)
    } else {
        InjectedFaults::default()
    };
    injected.wait().await;
    let result = match (injected_error(injected), caller) {
        (Some(error), _) | (None, Err(error)) => Err(sts::common_error(error)),
        // No policy can deny this operation.
        (None, Ok(caller)) if operation == "GetCallerIdentity" => {
            sts::response(shared, operation, body, &caller)
        }
        (None, Ok(caller)) if shared.faults.denies(operation) => Err(sts::denial(operation, body, &caller)),
        (None, Ok(caller)) => sts::response(shared, operation, body, &caller),
    };
    let response = match result {
        Ok(xml) => text_response(200, "text/xml", xml),
        Err(error) => text_response(error.status, "text/xml", sts::error_xml(&error)),
    };
    if injected.drop { broken(response) } else { response }
}

/// The caller of a request, by its session token, else by its access key.
fn caller(
    shared: &Shared,
    authorization: Option<&str>,
    session_token: Option<&str>,
) -> Result<Caller, ApiError> {
    let now = shared.now() as u64;
    let key_id = credential_scope(authorization).and_then(|mut it| it.next());
    let account = key_id.and_then(|it| account_of_key(shared, it));
    let account = account.unwrap_or_else(|| shared.settings.account.clone());
    Caller::new(shared.store.secret(), &account, session_token, now)
}

/// The account of an access key ID: the one that was configured for it, or itself if it is an account. Those of AWS have at
/// least 16 characters.
fn account_of_key(shared: &Shared, key_id: &str) -> Option<RegistryId> {
    shared.settings.accounts.get(key_id).cloned().or_else(|| key_id.parse().ok())
}

/// The error response for injected faults.
fn injected_error(injected: InjectedFaults) -> Option<ApiError> {
    if injected.error {
        Some(ApiError::internal(&"injected fault"))
    } else if injected.throttle {
        Some(ApiError::new("ThrottlingException", "Rate exceeded"))
    } else if injected.expire {
        Some(ApiError::new("ExpiredTokenException", "The security token included in the request is expired"))
    } else {
        None
    }
}

fn aws_json(response: Result<serde_json::Value, ApiError>) -> Response {
    let (status, body) = match response {
        Ok(body) => (200, body),
        Err(error) => (error.status, error.body()),
    };
    let mut response = json_response(status, &body);
    let media_type = hyper::header::HeaderValue::from_static("application/x-amz-json-1.1");
    response.headers_mut().insert("content-type", media_type);
    response
}

/// The region in `Credential=KEY/DATE/REGION/SERVICE/aws4_request` (AWS, "Signature Version 4").
fn signing_region(authorization: Option<&str>) -> Option<Region> {
    credential_scope(authorization)?.nth(2)?.parse().ok()
}

/// The parts of `Credential`: the access key ID, the date, the region, the service.
fn credential_scope(authorization: Option<&str>) -> Option<impl Iterator<Item = &str>> {
    let scope = authorization?.split_once("Credential=")?.1;
    Some(scope.split(',').next()?.split('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_region_is_that_of_the_credential_scope() {
        let header =
            "AWS4-HMAC-SHA256 Credential=AKID/20261123/eu-west-1/ecr/aws4_request, SignedHeaders=host";
        assert_eq!(signing_region(Some(header)), "eu-west-1".parse().ok());
        assert_eq!(signing_region(Some("Basic x")), None);
        assert_eq!(signing_region(None), None);
    }
}
