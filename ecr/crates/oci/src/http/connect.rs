//! Connections: TCP with keepalive, and TLS with the system's certificates.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::Uri;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use super::body::Watched;
use super::proxy::ProxyConnector;
use super::resolve::Resolver;
use super::{HttpError, Pool};

/// The certificates that a client trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// No certificates, for plain HTTP.
    None,
    /// The CA certificates of the operating system.
    System,
}

impl Trust {
    /// The certificates that a request to `uri` needs.
    pub(super) fn of(uri: &Uri) -> Self {
        if uri.scheme_str() == Some("http") { Self::None } else { Self::System }
    }
}

pub(super) type Connector = HttpsConnector<ProxyConnector>;

/// The interval between keepalive probes of an idle connection (tcp(7), `TCP_KEEPINTVL`).
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A pool of connections, each of which must be established within `connect`.
pub(super) fn pool(trust: Trust, connect: Duration) -> Result<Pool, HttpError> {
    let mut tcp = HttpConnector::new_with_resolver(Resolver::new());
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.enforce_http(false);
    let config = tls_config(trust).map_err(HttpError::Certificates)?;
    let tls = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
    let connector = tls.wrap_connector(ProxyConnector::new(tcp));
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    Ok(builder.pool_timer(TokioTimer::new()).build::<_, Watched>(connector))
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
compile_error!("one of the features `ring` and `aws-lc-rs` is needed");

#[cfg(feature = "ring")]
use rustls::crypto::ring::default_provider as provider;

#[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
use rustls::crypto::aws_lc_rs::default_provider as provider;

/// The TLS configuration. The system's certificates are read once per process, as this takes ten milliseconds.
fn tls_config(trust: Trust) -> io::Result<ClientConfig> {
    static OF_SYSTEM: OnceLock<ClientConfig> = OnceLock::new();
    if let (Trust::System, Some(config)) = (trust, OF_SYSTEM.get()) {
        return Ok(config.clone());
    }
    let provider = Arc::new(provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?;
    match trust {
        Trust::None => {
            Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
        }
        Trust::System => {
            let config = builder.with_native_roots()?.with_no_client_auth();
            Ok(OF_SYSTEM.get_or_init(|| config).clone())
        }
    }
}
