//! Errors of requests that have no complete response.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use ecr_types::error::causes;
use ecr_types::human;
use hyper::StatusCode;
use thiserror::Error;

use super::body::Progress;
use super::proxy::ProxyError;
use super::resolve::UnknownHost;

/// The reason for which a request has no response, or an incomplete one. A response with an error status is not an
/// `HttpError`.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The request is malformed, such as its URL.
    #[error("the request is not valid")]
    Request(#[source] hyper::http::Error),
    /// The CA certificates of the system cannot be read.
    #[error("failed to read the system's certificates")]
    Certificates(#[source] io::Error),
    /// The connection cannot be established, or it broke.
    #[error(transparent)]
    Connection(#[from] hyper_util::client::legacy::Error),
    /// The request was sent, and no response arrived within this time.
    #[error("no response within {}", human::duration(*.0))]
    NoResponse(Duration),
    /// The server has not accepted data of the request for this time: it did not accept the connection, or stopped reading.
    #[error("the server accepted no data of the request for {}", human::duration(*.0))]
    NotAccepted(Duration),
    /// The connection broke before the end of the response's body.
    #[error("the response ended early")]
    Body(#[source] hyper::Error),
    /// No data of the response's body arrived within this time.
    #[error("the response stalled for {}", human::duration(*.0))]
    BodyIdle(Duration),
    /// The response's body is longer than this limit in bytes.
    #[error("the response is longer than {0} bytes")]
    TooLong(usize),
    /// No request to the host made progress for this time, so that it is not asked again.
    #[error("{host} made no progress for {}{}", human::duration(*.within), because(.reason.as_ref()))]
    GivenUp {
        /// The host, with its port.
        host: String,
        /// The time without progress.
        within: Duration,
        /// Why the last request failed.
        reason: Option<RetryCause>,
    },
    /// A file that is to be sent cannot be read.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The response is not one that the protocol allows for the request; why. Another attempt may succeed.
    #[error("{0}")]
    Unexpected(String),
    /// The same, where no other attempt would succeed.
    #[error("{0}")]
    Invalid(String),
}

impl HttpError {
    pub(super) fn without_progress(progress: &Progress, idle: Duration) -> Self {
        if progress.is_sent() { Self::NoResponse(idle) } else { Self::NotAccepted(idle) }
    }

    /// The time without progress that is the error; `None` for an error of another kind.
    pub fn idle(&self) -> Option<Duration> {
        match self {
            Self::NoResponse(idle) | Self::NotAccepted(idle) | Self::BodyIdle(idle) => Some(*idle),
            _ => None,
        }
    }

    /// Whether another attempt would fail in the same way.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Request(_) | Self::Certificates(_) | Self::TooLong(_) | Self::File(_) => true,
            Self::Invalid(_) | Self::GivenUp { .. } => true,
            Self::Connection(error) => is_permanent(error),
            Self::NoResponse(_) | Self::NotAccepted(_) | Self::Body(_) | Self::BodyIdle(_) => false,
            Self::Unexpected(_) => false,
        }
    }
}

/// Why a request has to be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryCause {
    /// The server limits the rate of requests, and says so in its error.
    Throttled,
    /// The server answered with this status.
    Status(StatusCode),
    /// The request failed without an answer: the innermost cause.
    NoAnswer(String),
}

impl fmt::Display for RetryCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throttled => f.write_str("throttled"),
            Self::Status(status) => write!(f, "HTTP status {status}"),
            Self::NoAnswer(cause) => f.write_str(cause),
        }
    }
}

/// Whether a host was given up that limits the rate of requests.
pub fn is_throttled(error: &(dyn Error + 'static)) -> bool {
    let throttles = |it: &RetryCause| {
        matches!(it, RetryCause::Throttled | RetryCause::Status(StatusCode::TOO_MANY_REQUESTS))
    };
    causes(error).any(|it| match it.downcast_ref() {
        Some(HttpError::GivenUp { reason, .. }) => reason.as_ref().is_some_and(throttles),
        _ => false,
    })
}

fn because(reason: Option<&RetryCause>) -> String {
    reason.map(|it| format!(": {it}")).unwrap_or_default()
}

/// Whether another attempt to connect would fail in the same way: the connection was refused, the host name is unknown, a
/// proxy rejects the request, the TLS handshake failed, or the host is given up.
pub fn is_permanent(error: &(dyn Error + 'static)) -> bool {
    let is_named = |it: &(dyn Error + 'static)| {
        let is_given_up = matches!(it.downcast_ref(), Some(HttpError::GivenUp { .. }));
        is_given_up
            || it.is::<UnknownHost>()
            || it.downcast_ref::<ProxyError>().is_some_and(ProxyError::is_permanent)
    };
    is_connection_refused(error) || is_tls(error) || causes(error).any(is_named)
}

/// Whether an error in the chain of sources is that of the proxy of the environment.
pub fn is_proxy(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|it| it.is::<ProxyError>())
}

/// Whether an error in the chain of sources is a refused connection: no process listens at that address.
pub fn is_connection_refused(error: &(dyn Error + 'static)) -> bool {
    let mut io_errors = causes(error).filter_map(|it| it.downcast_ref::<io::Error>());
    io_errors.any(|it| it.kind() == io::ErrorKind::ConnectionRefused)
}

/// Whether an error in the chain of sources is a response that is longer than the limit.
pub fn is_too_long(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|it| matches!(it.downcast_ref(), Some(HttpError::TooLong(_))))
}

/// Whether an error in the chain of sources is one of TLS, such as an untrusted certificate.
pub fn is_tls(error: &(dyn Error + 'static)) -> bool {
    // `io::Error::source` skips the error that it wraps, and here an `io::Error` wraps another one.
    let below = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(payload) => Some(payload as &(dyn Error + 'static)),
        None => error.source(),
    };
    error.is::<rustls::Error>() || below.is_some_and(is_tls)
}
