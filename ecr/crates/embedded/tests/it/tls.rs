//! TLS: `cargo test --features tls`.

use std::sync::Arc;

use ecr_embedded::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The answer to `GET /v2/` over TLS by a client that trusts `tls.pem`.
async fn ask(server: &Server, name: &'static str) -> std::io::Result<String> {
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_file(server.data().join("tls.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let host = server.url().strip_prefix("https://").unwrap().to_owned();
    let stream = tokio::net::TcpStream::connect(&host).await?;
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(ServerName::try_from(name).unwrap(), stream).await?;
    stream
        .write_all(format!("GET /v2/ HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn clients_that_trust_the_certificate_are_answered() {
    let server = Server::builder().tls().start().await.unwrap();
    for name in ["localhost", "127.0.0.1", "111122223333.dkr.ecr.us-east-1.localhost"] {
        let answer = ask(&server, name).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401"), "{name}: {answer}");
        assert!(answer.contains(&format!("Basic realm=\"{}/\"", server.url())), "{name}: {answer}");
    }
    assert!(ask(&server, "example.com").await.is_err());
    // A client without TLS gets no answer, and others still do.
    let mut plain =
        tokio::net::TcpStream::connect(server.url().strip_prefix("https://").unwrap()).await.unwrap();
    plain.write_all(b"GET /v2/ HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    ask(&server, "localhost").await.unwrap();
}
