//! How long the SDK repeats a request: a retry classifier for errors that it would retry in vain, and the end of retries
//! where an operation or a host gets nowhere.

use std::time::Duration;

use aws_sdk_ecr::config::interceptors::{
    BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
    FinalizerInterceptorContextRef,
};
use aws_sdk_ecr::config::retry::{ClassifyRetry, RetryAction, RetryConfig};
use aws_sdk_ecr::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{RetryClassifierPriority, RetryReason};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use aws_smithy_types::retry::ErrorKind;
use ecr_oci::http::{HttpClient, RetryCause, is_permanent, is_too_long};
use ecr_types::error::causes;
use ecr_types::url::redacted;
use hyper::StatusCode;
use tokio::time::Instant;

/// The longest wait between two attempts.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Does not retry a connection that is refused or a host that cannot be resolved: the endpoint is wrong or its server
/// is not running, and retries would delay that message for minutes. A response that is too long stays so.
#[derive(Debug)]
pub(super) struct RefusedConnection;

impl ClassifyRetry for RefusedConnection {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(Result::err);
        let is_refused = error.and_then(|it| it.as_connector_error()).is_some_and(|it| is_permanent(it));
        let is_too_long = error.is_some_and(|it| is_too_long(it));
        match is_refused || is_too_long {
            true => RetryAction::RetryForbidden,
            false => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "refused connection"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

/// Tells the HTTP client what became of each attempt, and ends the attempts at an operation in time.
///
/// The SDK limits an operation by a timeout as well, but the error is then that timeout, and the reason is lost.
#[derive(Debug)]
pub(super) struct Patience(pub HttpClient);

/// The time at which an operation began.
#[derive(Debug, Clone, Copy)]
struct Began(Instant);

impl Storable for Began {
    type Storer = StoreReplace<Self>;
}

/// The host to which the last attempt was sent, with its port.
#[derive(Debug, Clone)]
struct Host(String);

impl Storable for Host {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Patience {
    fn name(&self) -> &'static str {
        "patience"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(Began(Instant::now()));
        Ok(())
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let host = redacted(host(context.request().uri()).unwrap_or_default());
        config.interceptor_state().store_put(Host(host));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(Host(host)) = config.load::<Host>().cloned() else { return Ok(()) };
        match action(context.inner(), components) {
            RetryAction::RetryIndicated(reason) => {
                self.0.note_failure(&host, retry_cause(&reason, context.inner()));
                let began = config.load::<Began>().map_or_else(Instant::now, |it| it.0);
                let left = self.0.limits().total.saturating_sub(began.elapsed()).min(self.0.left(&host));
                limit(config, left.saturating_sub(slowest_token(&reason)), self.0.limits().total);
            }
            // Another error is an answer.
            _ if context.response().is_some() => self.0.note_progress(&host),
            _ => {}
        }
        Ok(())
    }
}

/// The longest wait for a token of the SDK's rate limiter, which comes after the wait between two attempts: it gives one in
/// two seconds at least (`MIN_FILL_RATE` of `aws-smithy-runtime`).
fn slowest_token(reason: &RetryReason) -> Duration {
    match reason {
        RetryReason::RetryableError { kind: ErrorKind::ThrottlingError, .. } => Duration::from_secs(2),
        _ => Duration::ZERO,
    }
}

/// Limits the next wait to the time that is left, so that a last attempt has its place in it; or forbids that attempt.
fn limit(config: &mut ConfigBag, left: Duration, total: Duration) {
    let Some(retry) = config.load::<RetryConfig>().cloned() else { return };
    // A fifth of the time is for the last attempt itself, and less is not worth one.
    let retry = match left.checked_sub(total / 5) {
        None | Some(Duration::ZERO) => retry.with_max_attempts(1),
        Some(wait) => retry.with_max_backoff(wait.min(LONGEST_WAIT)),
    };
    config.interceptor_state().store_put(retry);
}

/// What the retry classifiers say, the last of them that says something.
fn action(context: &InterceptorContext, components: &RuntimeComponents) -> RetryAction {
    let mut action = RetryAction::NoActionIndicated;
    for classifier in components.retry_classifiers() {
        match classifier.classify_retry(context) {
            RetryAction::NoActionIndicated => {}
            RetryAction::RetryForbidden => return RetryAction::RetryForbidden,
            indicated => action = indicated,
        }
    }
    action
}

/// Why an attempt is repeated, for people who wait.
fn retry_cause(reason: &RetryReason, context: &InterceptorContext) -> RetryCause {
    if let RetryReason::RetryableError { kind: ErrorKind::ThrottlingError, .. } = reason {
        return RetryCause::Throttled;
    }
    let status = context.response().and_then(|it| StatusCode::from_u16(it.status().as_u16()).ok());
    if let Some(status) = status.filter(|it| it.as_u16() >= 400) {
        return RetryCause::Status(status);
    }
    let error = context.output_or_error().and_then(Result::err).and_then(|it| it.as_connector_error());
    let innermost = error.and_then(|it| causes(it).last().map(ToString::to_string));
    RetryCause::NoAnswer(innermost.unwrap_or_else(|| "no response".to_owned()))
}

/// The host of a URI, with its port.
fn host(uri: &str) -> Option<&str> {
    uri.split_once("://")?.1.split(['/', '?']).next()
}
