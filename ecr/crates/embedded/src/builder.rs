//! The configuration and start of a server.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use ecr_types::{Region, RegistryId, Timestamp};
use tempfile::TempDir;
use thiserror::Error;
use tokio::net::TcpListener;

use super::faults::{Fault, Faults};
use super::seed::Seed;
use super::server::Server;
use super::shared::{Clock, Compat, ServerSettings, Shared};
use super::store::{Store, lock};
use super::transport::Transport;
use super::{default_account, default_region};

/// The configuration of a server; see [`Server::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    data: Option<PathBuf>,
    port: u16,
    is_announced: bool,
    request_log: Option<PathBuf>,
    faults: Vec<Fault>,
    settings: ServerSettings,
}

/// The reason for which a server could not start, or a state could not be checked.
#[derive(Debug, Error)]
pub enum StartError {
    /// Another server uses the folder and has announced its address, see [`Builder::announce`]. It can be used instead.
    #[error("an embedded ECR already runs on `{}`, at {url}", .folder.display())]
    Running {
        /// The folder of the state.
        folder: PathBuf,
        /// The URL of the other server, as in [`Server::url`].
        url: String,
        /// The ID of its process, if it is known.
        process: Option<u32>,
    },
    /// Another process has locked this folder and has not announced an address.
    #[error("another command{} is using `{}`", named(*.process), .folder.display())]
    Busy {
        /// The folder of the state.
        folder: PathBuf,
        /// The ID of the other process, if it is known.
        process: Option<u32>,
    },
    /// The port is in use, or the process may not listen on it.
    #[error("failed to listen on 127.0.0.1:{port}")]
    Listen {
        /// The requested TCP port.
        port: u16,
        /// The error of the operating system.
        #[source]
        cause: std::io::Error,
    },
    /// The state is damaged, or cannot be read or written.
    #[error("{}", chain(.0))]
    State(anyhow::Error),
}

/// The text is not a seed; see [`Builder::seed`].
#[derive(Debug, Error)]
#[error("{0}")]
pub struct InvalidSeed(String);

impl From<anyhow::Error> for StartError {
    fn from(error: anyhow::Error) -> Self {
        Self::State(error)
    }
}

fn named(process: Option<u32>) -> String {
    process.map(|it| format!(" (process {it})")).unwrap_or_default()
}

fn chain(error: &anyhow::Error) -> impl fmt::Display {
    format!("{error:#}")
}

/// The folder of a server's state.
#[derive(Debug)]
pub(super) enum Folder {
    /// A folder that is kept.
    Kept(PathBuf),
    /// A temporary folder that is removed with the server.
    Ephemeral(TempDir),
}

impl Folder {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Ephemeral(folder) => folder.path(),
        }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            data: None,
            port: 0,
            is_announced: false,
            request_log: None,
            faults: Vec::new(),
            settings: ServerSettings {
                account: default_account(),
                region: default_region(),
                allowed_hosts: Vec::new(),
                compat: Compat::Ecr,
                has_ecr_hosts: false,
                has_control: false,
                accounts: HashMap::new(),
                clock: Clock::System,
                seed: None,
                is_secure: false,
                keeps_operations: false,
            },
        }
    }
}

impl Builder {
    /// Sets the folder of the state, which is created if it does not exist and kept after the server ends. By default the state
    /// is in a temporary folder that is removed with the server.
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// Sets the TCP port on 127.0.0.1. The default is 0: any free port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the account of requests whose access key has no other one. The default is [`default_account`].
    pub fn account(mut self, account: RegistryId) -> Self {
        self.settings.account = account;
        self
    }

    /// Sets the region of requests without a credential scope. The default is [`default_region`].
    pub fn region(mut self, region: Region) -> Self {
        self.settings.region = region;
        self
    }

    /// Follows the OCI distribution specification where ECR differs from it: chunks of any size, blobs without content, lists in
    /// order, blobs without a redirect.
    pub fn oci(mut self) -> Self {
        self.settings.compat = Compat::Oci;
        self
    }

    /// Sets the account of requests that are signed with this access key ID, so that there are several accounts. An ID of twelve
    /// digits is its own account, and all others are those of [`Builder::account`]. It can be called repeatedly.
    pub fn account_of(mut self, access_key_id: impl Into<String>, account: RegistryId) -> Self {
        self.settings.accounts.insert(access_key_id.into(), account);
        self
    }

