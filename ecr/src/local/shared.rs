//! What all requests of a server share.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::api::Preview;
use super::distribution::Upload;
use super::faults::Faults;
use super::model::RegistryKey;
use super::store::Store;
use crate::name::{RegistryId, RepositoryName};

/// The server's state and settings.
#[derive(Debug)]
pub struct Shared {
    store: Mutex<Store>,
    uploads: Mutex<HashMap<String, Upload>>,
    previews: Mutex<HashMap<(RegistryKey, RepositoryName), Preview>>,
    requests: Option<Mutex<Vec<String>>>,
    /// The account that every request belongs to.
    pub account: RegistryId,
    /// The region of requests that name none.
    pub region: String,
    /// Host and port that clients reach the server by.
    pub host: String,
    /// Failures to inject.
    pub faults: Faults,
}

impl Shared {
    /// A server's state before its first request. With `keeps_log` it remembers every operation.
    pub fn new(store: Store, account: RegistryId, region: String, host: String, faults: Faults) -> Self {
        Self {
            store: Mutex::new(store),
            uploads: Mutex::default(),
            previews: Mutex::default(),
            requests: None,
            account,
            region,
            host,
            faults,
        }
    }

    /// The same, remembering every operation, for tests that count them.
    pub fn with_log(self) -> Self {
        Self { requests: Some(Mutex::default()), ..self }
    }

    /// The state. Requests hold it for a moment and never across an await.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The blobs on their way in.
    pub fn uploads(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latest preview of a lifecycle policy of each repository; they end with the server.
    pub fn previews(&self) -> MutexGuard<'_, HashMap<(RegistryKey, RepositoryName), Preview>> {
        self.previews.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an operation.
    pub fn log(&self, operation: &str) {
        if let Some(requests) = &self.requests {
            requests.lock().unwrap_or_else(PoisonError::into_inner).push(operation.to_owned());
        }
    }

    /// The operations so far, and forgets them.
    pub fn take_log(&self) -> Vec<String> {
        let requests = self.requests.as_ref();
        requests
            .map(|it| std::mem::take(&mut *it.lock().unwrap_or_else(PoisonError::into_inner)))
            .unwrap_or_default()
    }

    /// Seconds since 1970, as the API writes times.
    pub fn now(&self) -> f64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }

    /// The sentence for a permission that a fault took away.
    pub fn denial(&self, operation: &str) -> String {
        format!(
            "User: arn:aws:iam::{}:root is not authorized to perform: ecr:{operation} \
             because no identity-based policy allows the ecr:{operation} action",
            self.account
        )
    }
}
