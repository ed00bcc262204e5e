//! DNS resolution with a typed error, so that requests to an unknown host are not retried.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use thiserror::Error;
use tower_service::Service;

/// The name of a host cannot be resolved.
#[derive(Debug, Error)]
#[error("failed to look up the host `{name}`")]
pub(super) struct UnknownHost {
    name: String,
    #[source]
    cause: io::Error,
}

/// The system's resolver.
#[derive(Clone)]
pub(super) struct Resolver(GaiResolver);

impl Resolver {
    pub(super) fn new() -> Self {
        Self(GaiResolver::new())
    }
}

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = UnknownHost;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, UnknownHost>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UnknownHost>> {
        // `getaddrinfo` runs on a separate thread.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, host: Name) -> Self::Future {
        let name = host.as_str().to_owned();
        let addresses = self.0.call(host);
        Box::pin(async move { addresses.await.map_err(|cause| UnknownHost { name, cause }) })
    }
}
