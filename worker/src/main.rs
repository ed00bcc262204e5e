//! The background service of the monorepo: looks at a URL on an interval and logs what it sees.
//!
//! Environment: `PROBE_URL` (<http://my-app:8080/healthz>), `PROBE_INTERVAL` in seconds (10), `RUST_LOG` (info).

use std::future::Future;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

mod schedule;

use schedule::Schedule;

/// How long one look may take.
const TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
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
    let url = std::env::var("PROBE_URL").unwrap_or_else(|_| "http://my-app:8080/healthz".to_owned());
    let interval = interval(std::env::var("PROBE_INTERVAL").ok().as_deref())?;
    let stop = stop_signal()?;
    let client = client()?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), url, ?interval, "watching");
    tokio::select! {
        () = watch(&client, &url, Schedule::new(interval)) => {}
        () = stop => tracing::info!("stopping"),
    }
    Ok(())
}

fn client() -> Result<reqwest::Client, String> {
    // A second client in one process finds the provider installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(TIMEOUT).build();
    client.map_err(|error| format!("failed to set up the HTTP client: {error}"))
}

/// Looks for ever; a target that fails is looked at less and less often.
async fn watch(client: &reqwest::Client, url: &str, mut schedule: Schedule) {
    loop {
        let is_good = look(client, url).await;
        let wait = schedule.next(is_good);
        tracing::debug!(?wait, "waiting");
        tokio::time::sleep(wait).await;
    }
}

async fn look(client: &reqwest::Client, url: &str) -> bool {
    let began = Instant::now();
    let result = client.get(url).send().await;
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match result {
        Ok(answer) if answer.status().is_success() => {
            tracing::info!(url, status = answer.status().as_u16(), millis, "healthy");
            true
        }
        Ok(answer) => {
            tracing::warn!(url, status = answer.status().as_u16(), millis, "unhealthy");
            false
        }
        Err(error) => {
            tracing::warn!(url, error = %causes(&error), millis, "unreachable");
            false
        }
    }
}

/// An error with what caused it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// SIGTERM is how Kubernetes and docker stop a container; SIGINT is Ctrl-C.
fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    let listen = |kind| signal(kind).map_err(|error| format!("failed to listen for signals: {error}"));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn interval(text: Option<&str>) -> Result<Duration, String> {
    let wrong =
        |text| format!("PROBE_INTERVAL is `{text}`, and an interval is a number of seconds from 1 to 86400");
    match text {
        None => Ok(Duration::from_secs(10)),
        Some(text) => match text.parse() {
            Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
            _ => Err(wrong(text)),
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers each request with the next of `answers`, and then goes away.
    async fn server(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/healthz", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        url
    }

    #[tokio::test]
    async fn a_look_tells_healthy_from_unhealthy_and_unreachable() {
        let url = server(&["200 OK", "503 Service Unavailable"]).await;
        let client = client().unwrap();
        assert!(look(&client, &url).await);
        assert!(!look(&client, &url).await);
        assert!(!look(&client, &url).await);
    }

    #[test]
    fn an_interval_is_a_number_of_seconds() {
        assert_eq!(interval(None), Ok(Duration::from_secs(10)));
        assert_eq!(interval(Some("60")), Ok(Duration::from_secs(60)));
        assert!(interval(Some("0")).is_err());
        assert!(interval(Some("1m")).unwrap_err().contains("`1m`"));
    }
}
