//! How an embedded ECR is started.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ecr_types::{Region, RegistryId};
use tempfile::TempDir;
use thiserror::Error;
use tokio::net::TcpListener;

use super::faults::{Fault, Faults};
use super::lock;
use super::server::Server;
use super::shared::{Settings, Shared};
use super::store::Store;
use super::{default_account, default_region};

/// The settings of a server that is not started yet; see [`Server::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    data: Option<PathBuf>,
    port: u16,
    is_announced: bool,
    request_log: Option<PathBuf>,
    faults: Vec<Fault>,
    settings: Settings,
}

/// Why a server could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Another server has the state, and can be used in its place.
    #[error("an embedded ECR already runs on `{}`, at {url}", .folder.display())]
    Running {
        /// The folder of the state.
        folder: PathBuf,
        /// The address of that server.
        url: String,
    },
    /// Another process has the state for a short time.
    #[error("another command is using `{}`", .0.display())]
    Busy(PathBuf),
    /// The port is taken, or may not be used.
    #[error("failed to listen on 127.0.0.1:{port}")]
    Listen {
        /// The port.
        port: u16,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// The state cannot be read or written.
    #[error("{}", chain(.0))]
    State(anyhow::Error),
}

impl From<anyhow::Error> for StartError {
    fn from(error: anyhow::Error) -> Self {
        Self::State(error)
    }
}

fn chain(error: &anyhow::Error) -> impl fmt::Display {
    format!("{error:#}")
}

/// Where a server keeps its state.
#[derive(Debug)]
pub(super) enum Folder {
    /// A folder that stays.
    Kept(PathBuf),
    /// A folder that is removed with the server.
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
            settings: Settings {
                account: default_account(),
                region: default_region(),
                allowed_hosts: Vec::new(),
                keeps_operations: false,
            },
        }
    }
}

impl Builder {
    /// The folder of the state, which stays. By default the state is in a temporary folder and ends with the server.
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// The port on 127.0.0.1. By default any free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The account that every request belongs to. By default [`default_account`].
    pub fn account(mut self, account: RegistryId) -> Self {
        self.settings.account = account;
        self
    }

    /// The region of requests that name none. By default [`default_region`].
    pub fn region(mut self, region: Region) -> Self {
        self.settings.region = region;
        self
    }

    /// Injects a fault, such as `"throttle=PutImage:2".parse()`. Can be repeated.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// A further name under which the server may be reached, beside those of loopback. Can be repeated.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.settings.allowed_hosts.push(host.into());
        self
    }

    /// A file that gets a line of JSON for each request: `time`, `method`, `path`, `target`, `status`.
    pub fn request_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.request_log = Some(path.into());
        self
    }

    /// Remembers the operations of all requests, for [`Server::take_operations`].
    pub fn keep_operations(mut self) -> Self {
        self.settings.keeps_operations = true;
        self
    }

    /// Writes the address into the state's folder, where [`StartError::Running`] of others finds it.
    pub fn announce(mut self) -> Self {
        self.is_announced = true;
        self
    }

    /// Opens the state, and listens on 127.0.0.1.
    ///
    /// # Errors
    /// Another process has the state, the port is taken, or the state cannot be read or written.
    pub async fn start(self) -> Result<Server, StartError> {
        let folder = match self.data {
            Some(path) => Folder::Kept(path),
            None => Folder::Ephemeral(tempfile::tempdir().context("failed to make a temporary folder")?),
        };
        let lock = lock::take(folder.path())?;
        let port = self.port;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(|cause| StartError::Listen { port, cause })?;
        let address = listener.local_addr().context("failed to ask for the port")?;
        let store = Store::open(folder.path(), lock)?;
        let mut shared = Shared::new(store, self.settings, address.to_string(), Faults::new(&self.faults));
        if let Some(path) = &self.request_log {
            shared = shared.with_request_log(path)?;
        }
        let server = Server::new(address, listener, shared, folder);
        if self.is_announced {
            lock::announce(server.data(), &server.url())?;
        }
        Ok(server)
    }
}
