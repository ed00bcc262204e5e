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
    proxies: Arc<Proxies>,
}

impl ProxyConnector {
    /// The connector with the proxies of the environment, which is read once per process.
    pub(super) fn new(tcp: Tcp) -> Self {
        static OF_ENVIRONMENT: LazyLock<Arc<Proxies>> =
            LazyLock::new(|| Arc::new(Proxies::new(|name| std::env::var(name).ok())));
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
        let proxy = self.proxies.of(&to);
        let mut tcp = self.tcp.clone();
        Box::pin(async move {
            match proxy {
                None => Ok(tcp.call(to).await?),
                Some(proxy) => Ok(tunnel(&proxy, tcp, to).await?),
            }
        })
    }
}

/// The proxy of the environment, and what is connected to directly.
///
/// The variables are read as Go reads them, and with it docker and skopeo (golang.org/x/net, `http/httpproxy`): of the spellings in
/// capitals and without, the first that is not empty counts, and NO_PROXY may have `*.domain` and ports.
struct Proxies {
    matcher: Matcher,
    /// Hosts, with all below them, that are connected to directly at one port.
    direct: Vec<(String, u16)>,
}

impl Proxies {
    fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |name: &str| {
            let spellings = [name.to_owned(), name.to_lowercase()];
            spellings.iter().filter_map(|it| variable(it)).find(|it| !it.is_empty()).unwrap_or_default()
        };
        let no_proxy = first("NO_PROXY");
        let (mut direct, mut rest) = (Vec::new(), Vec::new());
        for entry in no_proxy.split(',').map(str::trim) {
            match entry.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
                Some((host, Ok(port))) if !host.contains(':') || host.starts_with('[') => {
                    let host = host.trim_start_matches("*.").trim_start_matches('.');
                    direct.push((host.to_ascii_lowercase(), port));
                }
                _ => rest.push(entry.strip_prefix('*').filter(|it| it.starts_with('.')).unwrap_or(entry)),
            }
        }
        let builder = Matcher::builder().https(first("HTTPS_PROXY")).all(first("ALL_PROXY"));
        Self { matcher: builder.no(rest.join(",")).build(), direct }
    }

    /// The proxy for a URL. Connections without TLS go to this machine only, and have none.
    fn of(&self, to: &Uri) -> Option<Intercept> {
        let host = to.host().unwrap_or_default().to_ascii_lowercase();
        let port = to.port_u16().unwrap_or(443);
        let is_at = |name: &str| host == name || host.strip_suffix(name).is_some_and(|it| it.ends_with('.'));
        let is_direct = self.direct.iter().any(|(name, at)| *at == port && is_at(name));
        self.matcher.intercept(to).filter(|_| to.scheme_str() == Some("https") && !is_direct)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_go_reads_them() {
        for (variables, url, wanted) in [
            ("", "https://a.corp", false),
            ("HTTPS_PROXY=http://p", "https://a.corp", true),
            ("HTTPS_PROXY=http://p", "http://127.0.0.1:5000", false),
            ("https_proxy=http://p", "https://a.corp", true),
            ("HTTPS_PROXY= https_proxy=http://p", "https://a.corp", true),
            ("ALL_PROXY=http://p", "https://a.corp", true),
            ("HTTPS_PROXY=http://p NO_PROXY=*", "https://a.corp", false),
            ("HTTPS_PROXY=http://p NO_PROXY=a.corp", "https://a.corp:5000", false),
            ("HTTPS_PROXY=http://p NO_PROXY=.corp", "https://a.corp", false),
            ("HTTPS_PROXY=http://p NO_PROXY=*.corp", "https://a.corp:5000", false),
            ("HTTPS_PROXY=http://p NO_PROXY=x,*.b.corp", "https://a.corp", true),
            ("HTTPS_PROXY=http://p NO_PROXY= no_proxy=a.corp", "https://a.corp", false),
            ("HTTPS_PROXY=http://p NO_PROXY=a.corp:5000", "https://a.corp:5000", false),
            ("HTTPS_PROXY=http://p NO_PROXY=a.corp:5000", "https://x.A.corp:5000", false),
            ("HTTPS_PROXY=http://p NO_PROXY=*.corp:443", "https://a.corp", false),
            ("HTTPS_PROXY=http://p NO_PROXY=a.corp:5000", "https://a.corp", true),
            ("HTTPS_PROXY=http://p NO_PROXY=a.corp:5000", "https://ba.corp:5000", true),
            ("HTTPS_PROXY=http://p NO_PROXY=10.0.0.0/8", "https://10.1.2.3", false),
            ("HTTPS_PROXY=http://p NO_PROXY=10.1.2.3:5000", "https://10.1.2.3:5000", false),
            ("HTTPS_PROXY=http://p NO_PROXY=[::1]:5000", "https://[::1]:5000", false),
            ("HTTPS_PROXY=http://p NO_PROXY=::1", "https://[::1]:5000", false),
        ] {
            let pairs: Vec<_> = variables.split_whitespace().filter_map(|it| it.split_once('=')).collect();
            let variable = |name: &str| pairs.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
            let found = Proxies::new(variable).of(&url.parse().unwrap());
            assert_eq!(found.is_some(), wanted, "{variables} {url}");
        }
    }
}
