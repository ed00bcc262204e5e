//! What all requests of a server share.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use super::api::Preview;
use super::faults::Faults;
use super::model::RegistryKey;
use super::store::{Store, blob_path, new_upload_id};
use super::upload::Upload;
use crate::name::{Digest, RegistryId, RepositoryName};

/// The server's state and settings.
#[derive(Debug)]
pub struct Shared {
    store: Mutex<Store>,
    folder: PathBuf,
    uploads: Mutex<HashMap<String, Upload>>,
    previews: Mutex<HashMap<(RegistryKey, RepositoryName), Preview>>,
    requests: Option<Mutex<Vec<String>>>,
    request_log: Option<Mutex<File>>,
    allowed_hosts: Vec<String>,
    /// How often the findings of an image were asked for.
    questions: Mutex<HashMap<String, usize>>,
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
            folder: store.folder().to_owned(),
            store: Mutex::new(store),
            uploads: Mutex::default(),
            previews: Mutex::default(),
            requests: None,
            request_log: None,
            allowed_hosts: Vec::new(),
            questions: Mutex::default(),
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

    /// The same, reachable under further names.
    pub fn with_hosts(self, allowed_hosts: Vec<String>) -> Self {
        Self { allowed_hosts, ..self }
    }

    /// The same, writing a line of JSON for each request.
    pub fn with_request_log(self, path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("failed to open `{}`", path.display()))?;
        Ok(Self { request_log: Some(Mutex::new(file)), ..self })
    }

    /// Whether a header `Host` has one of the further names, with any port.
    pub fn allows_host(&self, host: &str) -> bool {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        self.allowed_hosts.iter().any(|it| it.eq_ignore_ascii_case(name) || it.eq_ignore_ascii_case(host))
    }

    /// Writes a request to the log, if there is one.
    pub fn log_request(&self, entry: &serde_json::Value) {
        if let Some(file) = &self.request_log {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // A log that cannot be written is no reason to refuse a request.
            let _ = writeln!(file, "{entry}");
        }
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

    /// Begins an upload and gives its id.
    pub fn begin_upload(&self, registry: &str, name: &RepositoryName) -> anyhow::Result<String> {
        let id = new_upload_id()?;
        let upload = Upload::begin(registry.to_owned(), name.clone(), self.store().upload_path(&id))?;
        self.uploads().insert(id.clone(), upload);
        Ok(id)
    }

    /// An upload of this repository, which nobody else finds from now on.
    pub fn take_upload(&self, registry: &str, name: &RepositoryName, id: &str) -> Option<Upload> {
        let mut uploads = self.uploads();
        uploads.get(id).filter(|it| it.belongs_to(registry, name))?;
        uploads.remove(id)
    }

    /// Whether the file of a digest is there; for those who hold the state.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        blob_path(&self.folder, digest).is_file()
    }

    /// Where a person puts the findings of an image's scan.
    pub fn scan_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("scans").join(format!("{}.json", digest.hex()))
    }

    /// How many questions for an image's findings came before this one, which counts for `more`.
    pub fn scan_questions(&self, image: &str, more: usize) -> usize {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = questions.entry(image.to_owned()).or_default();
        *asked += more;
        asked.saturating_sub(1)
    }

    /// Begins the questions for an image's findings anew.
    pub fn forget_scan_questions(&self, image: &str) {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).remove(image);
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
