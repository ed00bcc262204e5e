//! Credentials whose configuration is wrong: the same error for every request.

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use ecr_oci::http::HttpClient;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// A provider that repeats the error of a configuration, or that it took too long. The SDK's provider for profiles gives it once, and tells all
/// other requests, which may be the ones that are reported, that it is "already taken".
///
/// A load goes on while the SDK gives up the attempt that wanted it, which it does after some seconds: a program that asks
/// its user for a code takes longer, and would be started again and again.
#[derive(Debug)]
pub struct FirstError {
    inner: SharedCredentialsProvider,
    http: HttpClient,
    /// Locked while credentials are loaded, so that no request comes between an error and its record.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The error of the configuration.
    error: Option<String>,
    has_timed_out: bool,
    loading: Option<JoinHandle<Result<Credentials, CredentialsError>>>,
}

impl FirstError {
    /// Credentials of `inner`, within the limits of `http`, whose observer is told about a long wait.
    pub fn new(inner: SharedCredentialsProvider, http: HttpClient) -> Self {
        Self { inner, http, state: Mutex::default() }
    }

    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let mut state = self.state.lock().await;
        if let Some(error) = &state.error {
            return Err(CredentialsError::invalid_configuration(error.clone()));
        }
        if state.has_timed_out {
            return Err(CredentialsError::provider_timed_out(self.http.limits().total));
        }
        let load = || tokio::spawn(load(self.inner.clone(), self.http.clone()));
        let loaded = state.loading.get_or_insert_with(load).await;
        state.loading = None;
        let result = loaded.unwrap_or_else(|it| Err(CredentialsError::unhandled(it)));
        match &result {
            Err(error @ CredentialsError::InvalidConfiguration(_)) => {
                state.error = std::error::Error::source(error).map(ToString::to_string);
            }
            Err(CredentialsError::ProviderTimedOut(_)) => state.has_timed_out = true,
            _ => {}
        }
        result
    }
}

async fn load(
    provider: SharedCredentialsProvider,
    http: HttpClient,
) -> Result<Credentials, CredentialsError> {
    let limit = http.limits().total;
    let loading = tokio::time::timeout(limit, provider.provide_credentials());
    let loaded = http.observed("AWS credentials", loading).await;
    loaded.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(limit)))
}

impl ProvideCredentials for FirstError {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.inner.fallback_on_interrupt()
    }
}
