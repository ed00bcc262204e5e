//! Connections, for the edges that speak HTTP: TLS with the system's certificates, or plain.

use std::error::Error;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::body::Body;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use crate::error::{causes, is_refused};

mod proxy;
use proxy::Connector;

/// A client that keeps its connections.
pub type Client<B> = legacy::Client<HttpsConnector<Connector>, B>;

/// Whose certificates are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Nobody's: for plain HTTP, where no time need be spent on reading certificates.
    Nobody,
    /// Those that the system trusts.
    System,
}

/// A client that gives up on a connection after a while.
///
/// # Errors
/// The system's certificates cannot be read.
pub fn client<B>(trust: Trust, connect_timeout: Option<Duration>) -> io::Result<Client<B>>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(connect_timeout);
    tcp.enforce_http(false);
    let tls = HttpsConnectorBuilder::new().with_tls_config(tls_config(trust)?);
    let connector = tls.https_or_http().enable_http1().wrap_connector(Connector::new(tcp));
    Ok(legacy::Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector))
}

/// Whether nobody listens at an address, a name leads nowhere, or a proxy does not let us through: waiting does not change it.
/// For most of that the connectors have no type, only a text.
pub fn is_unreachable(error: &(dyn Error + 'static)) -> bool {
    let is_told =
        |text: String| text.starts_with("dns error") || proxy::REFUSALS.iter().any(|it| text.starts_with(it));
    is_refused(error) || causes(error).any(|it| is_told(it.to_string()))
}

/// Whether the two could not agree on TLS, such as for want of trust. Waiting does not change it.
pub fn is_tls(error: &(dyn Error + 'static)) -> bool {
    // An `io::Error` passes its payload over where it is asked for its source, and here one holds another.
    let below = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(payload) => Some(payload as &(dyn Error + 'static)),
        None => error.source(),
    };
    error.is::<rustls::Error>() || below.is_some_and(is_tls)
}

/// Certificates are read once: it takes ten milliseconds.
fn tls_config(trust: Trust) -> io::Result<ClientConfig> {
    static OF_SYSTEM: OnceLock<ClientConfig> = OnceLock::new();
    if let (Trust::System, Some(config)) = (trust, OF_SYSTEM.get()) {
        return Ok(config.clone());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?;
    match trust {
        Trust::Nobody => {
            Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
        }
        Trust::System => {
            let config = builder.with_native_roots()?.with_no_client_auth();
            Ok(OF_SYSTEM.get_or_init(|| config).clone())
        }
    }
}
