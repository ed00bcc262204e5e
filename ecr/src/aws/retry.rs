//! A retry classifier for errors that the SDK would retry in vain.

use aws_sdk_ecr::config::retry::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::RetryClassifierPriority;
use ecr_oci::http::is_permanent;

/// Does not retry a connection that is refused or a host that cannot be resolved: the endpoint is wrong or its server
/// is not running, and retries would delay that message for minutes.
#[derive(Debug)]
pub(super) struct RefusedConnection;

impl ClassifyRetry for RefusedConnection {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(Result::err).and_then(|it| it.as_connector_error());
        match error {
            Some(error) if is_permanent(error) => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "refused connection"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}
