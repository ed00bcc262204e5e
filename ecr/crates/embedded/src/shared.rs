//! The state and configuration that all requests of a server share.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use ecr_types::{Digest, Region, RegistryId, RepositoryName, lock};
use tokio::sync::Notify;
use uuid::Uuid;

use super::faults::Faults;
use super::model::{RegistryKey, RepositoryId};
use super::seed::Seed;
use super::store::Store;
use super::token;
use super::uploads::Upload;

/// The preview of a lifecycle policy.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The text of the policy.
    pub text: String,
    pub rows: Arc<[PreviewRow]>,
    pub started_at: Instant,
    /// Whether it was asked for. The first request finds it in progress.
    pub was_asked: bool,
}

/// The time after which another preview may begin, also if nobody has asked for this one.
const PREVIEW_TIME: Duration = Duration::from_secs(1);

impl Preview {
    /// Whether another preview may begin.
    pub fn may_be_replaced(&self) -> bool {
        self.was_asked || self.started_at.elapsed() > PREVIEW_TIME
    }
}

/// An image that a lifecycle policy expires or archives.
#[derive(Debug, Clone)]
pub struct PreviewRow {
    pub image: ecr_lifecycle::Image,
    /// The priority of the rule that applies, and its action.
    pub rule: (i64, ecr_lifecycle::Action),
}

/// What decides where ECR's behaviour and the OCI distribution specification differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compat {
    /// ECR.
    #[default]
    Ecr,
    /// The specification.
    Oci,
}

/// The configuration of a server.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The account of requests whose credentials are not those of a role.
    pub account: RegistryId,
    /// The region of requests without a credential scope.
    pub region: Region,
    /// Hosts that are allowed in the header `Host`, in addition to loopback names.
    pub allowed_hosts: Vec<String>,
    pub compat: Compat,
    /// The accounts of callers by the ID of their access key.
    pub accounts: HashMap<String, RegistryId>,
    /// The time of the start, and after a reset.
    pub clock: Clock,
    /// Whether connections are encrypted.
    pub is_secure: bool,
    /// What an empty state begins with.
    pub seed: Option<Seed>,
    /// Whether the endpoints for tests are there.
    pub has_control: bool,
    /// Whether the hosts of registries are like those of ECR.
    pub has_ecr_hosts: bool,
    /// Whether operations are recorded, for tests that count them.
    pub keeps_operations: bool,
}

/// Where the time comes from.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The clock of the system.
    System,
    /// A time in seconds since 1970, and when it was set.
    Set { at: f64, since: Instant },
}

fn system_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The validity of a URL from which a blob can be downloaded, in seconds.
const URL_LIFETIME: u64 = 60 * 60;

#[derive(Debug)]
pub struct Shared {
    pub store: Store,
    /// Notified when a repository was deleted, whose rows are to be removed.
    pub has_deleted: Notify,
    uploads: Mutex<HashMap<String, Upload>>,
    previews: Mutex<HashMap<RepositoryId, Preview>>,
    operations: Mutex<Vec<String>>,
    request_log: Option<Mutex<File>>,
    /// The number of requests for the findings of each image.
    scan_requests: Mutex<HashMap<String, usize>>,
    clock: Mutex<Clock>,
    pub settings: ServerSettings,
    /// The host and port of the server, as clients use it.
    pub host: String,
    pub faults: Faults,
}

impl Shared {
    pub fn new(store: Store, settings: ServerSettings, host: String, faults: Faults) -> Self {
        Self {
            store,
            has_deleted: Notify::new(),
            uploads: Mutex::default(),
            previews: Mutex::default(),
            operations: Mutex::default(),
            request_log: None,
            scan_requests: Mutex::default(),
            clock: Mutex::new(settings.clock),
            settings,
            host,
            faults,
        }
    }

