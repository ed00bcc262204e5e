//! Retries: which failures are retried, and the waits in between.

use std::time::Duration;

use hyper::StatusCode;
use tokio::time::Instant;

use super::{HttpClient, HttpError, Response};

/// The maximum number of attempts at one request.
const ATTEMPTS: u32 = 8;
/// The wait after the first failure. It doubles after each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The maximum wait, even if the server requests a longer one.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The remaining attempts at one request.
#[derive(Debug)]
struct Attempts {
    left: u32,
    wait: Duration,
    /// The remaining time without progress.
    budget: Duration,
    /// The maximum time without progress in one attempt.
    idle: Duration,
}

impl HttpClient {
    /// Calls `attempt` until it succeeds or fails permanently, at most 8 times and within [`super::Limits::total`].
    ///
    /// Retried are errors that are not permanent ([`HttpError::is_permanent`]) and responses with the status 408, 429 or 5xx,
    /// except 501. The wait is that of `Retry-After` in seconds (RFC 9110, section 10.2.3), else 250 ms, doubled after each
    /// attempt; it is 10 seconds at most.
    ///
    /// # Errors
    /// The error of the last attempt. A last response with an error status is `Ok`.
    pub async fn retry(
        &self,
        attempt: impl AsyncFn() -> Result<Response, HttpError>,
    ) -> Result<Response, HttpError> {
        let mut attempts = Attempts::new(self.limits.total, self.limits.idle);
        loop {
            let began = Instant::now();
            let result = attempt().await;
            match attempts.next_wait(&result, began.elapsed()) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return result,
            }
        }
    }
}

impl Attempts {
    fn new(budget: Duration, idle: Duration) -> Self {
        Self { left: ATTEMPTS, wait: FIRST_WAIT, budget, idle }
    }

    /// The wait before the next attempt; `None` if the result of this one is final. An attempt counts for at most `idle` of
    /// the budget: an upload of several minutes whose connection broke made progress until then.
    fn next_wait(&mut self, result: &Result<Response, HttpError>, took: Duration) -> Option<Duration> {
        let asked = match result {
            Ok(response) if is_transient(response.status()) => retry_after(response),
            Err(error) if !error.is_permanent() => None,
            _ => return None,
        };
        self.left -= 1;
        let wait = asked.unwrap_or(self.wait).min(LONGEST_WAIT);
        self.wait *= 2;
        self.budget = self.budget.saturating_sub(took.min(self.idle) + wait);
        (self.left > 0 && !self.budget.is_zero()).then_some(wait)
    }
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3).
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn is_transient(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}
