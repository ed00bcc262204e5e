//! Operations that a server other than AWS may not have.

use aws_sdk_ecr::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_ecr::config::retry::RetryConfig;
use aws_sdk_ecr::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;

/// The attempts at an operation that the server seems not to have. A proxy may give such an answer for a moment.
const ATTEMPTS: u32 = 3;

/// For requests that are made beside what a command is about: a server that does not know the operation, and says so with a
/// page of status 500, must not hold up the command as long as a server that is in trouble.
#[derive(Debug)]
pub(super) struct Optional;

impl Intercept for Optional {
    fn name(&self) -> &'static str {
        "optional"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(response) = context.response() else { return Ok(()) };
        let is_json = response.headers().get("content-type").is_some_and(|it| it.contains("json"));
        if !is_json && is_unknown(response.status().as_u16()) {
            let retry = config.load::<RetryConfig>().cloned().unwrap_or_else(RetryConfig::standard);
            config.interceptor_state().store_put(retry.with_max_attempts(ATTEMPTS));
        }
        Ok(())
    }
}

/// Whether servers use the status for an operation that they do not have, with a body that is not an error of the API.
pub(super) fn is_unknown(status: u16) -> bool {
    matches!(status, 404 | 405 | 500 | 501)
}
