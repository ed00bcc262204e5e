//! Credentials that are renewed during a push, when they are about to expire or are rejected.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use crate::http::BoxError;

/// An `Authorization` header and the time for which it is valid.
#[derive(Clone)]
pub struct Authorization {
    /// The value of the header `Authorization`, such as `Basic QVdTOi4uLg==`.
    pub header: String,
    /// The time for which it is valid from now; `None` if that is unknown.
    pub lifetime: Option<Duration>,
}

/// Requests a new authorization, such as with `GetAuthorizationToken`.
pub type Renew = Arc<dyn Fn() -> BoxFuture<'static, Result<Authorization, BoxError>> + Send + Sync>;

/// The credentials of a registry, in memory only.
pub(super) struct Credentials {
    renew: Renew,
    state: Mutex<TokenState>,
}

#[derive(Default)]
struct TokenState {
    header: String,
    /// The time at which the authorization is to be renewed.
    end: Option<Instant>,
    /// The time of the last renewal because of a rejection.
    refused: Option<Instant>,
}

/// An authorization is renewed this long before it expires, so that it stays valid during a long upload.
const MARGIN: Duration = Duration::from_secs(15 * 60);
/// An authorization that is rejected within this time after its renewal is rejected for another reason than its age.
const SOON: Duration = Duration::from_secs(30);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    pub(super) fn new(first: Authorization, renew: Renew) -> Self {
        let mut state = TokenState::default();
        state.set(first);
        Self { renew, state: Mutex::new(state) }
    }

    /// A valid authorization, renewed if it is about to expire.
    pub(super) async fn get(&self) -> Result<String, BoxError> {
        let mut state = self.state.lock().await;
        match state.end.is_none_or(|end| Instant::now() < end) {
            true => Ok(state.header.clone()),
            false => self.fresh(&mut state).await,
        }
    }

    /// An authorization other than `refused`; `None` if a new one was rejected, too.
    pub(super) async fn instead_of(&self, refused: &str) -> Result<Option<String>, BoxError> {
        let mut state = self.state.lock().await;
        if state.header != refused {
            // Another rejected request has renewed it already.
            return Ok(Some(state.header.clone()));
        }
        if state.refused.is_some_and(|it| it.elapsed() < SOON) {
            return Ok(None);
        }
        state.refused = Some(Instant::now());
        self.fresh(&mut state).await.map(Some)
    }

    async fn fresh(&self, state: &mut TokenState) -> Result<String, BoxError> {
        state.set((self.renew)().await?);
        Ok(state.header.clone())
    }
}

impl TokenState {
    fn set(&mut self, authorization: Authorization) {
        let Authorization { header, lifetime } = authorization;
        self.end = lifetime.map(|it| Instant::now() + it - MARGIN.min(it / 2));
        self.header = header;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn counting(lifetime: Option<Duration>) -> Credentials {
        let count = Arc::new(AtomicU32::new(1));
        let first = Authorization { header: "0".to_owned(), lifetime };
        let renew: Renew = Arc::new(move || {
            let header = count.fetch_add(1, Ordering::Relaxed).to_string();
            Box::pin(async move { Ok(Authorization { header, lifetime }) })
        });
        Credentials::new(first, renew)
    }

    #[tokio::test]
    async fn credentials_are_renewed_once_after_a_rejection() {
        let credentials = counting(None);
        assert_eq!(credentials.get().await.unwrap(), "0");
        assert_eq!(credentials.get().await.unwrap(), "0");
        assert_eq!(credentials.instead_of("0").await.unwrap().as_deref(), Some("1"));
        // A request that was sent with the old authorization.
        assert_eq!(credentials.instead_of("0").await.unwrap().as_deref(), Some("1"));
        assert_eq!(credentials.instead_of("1").await.unwrap(), None);
    }

    #[tokio::test]
    async fn credentials_are_renewed_before_they_expire() {
        assert_eq!(counting(Some(Duration::from_secs(12 * 3600))).get().await.unwrap(), "0");
        let ending = counting(Some(Duration::ZERO));
        assert_eq!([ending.get().await.unwrap(), ending.get().await.unwrap()], ["1", "2"]);
    }
}
