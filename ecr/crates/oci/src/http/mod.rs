//! The HTTP/1.1 client for registries, base images, token endpoints and, through an adapter of xtask-ecr, the AWS SDK.
//!
//! All requests of a client have its [`Limits`]: a connection must be established within [`Limits::connect`], a request
//! without progress in either direction for [`Limits::idle`] fails, and at most [`Limits::concurrency`] requests wait for
//! their response at the same time. A host that makes no progress with any request for [`Limits::total`] is given up.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ecr_types::url::redacted;
use hyper::Request;
use hyper_util::client::legacy;
use tokio::sync::Semaphore;

mod answer;
mod body;
mod connect;
mod error;
mod hosts;
mod proxy;
mod resolve;
mod retry;

pub use answer::{Answer, OnAnswer};
pub use body::{BoxError, RequestBody, ResponseBody, boxed, empty, file, full, stream};
pub use connect::Trust;
pub use error::{
    HttpError, RetryCause, is_connection_refused, is_permanent, is_proxy, is_throttled, is_tls, is_too_long,
};
pub use retry::Attempts;

use answer::Asked;
use body::{Observed, Progress, Watched};
use connect::Connector;
use ecr_types::error::causes;
use hosts::{Exchange, Hosts};
use retry::{LONGEST_WAIT, is_transient};

/// A response whose body has not been read.
pub type Response = hyper::Response<ResponseBody>;

/// The limits of a client on time and concurrency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The maximum time for establishing a connection. The default is 10 seconds.
    pub connect: Duration,
    /// The maximum time without progress: no data of the request accepted, no response begun, no data of it received. The
    /// default is 60 seconds.
    pub idle: Duration,
    /// The maximum time without progress in all attempts at one request together, and in all requests to one host together; see
    /// [`HttpClient::retry`]. The default is 120 seconds.
    pub total: Duration,
    /// The maximum number of requests that wait for their response at the same time. The default is 32.
    pub concurrency: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(120),
            concurrency: 32,
        }
    }
}

impl Limits {
    /// The default limits with another `total`. The other times are reduced to `total` if they are longer.
    pub fn within(total: Duration) -> Self {
        let default = Self::default();
        Self { connect: default.connect.min(total), idle: default.idle.min(total), total, ..default }
    }

    /// The same limits with another concurrency.
    pub fn with_concurrency(self, concurrency: usize) -> Self {
        Self { concurrency, ..self }
    }
}

type Pool = legacy::Client<Connector, Watched>;

/// An HTTP client with a pool of connections. Clones share the connections and the limit on concurrency.
#[derive(Clone)]
pub struct HttpClient {
    limits: Limits,
    pools: Arc<Pools>,
    slots: Arc<Semaphore>,
    hosts: Arc<Hosts>,
    observer: Option<Observer>,
    on_answer: Option<OnAnswer>,
}

/// A callback that is told for which host a request waits, and why it is repeated, if it is.
pub type OnWait = Arc<dyn Fn(&str, Option<&str>) + Send + Sync>;

/// Who is told of a request without progress.
#[derive(Clone)]
struct Observer {
    /// The time without progress after which `on_wait` is called.
    patience: Duration,
    on_wait: OnWait,
}

/// The time after which an observer is told again.
const REMINDER: Duration = Duration::from_secs(30);

