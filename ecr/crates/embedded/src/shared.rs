//! What all requests of a server share.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use ecr_types::{Digest, Region, RegistryId, RepositoryName, lock};
use serde_json::Value;
use uuid::Uuid;

use super::blobs::Blobs;
use super::faults::Faults;
use super::model::RegistryKey;
use super::store::Store;
use super::upload::Upload;

/// The preview of a lifecycle policy, which is complete as soon as it is started.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The policy's text.
    pub text: String,
    /// The entries of `previewResults`.
    pub results: Vec<Value>,
}

/// What a server is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The account that every request belongs to.
    pub account: RegistryId,
    /// The region of requests that name none.
    pub region: Region,
    /// Names beside those of loopback under which the server may be reached.
    pub allowed_hosts: Vec<String>,
    /// Whether operations are remembered, for tests that count them.
    pub keeps_operations: bool,
}

/// The server's state and settings.
#[derive(Debug)]
pub struct Shared {
    store: Mutex<Store>,
    blobs: Blobs,
    folder: PathBuf,
    uploads: Mutex<HashMap<String, Upload>>,
    previews: Mutex<HashMap<(RegistryKey, RepositoryName), Preview>>,
    operations: Mutex<Vec<String>>,
    request_log: Option<Mutex<File>>,
    /// How often the findings of an image were asked for.
    questions: Mutex<HashMap<String, usize>>,
    /// What the server was told.
    pub settings: Settings,
    /// Host and port that clients reach the server by.
    pub host: String,
    /// Failures to inject.
    pub faults: Faults,
}

impl Shared {
    /// A server's state before its first request.
    pub fn new(store: Store, settings: Settings, host: String, faults: Faults) -> Self {
        Self {
            folder: store.folder().to_owned(),
            blobs: store.blobs().clone(),
            store: Mutex::new(store),
            uploads: Mutex::default(),
            previews: Mutex::default(),
            operations: Mutex::default(),
            request_log: None,
            questions: Mutex::default(),
            settings,
            host,
            faults,
        }
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
        self.settings
            .allowed_hosts
            .iter()
            .any(|it| it.eq_ignore_ascii_case(name) || it.eq_ignore_ascii_case(host))
    }

    /// Writes a request to the log, if there is one.
    pub fn log_request(&self, entry: &serde_json::Value) {
        if let Some(file) = &self.request_log {
            let mut file = lock(file);
            // A log that cannot be written is no reason to refuse a request.
            let _ = writeln!(file, "{entry}");
        }
    }

    /// The state. Requests hold it for a moment and never across an await.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    /// The blobs on their way in.
    pub fn uploads(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        lock(&self.uploads)
    }

    /// The latest preview of a lifecycle policy of each repository; they end with the server.
    pub fn previews(&self) -> MutexGuard<'_, HashMap<(RegistryKey, RepositoryName), Preview>> {
        lock(&self.previews)
    }

    /// Begins an upload and gives its id.
    pub fn begin_upload(&self, registry: &RegistryKey, name: &RepositoryName) -> anyhow::Result<String> {
        // The form that the service model wants of `UploadId`.
        let id = Uuid::new_v4().to_string();
        let upload = Upload::begin(registry.clone(), name.clone(), self.store().upload_path(&id))?;
        self.uploads().insert(id.clone(), upload);
        Ok(id)
    }

    /// Takes an upload of this repository: no other request finds it until the guard is dropped.
    pub fn take_upload(
        &self,
        registry: &RegistryKey,
        name: &RepositoryName,
        id: &str,
    ) -> Option<UploadGuard<'_>> {
        let mut uploads = self.uploads();
        uploads.get(id).filter(|it| it.belongs_to(registry, name))?;
        let upload = uploads.remove(id);
        Some(UploadGuard { shared: self, id: id.to_owned(), upload })
    }

    /// The files of blobs, also for those who hold the lock of the state.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Where a person puts the findings of an image's scan.
    pub fn scan_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("scans").join(format!("{}.json", digest.hex()))
    }

    /// How many questions for an image's findings came before this one, which counts for `more`.
    pub fn scan_questions(&self, image: &str, more: usize) -> usize {
        let mut questions = lock(&self.questions);
        let asked = questions.entry(image.to_owned()).or_default();
        *asked += more;
        asked.saturating_sub(1)
    }

    /// Begins the questions for an image's findings anew.
    pub fn forget_scan_questions(&self, image: &str) {
        lock(&self.questions).remove(image);
    }

    /// Remembers an operation.
    pub fn note_operation(&self, operation: &str) {
        if self.settings.keeps_operations {
            lock(&self.operations).push(operation.to_owned());
        }
    }

    /// The operations since the last call.
    pub fn take_operations(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.operations))
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
            self.settings.account
        )
    }
}

/// An upload in the hands of one request. It goes back when the guard is dropped, so that a client whose connection broke
/// can go on with it.
pub struct UploadGuard<'a> {
    shared: &'a Shared,
    id: String,
    upload: Option<Upload>,
}

impl UploadGuard<'_> {
    /// The upload.
    pub fn upload(&mut self) -> &mut Upload {
        self.upload.as_mut().unwrap_or_else(|| unreachable!("it is there until `into_upload`"))
    }

    /// The upload, which does not go back.
    pub fn into_upload(mut self) -> Upload {
        self.upload.take().unwrap_or_else(|| unreachable!("it is taken once"))
    }
}

impl Drop for UploadGuard<'_> {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            self.shared.uploads().insert(self.id.clone(), upload);
        }
    }
}
