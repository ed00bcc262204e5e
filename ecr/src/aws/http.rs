//! The adapter through which the SDK uses the HTTP client of `ecr-oci`, so that there is one HTTP stack and one set of
//! limits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient as SdkHttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use ecr_oci::http::{HttpClient, HttpError, Limits, RequestBody, boxed, is_permanent};
use ecr_types::error::causes;
use ecr_types::lock;
use hyper::HeaderMap;
use hyper::header::DATE;

/// The number of bytes of the longest response that is read. 1,000 images with ECR's quota of 1,000 tags each, or 100
/// manifests of usual size, are a few dozen megabytes.
const MAX_RESPONSE: usize = 64 << 20;

/// The HTTP client of the SDK.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    client: HttpClient,
    /// One client per pair of timeouts. The SDK uses few different ones.
    limited: Arc<Mutex<BTreeMap<Times, HttpClient>>>,
}

/// The SDK's timeouts for connecting and for reading a response.
type Times = (Option<Duration>, Option<Duration>);

impl Connections {
    /// An adapter for `client`, whose limit on concurrency applies to the SDK, too.
    pub fn new(client: HttpClient) -> Self {
        Self { client, limited: Arc::default() }
    }

    /// The client, which knows what became of the attempts of the SDK.
    pub fn client(&self) -> &HttpClient {
        &self.client
    }

    /// The limits of the client.
    pub fn limits(&self) -> Limits {
        self.client.limits()
    }

    fn within(&self, (connect, read): Times) -> HttpClient {
        let mut limited = lock(&self.limited);
        let new = || {
            let limits = self.client.limits();
            self.client.with_times(connect.unwrap_or(limits.connect), read.unwrap_or(limits.idle))
        };
        limited.entry((connect, read)).or_insert_with(new).clone()
    }
}

impl SdkHttpClient for Connections {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let client = self.within((settings.connect_timeout(), settings.read_timeout()));
        SharedHttpConnector::new(Connector(client))
    }
}

/// A client with the timeouts of one kind of request.
#[derive(Debug)]
struct Connector(HttpClient);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = match request.try_into_http1x() {
            Ok(request) => request.map(|body: SdkBody| -> RequestBody { boxed(body) }),
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let client = self.0.clone();
        let is_repeated = is_repeated(request.headers());
        HttpConnectorFuture::new(async move {
            let mut response = client.send_unjudged(Ok(request)).await.map_err(failed)?;
            if is_repeated {
                hide_date(response.headers_mut());
            }
            HttpResponse::try_from(response.map(|it| SdkBody::from_body_1_x(it.limited(MAX_RESPONSE))))
                .map_err(|it| ConnectorError::other(it.into(), None))
        })
    }
}

/// The name that [`hide_date`] gives to the header `Date`.
pub(super) const HIDDEN_DATE: &str = "x-xtask-ecr-date";

/// Whether a request is a further attempt (AWS SDKs and Tools Reference Guide, "Retry behavior": `attempt=2; max=20`).
fn is_repeated(headers: &HeaderMap) -> bool {
    let attempt = headers.get("amz-sdk-request").and_then(|it| it.to_str().ok());
    attempt.is_some_and(|it| !it.split(';').any(|it| it.trim() == "attempt=1"))
}

/// Hides the time of a response from the SDK. The SDK corrects its clock by the `Date` of a first response. After that it
/// takes each refusal for one that is due to the clock, missing permissions among them, and would make all its attempts.
fn hide_date(headers: &mut HeaderMap) {
    if let Some(date) = headers.remove(DATE) {
        headers.insert(HIDDEN_DATE, date);
    }
}

/// Classifies an error for the SDK, which decides by its kind whether to retry.
fn failed(error: HttpError) -> ConnectorError {
    let of_hyper = causes(&error).find_map(|it| it.downcast_ref::<hyper::Error>());
    let is_invalid = of_hyper.is_some_and(hyper::Error::is_user);
    let is_not_http = of_hyper.is_some_and(hyper::Error::is_parse);
    match error {
        HttpError::NoResponse(_) | HttpError::NotAccepted(_) => ConnectorError::timeout(error.into()),
        HttpError::Request(_) | HttpError::Certificates(_) => ConnectorError::user(error.into()),
        error if is_invalid => ConnectorError::user(error.into()),
        error if is_not_http || is_permanent(&error) => ConnectorError::other(error.into(), None),
        error => ConnectorError::io(error.into()),
    }
}
