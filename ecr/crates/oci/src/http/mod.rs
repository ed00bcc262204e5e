//! The one HTTP client: for registries, base images, token endpoints and, through an adapter of the tool, the AWS SDK.
//!
//! Its limits are properties of the client, so that no request can be without them: a connection stands within
//! [`Limits::connect`]; a request that makes no progress for [`Limits::idle`], in whichever direction, ends; and at most
//! [`Limits::concurrency`] requests wait for their answer side by side.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::{Request, Response};
use hyper_util::client::legacy;
use tokio::sync::Semaphore;

mod body;
mod connect;
mod error;
mod proxy;
mod resolve;
mod retry;

pub use body::{AnswerBody, BoxError, RequestBody, boxed, empty, file, full, stream};
pub use connect::Trust;
pub use error::{HttpError, is_connection_refused, is_permanent, is_tls};

use body::{Progress, Watched};
use connect::Connector;

/// An answer whose body was not read yet.
pub type Answer = Response<AnswerBody>;

/// How long a client waits, and for how much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest time until a connection stands.
    pub connect: Duration,
    /// The longest time without progress: no byte of the request taken, no answer begun, no byte of it received.
    pub idle: Duration,
    /// The longest time that is spent on attempts at one request which get nowhere.
    pub total: Duration,
    /// The number of requests that wait for their answer side by side.
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
    /// The limits of a client that gives up after `total` without progress.
    pub fn within(total: Duration) -> Self {
        let default = Self::default();
        Self { connect: default.connect.min(total), idle: default.idle.min(total), total, ..default }
    }

    /// The same with another number of requests side by side.
    pub fn with_concurrency(self, concurrency: usize) -> Self {
        Self { concurrency, ..self }
    }
}

type Pool = legacy::Client<Connector, Watched>;

/// A client that keeps its connections. Clones share connections and the bound on concurrency.
#[derive(Clone)]
pub struct HttpClient {
    limits: Limits,
    pools: Arc<Pools>,
    slots: Arc<Semaphore>,
}

/// Connections of each kind, made when they are first needed: reading the system's certificates takes ten
/// milliseconds, and a registry on loopback needs none.
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
    /// A client without connections yet.
    pub fn new(limits: Limits) -> Self {
        let slots = Arc::new(Semaphore::new(limits.concurrency.clamp(1, Semaphore::MAX_PERMITS)));
        Self { limits, pools: Arc::default(), slots }
    }

    /// A client with other limits on time. It shares the bound on concurrency, but no connections.
    pub fn with_times(&self, connect: Duration, idle: Duration) -> Self {
        let limits = Limits { connect, idle, ..self.limits };
        Self { limits, pools: Arc::default(), slots: self.slots.clone() }
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Makes one attempt. The answer's body has the limit on progress, too.
    ///
    /// # Errors
    /// The request is not valid, there is no connection, or there was no progress for too long.
    pub async fn send(
        &self,
        request: hyper::http::Result<Request<RequestBody>>,
    ) -> Result<Answer, HttpError> {
        let request = request.map_err(HttpError::Request)?;
        let pool = self.pool(Trust::of(request.uri()))?;
        let _slot = self.slots.acquire().await;
        let progress = Progress::begin();
        let request = request.map(|body| Watched::new(body, progress.clone()));
        let idle = self.limits.idle;
        let answer = tokio::select! {
            answer = pool.request(request) => answer?,
            () = progress.stalled(idle) => return Err(HttpError::idle(&progress, idle)),
        };
        Ok(answer.map(|body| AnswerBody::new(body, idle)))
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