/// The pools of connections, created when they are first needed: reading the system's certificates takes ten milliseconds,
/// and a registry on loopback needs none.
#[derive(Default)]
struct Pools {
    plain: OnceLock<Pool>,
    tls: OnceLock<Pool>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl HttpClient {
    /// A new client. It connects on the first request.
    pub fn new(limits: Limits) -> Self {
        let slots = Arc::new(Semaphore::new(limits.concurrency.clamp(1, Semaphore::MAX_PERMITS)));
        let hosts = Arc::new(Hosts::new(limits.total));
        Self { limits, pools: Arc::default(), slots, hosts, observer: None, on_answer: None }
    }

    /// A client with other limits on time. It shares the limit on concurrency, but not the connections.
    pub fn with_times(&self, connect: Duration, idle: Duration) -> Self {
        let limits = Limits { connect, idle, ..self.limits };
        Self { limits, pools: Arc::default(), ..self.clone() }
    }

    /// A client that calls `on_wait` when a request is without progress for `patience`: no data of it accepted, no response
    /// begun, no data of it received. The same holds for requests that are repeated in vain.
    pub fn with_observer(self, patience: Duration, on_wait: OnWait) -> Self {
        Self { observer: Some(Observer { patience, on_wait }), ..self }
    }

    /// A client that calls `on_answer` for each request that was answered or has failed, repeated ones included.
    pub fn with_log(self, on_answer: OnAnswer) -> Self {
        Self { on_answer: Some(on_answer), ..self }
    }

    /// The limits of this client.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Sends one request, without retries. A response with any status is `Ok`. [`Limits::idle`] also applies to the reading of
    /// its body.
    ///
    /// # Errors
    /// The request is malformed, the connection fails, there was no progress within [`Limits::idle`], or the host is given up.
    pub async fn send(
        &self,
        request: hyper::http::Result<Request<RequestBody>>,
    ) -> Result<Response, HttpError> {
        let (exchange, response) = self.exchanged(request, true).await?;
        if is_transient(response.status()) {
            self.note_failure(exchange.host(), RetryCause::Status(response.status()));
            return Ok(response);
        }
        exchange.progress();
        Ok(response.map(|body| body.counted(exchange)))
    }

    /// Sends a GET request for `url`, as [`HttpClient::send`] does.
    ///
    /// # Errors
    /// Those of [`HttpClient::send`].
    pub async fn get(&self, url: &str) -> Result<Response, HttpError> {
        self.send(Request::get(url).body(empty())).await
    }

    /// The same for a caller who alone knows from the response whether the request has to be repeated, and calls
    /// [`HttpClient::note_progress`] or [`HttpClient::note_failure`].
    ///
    /// # Errors
    /// Those of [`HttpClient::send`].
    pub async fn send_unjudged(
        &self,
        request: hyper::http::Result<Request<RequestBody>>,
    ) -> Result<Response, HttpError> {
        self.exchanged(request, false).await.map(|(_, response)| response)
    }

    /// Notes that `host`, with its port, has answered a request.
    pub fn note_progress(&self, host: &str) {
        self.hosts.progress(host);
    }

    /// Notes that a request to `host` is going to be repeated, and why.
    pub fn note_failure(&self, host: &str, reason: RetryCause) {
        self.hosts.failed(host, reason, self.observer.as_ref());
    }

    /// The time until `host` is given up, if it makes no progress.
    pub fn left(&self, host: &str) -> Duration {
        self.hosts.left(host)
    }

    /// Waits for `future`, which gets `what` without a request of this client, and tells the observer if that takes long.
    pub async fn observed<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        tokio::select! {
            result = future => result,
            never = self.remind(what) => match never {},
        }
    }

    async fn remind(&self, what: &str) -> Infallible {
        let Some(Observer { patience, on_wait }) = &self.observer else {
            return std::future::pending().await;
        };
        tokio::time::sleep(*patience).await;
        loop {
            on_wait(what, None);
            tokio::time::sleep(REMINDER).await;
        }
    }

    /// Sends a request. The data that the connection accepts is progress of the host if `counts`.
    async fn exchanged(
        &self,
        request: hyper::http::Result<Request<RequestBody>>,
        counts: bool,
    ) -> Result<(Exchange, Response), HttpError> {
        let request = request.map_err(HttpError::Request)?;
        let pool = self.pool(Trust::of(request.uri()))?;
        let _slot = self.slots.acquire().await;
        // An endpoint may have a user and a password before the host.
        let host = request.uri().authority().map(|it| redacted(it.as_str())).unwrap_or_default();
        let exchange = self.hosts.begin(&host)?;
        let asked = self.on_answer.as_ref().map(|it| (it, Asked::begin(&request, &host)));
        let idle = self.idle(&host);
        let progress = Progress::begin(counts.then(|| (self.hosts.clone(), host.clone())));
        let request = request.map(|body| Watched::new(body, progress.clone()));
        let response = tokio::select! {
            response = pool.request(request) => response.map_err(HttpError::from),
            () = progress.stalled(idle) => Err(HttpError::without_progress(&progress, idle)),
            never = self.observe(&progress, &host) => match never {},
        };
        if let Some((on_answer, asked)) = asked {
            on_answer(&asked.answered(&response));
        }
        let response = response.inspect_err(|error| self.note_error(&host, error))?;
        let observed = self.observer.clone().map(|observer| Observed { observer, host });
        Ok((exchange, response.map(|body| ResponseBody::new(body, idle, observed))))
    }

    /// [`Limits::idle`], or the time until the host is given up, if that is clearly less.
    fn idle(&self, host: &str) -> Duration {
        let (idle, left) = (self.limits.idle, self.hosts.left(host));
        if left < idle * 9 / 10 { left } else { idle }
    }

    fn note_error(&self, host: &str, error: &HttpError) {
        if !error.is_permanent() {
            let innermost = causes(error).last().map(ToString::to_string);
            self.note_failure(host, RetryCause::NoAnswer(innermost.unwrap_or_default()));
        }
    }

    /// Tells the observer about a request without progress, again and again.
    async fn observe(&self, progress: &Progress, host: &str) -> Infallible {
        let Some(Observer { patience, on_wait }) = &self.observer else {
            return std::future::pending().await;
        };
        loop {
            progress.stalled(*patience).await;
            on_wait(host, self.hosts.reason(host).as_deref());
            tokio::time::sleep(REMINDER).await;
        }
    }

    fn pool(&self, trust: Trust) -> Result<&Pool, HttpError> {
        let pool = match trust {
            Trust::None => &self.pools.plain,
            Trust::System => &self.pools.tls,
        };
        match pool.get() {
            Some(pool) => Ok(pool),
            None => {
                let new = connect::pool(trust, self.limits.connect)?;
                Ok(pool.get_or_init(|| new))
            }
        }
    }
}