    /// Appends a line of JSON to the file `path` for each request.
    pub fn with_request_log(self, path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("failed to open `{}`", path.display()))?;
        Ok(Self { request_log: Some(Mutex::new(file)), ..self })
    }

    /// Whether the header `Host` has one of the allowed hosts, with any port.
    pub fn allows_host(&self, host: &str) -> bool {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        self.settings
            .allowed_hosts
            .iter()
            .any(|it| it.eq_ignore_ascii_case(name) || it.eq_ignore_ascii_case(host))
    }

    /// Writes an entry to the request log, if there is one.
    pub fn log_request(&self, entry: &serde_json::Value) {
        if let Some(file) = &self.request_log {
            let mut file = lock(file);
            // Requests succeed even if the log cannot be written.
            let _ = writeln!(file, "{entry}");
        }
    }

    /// Locks the uploads that have begun, by id.
    pub fn uploads(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        lock(&self.uploads)
    }

    /// Locks the latest preview of each repository. Previews are in memory only.
    pub fn previews(&self) -> MutexGuard<'_, HashMap<RepositoryId, Preview>> {
        lock(&self.previews)
    }

    /// Begins an upload and returns its id.
    pub fn begin_upload(&self, registry: &RegistryKey, name: &RepositoryName) -> anyhow::Result<String> {
        // The form of `UploadId` in the service model.
        let id = Uuid::new_v4().to_string();
        let upload = Upload::begin(registry.clone(), name.clone(), self.store.upload_path(&id))?;
        self.uploads().insert(id.clone(), upload);
        Ok(id)
    }

    /// Takes an upload of this repository. Other requests do not find it until the guard is dropped.
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

    /// Adds the repositories of the seed, if there is one.
    pub fn apply_seed(&self) -> anyhow::Result<()> {
        self.settings.seed.as_ref().map_or(Ok(()), |it| it.apply(self))
    }

    /// Whether connections are encrypted.
    pub fn is_secure(&self) -> bool {
        self.settings.is_secure
    }

    /// The host of a registry in image references.
    pub fn host_of(&self, registry: &RegistryKey) -> String {
        if self.settings.has_ecr_hosts {
            let port = self.host.rsplit_once(':').map_or("", |(_, port)| port);
            format!("{}.dkr.ecr.{}.localhost:{port}", registry.account, registry.region)
        } else {
            self.host.clone()
        }
    }

    /// The URL of the server under the host of a request.
    pub fn url_of(&self, host: &str) -> String {
        let scheme = if self.is_secure() { "https" } else { "http" };
        format!("{scheme}://{host}")
    }

    /// A URL on a host from which a blob can be downloaded without credentials for an hour.
    pub fn download_url(
        &self,
        registry: &RegistryKey,
        name: &RepositoryName,
        digest: &Digest,
        host: &str,
    ) -> String {
        let expires_at = self.now() as u64 + URL_LIFETIME;
        let path = token::sign_path(self.store.secret(), registry, name, digest, expires_at);
        format!("{}{path}", self.url_of(host))
    }

    /// The path of the file with the findings of an image's scan.
    pub fn scan_path(&self, digest: &Digest) -> PathBuf {
        self.store.folder().join("scans").join(format!("{}.json", digest.hex()))
    }

    /// Adds `more` requests for the findings of an image, and returns the number of requests before the last one.
    pub fn count_scan_requests(&self, image: &str, more: usize) -> usize {
        let mut requests = lock(&self.scan_requests);
        if more > 0 {
            *requests.entry(image.to_owned()).or_default() += more;
        }
        requests.get(image).map_or(0, |it| it.saturating_sub(1))
    }

    /// Sets the number of requests for the findings of an image to 0.
    pub fn reset_scan_requests(&self, image: &str) {
        lock(&self.scan_requests).remove(image);
    }

    /// Records an operation, if that is enabled.
    pub fn note_operation(&self, operation: &str) {
        if self.settings.keeps_operations {
            lock(&self.operations).push(operation.to_owned());
        }
    }

    /// Returns the operations since the last call.
    pub fn take_operations(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.operations))
    }

    /// The current time in seconds since 1970, the form of timestamps in the ECR API.
    pub fn now(&self) -> f64 {
        match *lock(&self.clock) {
            Clock::System => system_time(),
            Clock::Set { at, since } => at + since.elapsed().as_secs_f64(),
        }
    }

    /// Sets the time, which goes on from there. `at` is in seconds since 1970.
    pub fn set_now(&self, at: f64) {
        *lock(&self.clock) = Clock::Set { at, since: Instant::now() };
    }

    /// Forgets what is in memory about the state, which was emptied.
    pub fn forget(&self) {
        self.uploads().clear();
        self.previews().clear();
        lock(&self.scan_requests).clear();
        *lock(&self.clock) = self.settings.clock;
    }
}

/// An upload that one request uses. When the guard is dropped the upload is available again, so that a client whose connection
/// broke can continue it.
pub struct UploadGuard<'a> {
    shared: &'a Shared,
    id: String,
    upload: Option<Upload>,
}

impl UploadGuard<'_> {
    pub fn upload(&mut self) -> &mut Upload {
        self.upload.as_mut().unwrap_or_else(|| unreachable!("the upload is present until `into_upload`"))
    }

    /// Ends the upload: it is not available to other requests any more.
    pub fn into_upload(mut self) -> Upload {
        self.upload.take().unwrap_or_else(|| unreachable!("`into_upload` is called once"))
    }
}

impl Drop for UploadGuard<'_> {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            self.shared.uploads().insert(self.id.clone(), upload);
        }
    }
}
