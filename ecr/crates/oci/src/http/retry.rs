//! Retries: which failures are retried, and the waits in between.

use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::time::Instant;

use super::{HttpClient, HttpError, Limits, Response};

/// The maximum number of attempts at one request.
const ATTEMPTS: u32 = 8;
/// The wait after the first failure. It doubles after each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The maximum wait, even if the server requests a longer one; but see [`HttpClient::retry`] for the status 429.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The remaining attempts at one request.
#[derive(Debug)]
pub struct Attempts {
    limits: Limits,
    left: u32,
    wait: Duration,
    /// The remaining time without progress.
    budget: Duration,
}

impl HttpClient {
    /// Calls `attempt` until it succeeds or fails permanently, at most 8 times and within [`super::Limits::total`].
    ///
    /// Retried are errors that are not permanent ([`HttpError::is_permanent`]) and responses with the status 408, 429 or 5xx,
    /// except 501 and 507. The wait is that of `Retry-After` (RFC 9110, section 10.2.3), else 250 ms, doubled after each attempt; it
    /// is 10 seconds at most. With the status 429 the number of attempts does not count, and `Retry-After` may ask for all the time
    /// that is left.
    ///
    /// # Errors
    /// The error of the last attempt. A last response with an error status is `Ok`.
    pub async fn retry(
        &self,
        attempt: impl AsyncFn() -> Result<Response, HttpError>,
    ) -> Result<Response, HttpError> {
        let mut attempts = self.attempts();
        let mut last = None;
        loop {
            let began = Instant::now();
            let result = match (attempt().await, last.take()) {
                // What the host said before it was given up says more.
                (Err(HttpError::GivenUp { .. }), Some(last)) => return last,
                (result, _) => result,
            };
            let wait = match &result {
                Ok(response) if response.status() == StatusCode::TOO_MANY_REQUESTS => {
                    attempts.next_turn(retry_after(response), began.elapsed())
                }
                Ok(response) if is_transient(response.status()) => {
                    attempts.next_wait(retry_after(response), began.elapsed())
                }
                Err(error) if !error.is_permanent() => attempts.next_wait(None, began.elapsed()),
                _ => None,
            };
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return result,
            }
            last = Some(result);
        }
    }

    /// Calls `attempt` as [`HttpClient::retry`] does, and reads the body of at most `limit` bytes. If it breaks off, the request
    /// is repeated.
    ///
    /// # Errors
    /// The error of the last attempt. A last response with an error status is `Ok`.
    pub async fn retry_whole(
        &self,
        limit: usize,
        attempt: impl AsyncFn() -> Result<Response, HttpError>,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        let mut attempts = self.attempts();
        loop {
            let began = Instant::now();
            let response = self.retry(&attempt).await?;
            let status = response.status();
            match response.into_body().read(limit).await {
                Ok(body) => return Ok((status, body)),
                Err(error) if attempts.again(&error, began.elapsed()).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The attempts at a request, for callers that do more in an attempt than [`HttpClient::retry`].
    pub fn attempts(&self) -> Attempts {
        Attempts { limits: self.limits, left: ATTEMPTS, wait: FIRST_WAIT, budget: self.limits.total }
    }
}

impl Attempts {
    /// Waits before the next attempt after one that failed and was without progress for so long; `false` if there is none.
    pub async fn again(&mut self, error: &HttpError, idle: Duration) -> bool {
        let wait = if error.is_permanent() { None } else { self.next_wait(None, idle) };
        match wait {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return false,
        }
        true
    }

    /// Makes all attempts available again, after progress. The time without progress still adds up.
    pub fn renew(&mut self) {
        (self.left, self.wait) = (ATTEMPTS, FIRST_WAIT);
    }

    /// The wait before the next attempt; `None` if there is none. An attempt counts for at most `idle` of the budget: an upload
    /// of several minutes whose connection broke made progress until then.
    fn next_wait(&mut self, asked: Option<Duration>, took: Duration) -> Option<Duration> {
        self.left -= 1;
        let wait = asked.unwrap_or(self.wait).min(LONGEST_WAIT);
        self.spend(wait, took).filter(|_| self.left > 0)
    }

    /// The wait for a server that limits the number of requests; `None` if there is no time for it.
    fn next_turn(&mut self, asked: Option<Duration>, took: Duration) -> Option<Duration> {
        self.spend(asked.unwrap_or(self.wait), took)
    }

    fn spend(&mut self, wait: Duration, took: Duration) -> Option<Duration> {
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        self.budget = self.budget.saturating_sub(took.min(self.limits.idle) + wait);
        (!self.budget.is_zero()).then_some(wait)
    }
}

/// `Retry-After`, which is a number of seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(response: &Response) -> Option<Duration> {
    asked_wait(response.headers().get("retry-after")?.to_str().ok()?, SystemTime::now())
}

fn asked_wait(text: &str, now: SystemTime) -> Option<Duration> {
    let seconds = text.trim().parse().map(Duration::from_secs);
    seconds
        .ok()
        .or_else(|| Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()))
}

/// Errors of a server that no other attempt changes: what was asked for is not implemented, or there is no space for it.
fn is_permanent_status(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_IMPLEMENTED | StatusCode::INSUFFICIENT_STORAGE)
}

pub(super) fn is_transient(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || (status.is_server_error() && !is_permanent_status(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        for (text, wanted) in [
            ("60", Some(60)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(asked_wait(text, now), wanted.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn attempts_end_by_their_number_or_by_the_time_without_progress() {
        let client = HttpClient::default();
        let count = |idle: Duration, is_renewed: bool| {
            let mut attempts = client.attempts();
            let again = std::iter::from_fn(|| {
                if is_renewed {
                    attempts.renew();
                }
                attempts.next_wait(None, idle)
            });
            again.take(100).count()
        };
        assert_eq!(count(Duration::ZERO, false), 7);
        assert_eq!(count(Duration::from_secs(60), false), 1);
        // Progress renews the number of attempts, and not the time.
        assert_eq!(count(Duration::ZERO, true), 100);
        assert_eq!(count(Duration::from_secs(60), true), 1);
        // A server that limits requests gets all the time, and no more.
        let mut attempts = client.attempts();
        let turns = std::iter::from_fn(|| attempts.next_turn(None, Duration::ZERO)).count();
        assert!(turns > 10, "{turns}");
        let asked = |seconds| client.attempts().next_turn(Some(Duration::from_secs(seconds)), Duration::ZERO);
        assert_eq!((asked(60), asked(3600)), (Some(Duration::from_secs(60)), None));
        // `Retry-After` is limited.
        assert_eq!(
            client.attempts().next_wait(Some(Duration::from_secs(3600)), Duration::ZERO),
            Some(LONGEST_WAIT)
        );
    }
}
