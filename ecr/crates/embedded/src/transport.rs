//! Connections: plain ones, and with the cargo feature `tls` encrypted ones.

use std::io;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection to a client.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How clients connect.
#[derive(Clone)]
pub enum Transport {
    Plain,
    #[cfg(feature = "tls")]
    Tls(tokio_rustls::TlsAcceptor),
}

impl Transport {
    /// TLS with a new certificate for the names of this machine, which is written to `tls.pem` in `folder`. Clients have to
    /// trust this file.
    ///
    /// # Errors
    /// The certificate cannot be made or written.
    #[cfg(feature = "tls")]
    pub fn tls(folder: &Path, region: &ecr_types::Region) -> anyhow::Result<Self> {
        use anyhow::Context;
        use tokio_rustls::rustls::ServerConfig;
        use tokio_rustls::rustls::crypto::ring;
        use tokio_rustls::rustls::pki_types::PrivateKeyDer;

        let names = ["localhost", "*.localhost", "127.0.0.1", &format!("*.dkr.ecr.{region}.localhost")];
        let made = rcgen::generate_simple_self_signed(names.map(str::to_owned));
        let made = made.context("failed to make a certificate")?;
        let path = folder.join("tls.pem");
        std::fs::write(&path, made.cert.pem())
            .with_context(|| format!("failed to write `{}`", path.display()))?;
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        Ok(Self::Tls(std::sync::Arc::new(config).into()))
    }

    #[cfg(not(feature = "tls"))]
    pub fn tls(_: &Path, _: &ecr_types::Region) -> anyhow::Result<Self> {
        unreachable!("`Builder::tls` needs the feature")
    }

    /// Begins a connection.
    ///
    /// # Errors
    /// The client does not use this transport.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Plain => Ok(Box::new(stream)),
            #[cfg(feature = "tls")]
            Self::Tls(acceptor) => Ok(Box::new(acceptor.accept(stream).await?)),
        }
    }
}
