//! Connections through the proxy of the environment: HTTPS_PROXY or ALL_PROXY, except for hosts in NO_PROXY.
//!
//! Plain HTTP is never sent through a proxy, as it is used for loopback and local networks only.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{self, Poll};

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tower_service::Service;

use super::body::BoxError;
use super::resolve::Resolver;

type Tcp = HttpConnector<Resolver>;

/// The connection through a proxy failed.
#[derive(Debug, Error)]
#[error("failed to connect through the proxy {host} of the environment")]
pub(super) struct ProxyError {
    host: String,
    #[source]
    cause: ProxyCause,
}

#[derive(Debug, Error)]
enum ProxyCause {
    /// The proxy requires TLS or SOCKS.
    #[error("only proxies at http:// addresses are supported")]
    Unsupported,
    /// The host is followed by something else than a port, so that it may be the beginning of a password.
    #[error("its address is not valid: in a password, write `/`, `?`, `#` and `@` as %2F, %3F, %23 and %40")]
    Malformed,
    /// The proxy rejects the CONNECT request.
    #[error("{0}")]
    Refused(BoxError),
    /// The proxy cannot be reached.
    #[error("{0}")]
    Unreachable(#[source] BoxError),
}

impl ProxyError {
    /// Whether another attempt would fail in the same way.
    pub(super) fn is_permanent(&self) -> bool {
        !matches!(self.cause, ProxyCause::Unreachable(_))
    }
}

impl ProxyCause {
    /// The type of the tunnel's error is private to hyper-util, so the cause is recognized by the beginning of its text.
    fn of_tunnel(error: impl Error + Send + Sync + 'static) -> Self {
        let text = error.to_string();
        let refusals = ["tunnel error: proxy authorization", "tunnel error: unsuccessful"];
        match refusals.iter().any(|it| text.starts_with(it)) {
            true => Self::Refused(error.into()),
            false => Self::Unreachable(error.into()),
        }
    }
}

/// Connects directly or through a proxy.
#[derive(Clone)]
pub(super) struct ProxyConnector {
    tcp: Tcp,
    proxies: Arc<Matcher>,
}

impl ProxyConnector {
    /// The connector with the proxies of the environment, which is read once per process.
    pub(super) fn new(tcp: Tcp) -> Self {
        static OF_ENVIRONMENT: LazyLock<Arc<Matcher>> = LazyLock::new(|| Arc::new(Matcher::from_env()));
        Self { tcp, proxies: OF_ENVIRONMENT.clone() }
    }
}

impl Service<Uri> for ProxyConnector {
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
                Some(proxy) => Ok(tunnel(&proxy, tcp, to).await?),
            }
        })
    }
}

/// Opens a tunnel through the proxy (RFC 9110, section 9.3.6, "CONNECT").
async fn tunnel(proxy: &Intercept, tcp: Tcp, to: Uri) -> Result<TokioIo<TcpStream>, ProxyError> {
    let authority = proxy.uri().authority().map(|it| it.as_str()).unwrap_or_default();
    // The authority may have a user and a password before the host.
    let host = authority.rsplit('@').next().unwrap_or_default();
    let has_port = host.len() > proxy.uri().host().unwrap_or_default().len();
    if has_port && proxy.uri().port_u16().is_none() {
        return Err(ProxyError { host: "***".to_owned(), cause: ProxyCause::Malformed });
    }
    let failed = |cause| ProxyError { host: host.to_owned(), cause };
    if proxy.uri().scheme_str() != Some("http") {
        return Err(failed(ProxyCause::Unsupported));
    }
    let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
    if let Some(basic) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(basic.clone());
    }
    tunnel.call(to).await.map_err(|it| failed(ProxyCause::of_tunnel(it)))
}
