//! Attempts at a request: which failures are worth another one, and how long to wait before it.

use std::time::Duration;

use hyper::StatusCode;
use tokio::time::Instant;

use super::{Answer, HttpClient, HttpError};

/// The most attempts at one request.
const ATTEMPTS: u32 = 8;
/// The wait after the first failure; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait, also where the server asks for a longer one.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The attempts at one request so far.
#[derive(Debug)]
struct Attempts {
    left: u32,
    wait: Duration,
    /// The time that may still be spent without progress.
    budget: Duration,
    /// The most that one attempt spends without progress.
    idle: Duration,
}

impl HttpClient {
    /// Makes attempts until one ends in a way that waiting does not change, or [`super::Limits::total`] is over.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub async fn retry(
        &self,
        attempt: impl AsyncFn() -> Result<Answer, HttpError>,
    ) -> Result<Answer, HttpError> {
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

    /// How long to wait for the next attempt; `None` where the result of this one counts. An upload that went on for
    /// minutes and then broke off has spent no more than `idle` without progress.
    fn next_wait(&mut self, result: &Result<Answer, HttpError>, took: Duration) -> Option<Duration> {
        let asked = match result {
            Ok(answer) if is_transient(answer.status()) => retry_after(answer),
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
fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds = answer.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn is_transient(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}
