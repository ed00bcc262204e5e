//! A retry classifier for errors that the SDK would retry in vain.

use aws_sdk_ecr::config::retry::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::RetryClassifierPriority;
use ecr_oci::http::{is_permanent, is_too_long};

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
