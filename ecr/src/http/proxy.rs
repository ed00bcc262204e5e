//! Connections through the proxy that the environment names: HTTPS_PROXY or ALL_PROXY, but not for what NO_PROXY lists.
//!
//! Plain HTTP goes straight: it is spoken with this machine and its neighbours only.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{self, Poll};

use anyhow::{Context, Result, anyhow};
use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

type BoxError = Box<dyn Error + Send + Sync>;

/// What is said of a proxy that speaks TLS or SOCKS.
const UNSUPPORTED: &str = "only proxies at http:// addresses are supported";
/// How the texts begin of what waiting does not change. The tunnel's errors have no type outside of its crate.
pub const REFUSALS: [&str; 3] =
    ["tunnel error: proxy authorization", "tunnel error: unsuccessful", UNSUPPORTED];

/// Makes connections, straight or through a proxy.
#[derive(Debug, Clone)]
pub struct Connector {
    tcp: HttpConnector,
    proxies: Arc<Matcher>,
}

impl Connector {
    /// The connector with the proxies of the environment.
    pub fn new(tcp: HttpConnector) -> Self {
        static OF_ENVIRONMENT: LazyLock<Arc<Matcher>> = LazyLock::new(|| Arc::new(Matcher::from_env()));
        Self { tcp, proxies: OF_ENVIRONMENT.clone() }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let proxy = self.proxies.intercept(&to).filter(|_| to.scheme_str() == Some("https"));
        let mut tcp = self.tcp.clone();
        Box::pin(async move {
            match proxy {
                None => Ok(tcp.call(to).await?),
                Some(proxy) => Ok(through(&proxy, tcp, to).await?),
            }
        })
    }
}

/// A tunnel (RFC 9110, section 9.3.6: CONNECT).
async fn through(proxy: &Intercept, tcp: HttpConnector, to: Uri) -> Result<TokioIo<TcpStream>> {
    let authority = proxy.uri().authority().map(|it| it.as_str()).unwrap_or_default();
    // A name and a password may stand before the host.
    let host = authority.rsplit('@').next().unwrap_or_default();
    let context = || format!("failed to get through the proxy {host} of the environment");
    if proxy.uri().scheme_str() != Some("http") {
        return Err(anyhow!(UNSUPPORTED)).with_context(context);
    }
    let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
    if let Some(basic) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(basic.clone());
    }
    tunnel.call(to).await.with_context(context)
}
