//! The progress of all requests of a client, by host: when to give a host up, and what to tell about a wait.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ecr_types::lock;
use tokio::time::Instant;

use super::{HttpError, LONGEST_WAIT, Observer, REMINDER, RetryCause};

/// The hosts that a client has sent requests to.
pub(super) struct Hosts {
    /// The maximum time without progress.
    total: Duration,
    /// A host without a request for this long is not waited for.
    pause: Duration,
    by_name: Mutex<BTreeMap<String, Host>>,
}

#[derive(Debug)]
struct Host {
    /// The last progress, or the first request after it.
    since: Instant,
    /// The number of requests that have not ended.
    active: usize,
    /// The end of the last request.
    ended: Instant,
    /// Why the last request has to be repeated.
    reason: Option<RetryCause>,
    /// Whether a task looks after this wait, to tell the observer.
    is_watched: bool,
}

/// The waits between attempts are shorter than this.
const PAUSE: Duration = LONGEST_WAIT.saturating_add(Duration::from_secs(5));

/// A request that has not ended.
pub(super) struct Exchange {
    hosts: Arc<Hosts>,
    host: String,
}

impl Hosts {
    pub(super) fn new(total: Duration) -> Self {
        Self { total, pause: PAUSE, by_name: Mutex::default() }
    }

    /// Begins a request.
    ///
    /// # Errors
    /// [`HttpError::GivenUp`] if the host has made no progress for `total`.
    pub(super) fn begin(self: &Arc<Self>, host: &str) -> Result<Exchange, HttpError> {
        let mut hosts = self.hosts();
        let known = hosts.entry(host.to_owned()).or_insert_with(Host::new);
        if !known.is_waited_for(self.pause) {
            known.progress();
        }
        if known.since.elapsed() >= self.total {
            let (host, within, reason) = (host.to_owned(), self.total, known.reason.clone());
            return Err(HttpError::GivenUp { host, within, reason });
        }
        known.active += 1;
        Ok(Exchange { hosts: self.clone(), host: host.to_owned() })
    }

    /// The time until the host is given up, if it makes no progress.
    pub(super) fn left(&self, host: &str) -> Duration {
        let hosts = self.hosts();
        hosts.get(host).map_or(self.total, |it| self.total.saturating_sub(it.since.elapsed()))
    }

    /// Notes that the host made progress.
    pub(super) fn progress(&self, host: &str) {
        self.hosts().entry(host.to_owned()).or_insert_with(Host::new).progress();
    }

    /// Notes that a request failed and is to be repeated, and why. The observer is told if that goes on.
    pub(super) fn failed(self: &Arc<Self>, host: &str, reason: RetryCause, observer: Option<&Observer>) {
        let mut hosts = self.hosts();
        let known = hosts.entry(host.to_owned()).or_insert_with(Host::new);
        known.reason = Some(reason);
        if let (false, Some(observer)) = (known.is_watched, observer) {
            known.is_watched = true;
            let waiting = self.clone().watch(host.to_owned(), known.since, observer.clone());
            drop(tokio::spawn(waiting));
        }
    }

    /// The reason for which requests to the host are repeated.
    pub(super) fn reason(&self, host: &str) -> Option<String> {
        self.hosts().get(host)?.reason.as_ref().map(RetryCause::to_string)
    }

    /// Tells the observer again and again, until the host makes progress or nobody waits for it.
    async fn watch(self: Arc<Self>, host: String, since: Instant, observer: Observer) {
        tokio::time::sleep_until(since + observer.patience).await;
        while let Some(reason) = self.waits_since(&host, since) {
            (observer.on_wait)(&host, reason.as_deref());
            tokio::time::sleep(REMINDER).await;
        }
    }

    /// The reason of a wait that goes on; `None` if it has ended.
    fn waits_since(&self, host: &str, since: Instant) -> Option<Option<String>> {
        let hosts = self.hosts();
        let known = hosts.get(host).filter(|it| it.since == since && it.is_waited_for(self.pause))?;
        Some(known.reason.as_ref().map(RetryCause::to_string))
    }

    fn hosts(&self) -> MutexGuard<'_, BTreeMap<String, Host>> {
        lock(&self.by_name)
    }
}

impl Host {
    fn new() -> Self {
        let now = Instant::now();
        Self { since: now, active: 0, ended: now, reason: None, is_watched: false }
    }

    fn is_waited_for(&self, pause: Duration) -> bool {
        self.active > 0 || self.ended.elapsed() < pause
    }

    fn progress(&mut self) {
        (self.since, self.reason, self.is_watched) = (Instant::now(), None, false);
    }
}

impl Exchange {
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn progress(&self) {
        self.hosts.progress(&self.host);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(known) = self.hosts.hosts().get_mut(&self.host) {
            (known.active, known.ended) = (known.active.saturating_sub(1), Instant::now());
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange {{ {} }}", self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::is_throttled;

    const STEP: Duration = Duration::from_millis(2);

    fn block_on(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn host_without_progress_is_given_up_by_all_requests_together() {
        block_on(async {
            let hosts = Arc::new(Hosts::new(20 * STEP));
            let error = loop {
                match hosts.begin("a") {
                    Ok(exchange) => drop(exchange),
                    Err(error) => break error,
                }
                hosts.failed("a", RetryCause::Throttled, None);
                tokio::time::sleep(STEP).await;
            };
            assert_eq!(error.to_string(), "a made no progress for 40 ms: throttled");
            assert!(error.is_permanent() && is_throttled(&error));
            assert!(hosts.left("a").is_zero());
            // Another host is another matter, and an answer ends the wait.
            assert!(hosts.begin("b").is_ok());
            hosts.progress("a");
            assert!(hosts.begin("a").is_ok());
        });
    }

    #[test]
    fn host_that_nobody_asked_is_not_waited_for() {
        block_on(async {
            let hosts = Arc::new(Hosts { pause: Duration::ZERO, ..Hosts::new(STEP) });
            let exchange = hosts.begin("a").unwrap();
            hosts.failed("a", RetryCause::Throttled, None);
            tokio::time::sleep(2 * STEP).await;
            assert!(hosts.begin("a").is_err());
            drop(exchange);
            // What passes between two requests, such as a build, does not count.
            assert!(hosts.begin("a").is_ok());
        });
    }

    #[test]
    fn observer_is_told_of_attempts_in_vain() {
        block_on(async {
            let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
            let on_wait = Arc::new(move |host: &str, reason: Option<&str>| {
                sender.send(format!("{host}: {}", reason.unwrap_or("no reason"))).unwrap();
            });
            let observer = Observer { patience: STEP, on_wait };
            let hosts = Arc::new(Hosts::new(Duration::from_secs(120)));
            let _exchange = hosts.begin("a").unwrap();
            hosts.failed("a", RetryCause::Throttled, Some(&observer));
            assert_eq!(told.recv().await.unwrap(), "a: throttled");
            hosts.progress("a");
            hosts.failed("a", RetryCause::NoAnswer("refused".to_owned()), Some(&observer));
            // The host answers before the time has passed after which a wait is told.
            hosts.progress("a");
            tokio::time::sleep(5 * STEP).await;
            assert!(told.try_recv().is_err());
        });
    }
}
