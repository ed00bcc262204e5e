//! What the service answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;

/// The state of the service; clones share it.
#[derive(Debug, Clone)]
pub struct Service {
    commit: Option<Arc<str>>,
    is_draining: Arc<AtomicBool>,
}

impl Service {
    /// A service that is ready. The commit comes from the environment at run time: compiled in, it would change
    /// the image with every commit.
    pub fn new(commit: Option<String>) -> Self {
        let commit = commit.filter(|it| !it.is_empty()).map(Arc::from);
        Self { commit, is_draining: Arc::default() }
    }

    /// From now on `/readyz` says no, so that no new requests are sent here.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }
}

/// `/`, `/healthz` and `/readyz`.
pub fn router(service: Service) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(service)
}

async fn page(State(service): State<Service>) -> Html<String> {
    let commit = service.commit.as_deref().map(|it| format!("<p>Commit {}</p>\n", escape(it)));
    Html(format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>ECR Test</title>\n\
         <h1>ECR Test</h1>\n<p>Version {}</p>\n{}</html>\n",
        env!("CARGO_PKG_VERSION"),
        commit.unwrap_or_default()
    ))
}

async fn ready(State(service): State<Service>) -> (StatusCode, &'static str) {
    match service.is_draining.load(Ordering::Relaxed) {
        false => (StatusCode::OK, "ready\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

/// The environment is no place to trust: what it says is text, not markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_page_names_the_commit_only_if_there_is_one() {
        let page = async |commit: Option<&str>| page(State(Service::new(commit.map(str::to_owned)))).await.0;
        assert!(!page(None).await.contains("Commit"));
        assert!(!page(Some("")).await.contains("Commit"));
        assert!(page(Some("<script>")).await.contains("Commit &lt;script&gt;"));
    }

    #[tokio::test]
    async fn a_service_that_stops_is_not_ready() {
        let service = Service::new(None);
        assert_eq!(ready(State(service.clone())).await.0, StatusCode::OK);
        service.drain();
        assert_eq!(ready(State(service)).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }
}
