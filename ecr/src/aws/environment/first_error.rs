//! Credentials whose configuration is wrong: the same error for every request.

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use tokio::sync::Mutex;

/// A provider that repeats the error of a configuration. The SDK's provider for profiles gives it once, and tells all
/// other requests, which may be the ones that are reported, that it is "already taken".
#[derive(Debug)]
pub struct FirstError {
    inner: SharedCredentialsProvider,
    /// Locked while credentials are loaded, so that no request comes between an error and its record.
    error: Mutex<Option<String>>,
}

impl FirstError {
    pub fn new(inner: SharedCredentialsProvider) -> Self {
        Self { inner, error: Mutex::default() }
    }

    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let mut known = self.error.lock().await;
        if let Some(error) = &*known {
            return Err(CredentialsError::invalid_configuration(error.clone()));
        }
        let result = self.inner.provide_credentials().await;
        if let Err(error @ CredentialsError::InvalidConfiguration(_)) = &result {
            *known = std::error::Error::source(error).map(ToString::to_string);
        }
        result
    }
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
