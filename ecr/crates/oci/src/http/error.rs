//! Why a request got no answer.

use std::error::Error;
use std::io;
use std::time::Duration;

use ecr_types::error::causes;
use ecr_types::human;
use thiserror::Error;

use super::body::Progress;
use super::proxy::ProxyError;
use super::resolve::UnknownHost;

/// A request without an answer, or an answer without its end.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The request cannot be sent as it is.
    #[error("the request is not valid")]
    Request(#[source] hyper::http::Error),
    /// The system's certificates cannot be read.
    #[error("failed to read the system's certificates")]
    Certificates(#[source] io::Error),
    /// There is no connection, or it broke.
    #[error(transparent)]
    Connection(#[from] hyper_util::client::legacy::Error),
    /// The request was sent, and nothing came back.
    #[error("no answer within {}", human::duration(*.0))]
    NoAnswer(Duration),
    /// The server does not take the request: it does not accept the connection, or stops reading.
    #[error("the server takes nothing of the request for {}", human::duration(*.0))]
    NotTaken(Duration),
    /// The answer's body broke off.
    #[error("the answer broke off")]
    Body(#[source] hyper::Error),
    /// The answer's body stopped coming.
    #[error("the answer stopped for {}", human::duration(*.0))]
    BodyIdle(Duration),
    /// The answer's body is longer than any such answer may be, in bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// A file that is sent cannot be read.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The server answers, but not what such a request is answered with.
    #[error("{0}")]
    Unexpected(String),
}

impl HttpError {
    pub(super) fn idle(progress: &Progress, idle: Duration) -> Self {
        if progress.is_sent() { Self::NoAnswer(idle) } else { Self::NotTaken(idle) }
    }

    /// Whether another attempt would end the same way.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Request(_) | Self::Certificates(_) | Self::TooLong(_) | Self::File(_) => true,
            Self::Connection(error) => is_permanent(error),
            Self::NoAnswer(_) | Self::NotTaken(_) | Self::Body(_) | Self::BodyIdle(_) => false,
            Self::Unexpected(_) => false,
        }
    }
}

/// Whether waiting does not change an error of a connection: nobody listens there, the name is unknown, a proxy does not
/// let us through, or the two do not agree on TLS.
pub fn is_permanent(error: &(dyn Error + 'static)) -> bool {
    let is_told = |it: &(dyn Error + 'static)| {
        it.is::<UnknownHost>() || it.downcast_ref::<ProxyError>().is_some_and(ProxyError::is_permanent)
    };
    is_connection_refused(error) || is_tls(error) || causes(error).any(is_told)
}

/// Whether a connection was refused, somewhere down the chain of causes: nobody listens at that address.
pub fn is_connection_refused(error: &(dyn Error + 'static)) -> bool {
    let mut io_errors = causes(error).filter_map(|it| it.downcast_ref::<io::Error>());
    io_errors.any(|it| it.kind() == io::ErrorKind::ConnectionRefused)
}

/// Whether the two could not agree on TLS, such as for want of trust.
pub fn is_tls(error: &(dyn Error + 'static)) -> bool {
    // `io::Error::source` skips the error that it holds, and here one holds another.
    let below = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(payload) => Some(payload as &(dyn Error + 'static)),
        None => error.source(),
    };
    error.is::<rustls::Error>() || below.is_some_and(is_tls)
}
