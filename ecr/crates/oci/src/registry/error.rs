//! Errors of requests to a registry, with the registry's own code and message.

use ecr_types::InvalidManifest;
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use serde::Deserialize;
use thiserror::Error;

use super::location::BadLocation;
use crate::http::{BoxError, HttpError, Response};

/// A failed request to a registry. It displays the intention, such as `failed to push ...`; its source is the cause: the
/// registry's error, or the reason for which there is no response.
#[derive(Debug, Error)]
#[error("failed to {action}")]
pub struct RegistryError {
    action: String,
    #[source]
    cause: Cause,
}

/// The cause of a failure.
#[derive(Debug, Error)]
pub(super) enum Cause {
    /// An error of the registry (OCI distribution specification, "Error Codes").
    #[error("{}", response_text(*.status, .code.as_deref(), .message.as_deref()))]
    Response {
        /// The HTTP status.
        status: StatusCode,
        /// The error code, such as `MANIFEST_UNKNOWN`.
        code: Option<String>,
        /// The error message.
        message: Option<String>,
    },
    /// There is no response, or an incomplete one.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The response is not one that the specification allows for the request.
    #[error("unexpected response: {0}")]
    Unexpected(String),
    /// The registry names an address to which the request is not sent.
    #[error("the registry returned status {status}, but {reason}")]
    Location {
        /// The HTTP status.
        status: StatusCode,
        /// What is wrong with the address.
        reason: BadLocation,
    },
    /// The registry's host cannot be part of a URL.
    #[error(transparent)]
    Url(url::ParseError),
    /// The manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    /// The request is not sent, because it would tell a secret.
    #[error("{0}")]
    Refused(String),
    /// The registry requires credentials, and there are none.
    #[error("the registry requires credentials, and there are none for it")]
    NoCredentials,
    /// The credentials could not be renewed.
    #[error(transparent)]
    Credentials(BoxError),
    /// A local file cannot be read or written.
    #[error("{0}")]
    File(#[source] std::io::Error),
}

/// The kind of a failure, for callers that handle some kinds differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryErrorKind {
    /// The tag exists and is immutable.
    ImmutableTag,
    /// A permission is missing (status 403).
    Denied,
    /// The credentials are missing or not valid (status 401).
    Unauthorized,
    /// There is no such repository, manifest or blob (status 404).
    NotFound,
    /// The registry limits the rate of requests (status 429).
    RateLimited,
    /// The server's certificate is not trusted, or there is no common TLS version.
    Tls,
    /// The proxy of the environment cannot be reached, or refuses the connection.
    Proxy,
    /// Anything else.
    Other,
}

#[derive(Deserialize)]
struct Body {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    code: Option<String>,
    message: Option<String>,
}

/// The maximum size of an error response in bytes.
const MAX_ERROR: usize = 64 * 1024;

impl RegistryError {
    pub(super) fn new(action: &str, cause: impl Into<Cause>) -> Self {
        Self { action: action.to_owned(), cause: cause.into() }
    }

    /// The error of a response with an error status, or with one that the specification does not allow for the request.
    pub(super) async fn of(action: &str, response: Response) -> Self {
        let status = response.status();
        if status.is_success() {
            let kind = response.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
            let kind = kind.unwrap_or("no content type");
            return Self::unexpected(action, format!("HTTP status {status} ({kind})"));
        }
        let text = response.into_body().read(MAX_ERROR).await.unwrap_or_default();
        Self::of_body(action, status, &text)
    }

    /// The error of a response with an error status, whose body was read.
    pub(super) fn of_body(action: &str, status: StatusCode, body: &[u8]) -> Self {
        let body: Option<Body> = serde_json::from_slice(body).ok();
        let entry = body.and_then(|it| it.errors.into_iter().next());
        let (code, message) = entry.map(|it| (it.code, it.message)).unwrap_or_default();
        Self::new(action, Cause::Response { status, code, message: message.filter(|it| !it.is_empty()) })
    }

    /// The error for a response that the specification does not allow for the request.
    pub(super) fn unexpected(action: &str, reason: impl Into<String>) -> Self {
        Self::new(action, Cause::Unexpected(reason.into()))
    }

    /// The kind of failure.
    pub fn kind(&self) -> RegistryErrorKind {
        match &self.cause {
            Cause::NoCredentials => RegistryErrorKind::Unauthorized,
            Cause::Http(error) if crate::http::is_proxy(error) => RegistryErrorKind::Proxy,
            Cause::Http(error) if crate::http::is_tls(error) => RegistryErrorKind::Tls,
            Cause::Http(error) if crate::http::is_throttled(error) => RegistryErrorKind::RateLimited,
            // ECR has changed its message for immutable tags before, but not the code.
            Cause::Response { code: Some(code), message: Some(message), .. }
                if code == "TAG_INVALID" && message.contains("immutable") =>
            {
                RegistryErrorKind::ImmutableTag
            }
            Cause::Response { status, .. } => match *status {
                StatusCode::UNAUTHORIZED => RegistryErrorKind::Unauthorized,
                StatusCode::FORBIDDEN => RegistryErrorKind::Denied,
                StatusCode::NOT_FOUND => RegistryErrorKind::NotFound,
                StatusCode::TOO_MANY_REQUESTS => RegistryErrorKind::RateLimited,
                _ => RegistryErrorKind::Other,
            },
            _ => RegistryErrorKind::Other,
        }
    }
}

fn response_text(status: StatusCode, code: Option<&str>, message: Option<&str>) -> String {
    let said = message.map_or_else(|| format!("HTTP status {status}"), str::to_owned);
    code.map_or(said.clone(), |code| format!("{code}: {said}"))
}
