//! Endpoints for tests, under `/_control/`.

use std::sync::Arc;

use ecr_types::Timestamp;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request};
use serde_json::Value;

use super::http::{Response, text_response};
use super::shared::Shared;

/// The maximum size of a request in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Answers a request under `/_control/`.
pub async fn response(shared: Arc<Shared>, request: Request<Incoming>) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
    let body = body.map(|it| it.to_bytes()).unwrap_or_default();
    let answered = match (method, path.as_str()) {
        (Method::POST, "/_control/reset") => {
            let reset = tokio::task::spawn_blocking(move || reset(&shared)).await;
            reset.unwrap_or_else(|it| Err((500, it.to_string())))
        }
        (Method::POST, "/_control/clock") => set_clock(&shared, &body),
        _ => Err((404, "the embedded ECR has POST /_control/reset and POST /_control/clock".to_owned())),
    };
    match answered {
        Ok(()) => text_response(204, "text/plain", String::new()),
        Err((status, message)) => text_response(status, "text/plain", format!("{message}\n")),
    }
}

fn reset(shared: &Shared) -> Result<(), (u16, String)> {
    shared.forget();
    shared.store.clear().map_err(|it| (500, format!("{it:#}")))?;
    shared.apply_seed().map_err(|it| (500, format!("{it:#}")))
}

fn set_clock(shared: &Shared, body: &[u8]) -> Result<(), (u16, String)> {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let now = request["now"].as_str().and_then(|it| it.parse::<Timestamp>().ok());
    let Some(now) = now else {
        return Err((400, "the body must be {\"now\": \"2026-01-31T12:00:00Z\"}".to_owned()));
    };
    shared.set_now(now.seconds() as f64);
    Ok(())
}
