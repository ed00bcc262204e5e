//! The web service of the monorepo: one page, and the probes that Kubernetes asks for.
//!
//! Environment: `PORT` (8080), `RUST_LOG` (info), `GIT_COMMIT` (shown on the page if it is set).

use std::future::Future;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

mod web;

use web::Service;

/// What open requests get after SIGTERM; Kubernetes kills after 30 seconds, impatient operators sooner.
const GRACE: Duration = Duration::from_millis(1500);

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let port = port(std::env::var("PORT").ok().as_deref())?;
    let stop = stop_signal()?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await;
    let listener = listener.map_err(|error| format!("failed to listen on port {port}: {error}"))?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), port, "listening");
    serve(listener, Service::new(std::env::var("GIT_COMMIT").ok()), stop).await
}

/// Serves until `stop`, then finishes what is under way.
async fn serve(
    listener: TcpListener,
    service: Service,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), String> {
    let (stopping, mut stopped) = tokio::sync::watch::channel(());
    let drained = service.clone();
    let shutdown = async move {
        stop.await;
        drained.drain();
        tracing::info!("stopping");
        drop(stopping);
    };
    let serving = axum::serve(listener, web::router(service)).with_graceful_shutdown(shutdown);
    let patience = async {
        // The channel closes when the stop has come.
        while stopped.changed().await.is_ok() {}
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        result = serving => result.map_err(|error| format!("failed to serve: {error}")),
        () = patience => Ok(()),
    }
}

/// SIGTERM is how Kubernetes and docker stop a container; SIGINT is Ctrl-C.
fn stop_signal() -> Result<impl Future<Output = ()> + Send, String> {
    let listen = |kind| signal(kind).map_err(|error| format!("failed to listen for signals: {error}"));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn port(text: Option<&str>) -> Result<u16, String> {
    match text {
        None => Ok(8080),
        Some(text) => {
            text.parse().map_err(|_| format!("PORT is `{text}`, and a port is a number from 0 to 65535"))
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;

    /// Sends one request to a running service and returns the whole answer.
    async fn get(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn bound() -> (TcpListener, std::net::SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn the_service_answers_and_stops_when_it_is_told() {
        let (listener, address) = bound().await;
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let serving = tokio::spawn(serve(listener, Service::new(Some("abc123".into())), stopped));
        let page = get(address, "/").await;
        assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
        assert!(page.contains("<h1>ECR Test</h1>") && page.contains(env!("CARGO_PKG_VERSION")), "{page}");
        assert!(page.contains("abc123"), "{page}");
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200 OK"));
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200 OK"));
        assert!(get(address, "/nothing").await.starts_with("HTTP/1.1 404"));
        stop.send(()).unwrap();
        assert_eq!(serving.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_hold_the_service_up() {
        let (listener, address) = bound().await;
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let serving = tokio::spawn(serve(listener, Service::new(None), stopped));
        let _idle = TcpStream::connect(address).await.unwrap();
        stop.send(()).unwrap();
        assert_eq!(serving.await.unwrap(), Ok(()));
    }

    #[test]
    fn a_port_is_a_number() {
        assert_eq!(port(None), Ok(8080));
        assert_eq!(port(Some("9000")), Ok(9000));
        assert_eq!(port(Some("http")).unwrap_err(), "PORT is `http`, and a port is a number from 0 to 65535");
    }
}
