//! What was asked of a host, and what became of it, for those who want to see each request.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ecr_types::error::one_line;
use hyper::{Request, StatusCode};

use super::HttpError;

/// A callback for requests that were answered or have failed.
pub type OnAnswer = Arc<dyn Fn(&Answer) + Send + Sync>;

/// A request with its answer. Displayed as `HEAD host/v2/my-app/manifests/1.0.0: 200 in 3 ms`.
///
/// It has neither a query, which may be a signature, nor headers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The method, the host with its port, and the path; or the name of the operation, if the request is one of the AWS JSON
    /// protocol.
    pub asked: String,
    /// The status, or why there is none.
    pub outcome: Result<StatusCode, String>,
    /// The time to the head of the answer.
    pub time: Duration,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Ok(status) => write!(f, "{}: {}", self.asked, status.as_u16())?,
            Err(reason) => write!(f, "{}: {reason}", self.asked)?,
        }
        write!(f, " in {} ms", self.time.as_millis())
    }
}

/// A request that was sent.
pub(super) struct Asked {
    text: String,
    at: Instant,
}

impl Asked {
    /// `host` is that of the request, without a password.
    pub(super) fn begin<B>(request: &Request<B>, host: &str) -> Self {
        // AWS JSON 1.1 protocol (Smithy), "X-Amz-Target": the service and the operation.
        let target = request.headers().get("x-amz-target").and_then(|it| it.to_str().ok());
        let text = match target.and_then(|it| it.rsplit('.').next()) {
            Some(operation) => format!("{operation} {host}"),
            None => format!("{} {host}{}", request.method(), request.uri().path()),
        };
        Self { text, at: Instant::now() }
    }

    pub(super) fn answered<B>(self, response: &Result<hyper::Response<B>, HttpError>) -> Answer {
        let outcome = response.as_ref().map(|it| it.status()).map_err(|it| one_line(it));
        Answer { asked: self.text, outcome, time: self.at.elapsed() }
    }
}