    /// Sets the time of the start, from which the server's clock goes on: the ages of images, and the expiry of passwords.
    pub fn now(mut self, now: Timestamp) -> Self {
        self.settings.clock = Clock::Set { at: now.seconds() as f64, since: Instant::now() };
        self
    }

    /// Gives each registry a host like that of ECR, `ACCOUNT.dkr.ecr.REGION.localhost:PORT`, in `repositoryUri`, in
    /// `proxyEndpoint` and in tokens, for programs that take such hosts apart. Names below `localhost` must resolve to 127.0.0.1
    /// (RFC 6761, section 6.3), as they do in browsers, in Docker and with systemd.
    pub fn ecr_hosts(mut self) -> Self {
        self.settings.has_ecr_hosts = true;
        self
    }

    /// Encrypts connections with a certificate that is made at the start and written to `tls.pem` in the folder of the state. It
    /// is valid for `localhost`, the names below it, and 127.0.0.1. Clients have to trust this file.
    #[cfg(feature = "tls")]
    pub fn tls(mut self) -> Self {
        self.settings.is_secure = true;
        self
    }

    /// Adds endpoints for tests in other languages: `POST /_control/reset` removes everything, and `POST /_control/clock` with
    /// `{"now": "2026-01-31T12:00:00Z"}` sets the time.
    pub fn control(mut self) -> Self {
        self.settings.has_control = true;
        self
    }

    /// Adds repositories and images to the state when the server starts, from JSON in the form that
    /// `ecr/docs/embedded-ecr.md` describes. A repository that exists already is left as it is.
    ///
    /// # Errors
    /// The text is not JSON in this form.
    pub fn seed(mut self, json: &str) -> Result<Self, InvalidSeed> {
        self.settings.seed = Some(Seed::parse(json).map_err(|it| InvalidSeed(format!("{it:#}")))?);
        Ok(self)
    }

    /// Adds a fault to inject, such as `"throttle=PutImage:2".parse()`; see [`Fault`]. It can be called repeatedly.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Allows requests with this host in the header `Host`, in addition to loopback names, with any port. It can be called
    /// repeatedly.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.settings.allowed_hosts.push(host.into());
        self
    }

    /// Appends a line of JSON to a file for each request: `time` (seconds since 1970), `method`, `path`, `target` (the header
    /// `X-Amz-Target`) and `status` (null if a fault dropped the connection).
    pub fn request_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.request_log = Some(path.into());
        self
    }

    /// Records the operations of all requests, for [`Server::take_operations`].
    pub fn keep_operations(mut self) -> Self {
        self.settings.keeps_operations = true;
        self
    }

    /// Writes the server's URL to the folder of the state, from which [`StartError::Running`] of another process reads it.
    pub fn announce(mut self) -> Self {
        self.is_announced = true;
        self
    }

    /// Locks and opens the state, and starts to listen on 127.0.0.1. It must be called within a tokio runtime, on which the
    /// server runs.
    ///
    /// # Errors
    /// Another process uses the state ([`StartError::Running`], [`StartError::Busy`]), the port cannot be used
    /// ([`StartError::Listen`]), or the state or the request log cannot be read or written ([`StartError::State`]).
    pub async fn start(self) -> Result<Server, StartError> {
        let folder = match self.data {
            Some(path) => Folder::Kept(path),
            None => Folder::Ephemeral(tempfile::tempdir().context("failed to create a temporary folder")?),
        };
        let lock = lock::take(folder.path())?;
        let port = self.port;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(|cause| StartError::Listen { port, cause })?;
        let address = listener.local_addr().context("failed to get the port")?;
        let store = Store::open(folder.path(), lock)?;
        let transport = match self.settings.is_secure {
            true => Transport::tls(folder.path(), &self.settings.region)?,
            false => Transport::Plain,
        };
        let mut shared = Shared::new(store, self.settings, address.to_string(), Faults::new(&self.faults));
        if let Some(path) = &self.request_log {
            shared = shared.with_request_log(path)?;
        }
        shared.apply_seed()?;
        let server = Server::new(listener, transport, shared, folder);
        if self.is_announced {
            lock::announce(server.data(), &server.url())?;
        }
        Ok(server)
    }
}
