//! Connections through the proxy that the environment names: HTTPS_PROXY or ALL_PROXY, but not for what NO_PROXY lists.
//!
//! Plain HTTP goes straight: it is spoken with this machine and its neighbours only.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

type BoxError = Box<dyn Error + Send + Sync>;

/// What is said of a proxy that speaks TLS or SOCKS.
pub const UNSUPPORTED: &str = "only proxies at http:// addresses are supported";

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

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let proxy = self.proxies.intercept(&to).filter(|_| to.scheme_str() == Some("https"));
        let mut tcp = self.tcp.clone();
        Box::pin(async move {
            match proxy {
                None => Ok(tcp.call(to).await?),
                Some(proxy) => through(&proxy, tcp, to).await,
            }
        })
    }
}

/// A tunnel (RFC 9110, section 9.3.6: CONNECT).
async fn through(proxy: &Intercept, tcp: HttpConnector, to: Uri) -> Result<TokioIo<TcpStream>, BoxError> {
    let failed = |source: BoxError| {
        let authority = proxy.uri().authority().map(|it| it.as_str()).unwrap_or_default();
        // A name and a password may stand before the host.
        let host = authority.rsplit('@').next().unwrap_or_default().to_owned();
        Box::new(ProxyError { host, source })
    };
    if proxy.uri().scheme_str() != Some("http") {
        return Err(failed(UNSUPPORTED.into()));
    }
    let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
    if let Some(basic) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(basic.clone());
    }
    Ok(tunnel.call(to).await.map_err(|it| failed(it.into()))?)
}

/// What went wrong on the way through a proxy.
#[derive(Debug)]
struct ProxyError {
    host: String,
    source: BoxError,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to get through the proxy {} of the environment", self.host)
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
