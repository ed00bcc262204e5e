//! The flags of `ecr serve`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use ecr_embedded::{DEFAULT_PORT, Fault};
use ecr_lifecycle::Timestamp;
use ecr_types::{InvalidName, RegistryId};

use super::{OutputArgs, WorkspaceArgs};

/// `ecr serve`: run the embedded ECR in the foreground, until Ctrl-C
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Serve {
    /// Port on 127.0.0.1, or 0 for any free port
    #[arg(long, default_value_t = DEFAULT_PORT)]
    pub(crate) port: u16,
    /// Directory of the embedded ECR's data [default: target/ecr-local]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// AWS account ID of the registry [default: the workspace's `account-id`, or 000000000000]
    #[arg(long, value_name = "ID")]
    pub(crate) account_id: Option<RegistryId>,
    /// Verify the records, blobs and references of the state and exit
    #[arg(long)]
    pub(crate) check: bool,
    /// Fault to inject (repeatable): KIND=OPERATION, KIND=OPERATION:N for the first N requests, or
    /// KIND=OPERATION:P%
    ///
    /// KIND is deny (missing permission), ignore (a change of settings succeeds without effect), throttle,
    /// error (status 500), drop (the connection is closed in the middle of a body), expire (expired
    /// credentials), forget (the upload is lost) or slow (a delay: slow=OPERATION:200ms). OPERATION is an
    /// operation of the ECR API, or `*`. `seed=NUMBER` is the seed of the random numbers for percentages.
    #[arg(long, value_name = "FAULT")]
    pub(crate) fault: Vec<Fault>,
    /// Host name to accept requests for, in addition to loopback names (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,
    /// Where ECR and the OCI distribution specification differ, behave like this one
    #[arg(long, value_name = "SYSTEM", default_value = "ecr")]
    pub(crate) compat: Compat,
    /// AWS account of the requests that are signed with an access key ID (repeatable)
    ///
    /// With several accounts, repository and registry policies decide who may use the repositories of another account.
    #[arg(long, value_name = "KEY=ID")]
    pub(crate) account: Vec<KeyAccount>,
    /// Repositories and images to begin with, in JSON (see ecr/docs/embedded-ecr.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) seed: Option<PathBuf>,
    /// Time at the start, such as 2026-01-31T12:00:00Z, from which the clock goes on
    #[arg(long, value_name = "TIME")]
    pub(crate) now: Option<Timestamp>,
    /// Answer POST /_control/reset and POST /_control/clock, for tests
    #[arg(long)]
    pub(crate) control: bool,
    /// Name registries like ECR: ACCOUNT.dkr.ecr.REGION.localhost:PORT
    #[arg(long)]
    pub(crate) ecr_hosts: bool,
    /// Use TLS, with a certificate that is made at the start (needs the cargo feature `tls`)
    #[cfg(feature = "tls")]
    #[arg(long)]
    pub(crate) tls: bool,
    /// Append one line of JSON per request to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) request_log: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) workspace: WorkspaceArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The system whose behaviour the embedded ECR has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compat {
    /// Amazon ECR
    Ecr,
    /// The OCI distribution specification
    Oci,
}

/// The account of an access key ID: `AKIAIOSFODNN7EXAMPLE=111122223333`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAccount {
    pub key: String,
    pub account: RegistryId,
}

impl FromStr for KeyAccount {
    type Err = InvalidKeyAccount;

    fn from_str(text: &str) -> Result<Self, InvalidKeyAccount> {
        let (key, account) =
            text.split_once('=').ok_or_else(|| InvalidKeyAccount::Syntax(text.to_owned()))?;
        Ok(Self { key: key.to_owned(), account: account.parse()? })
    }
}

/// The reason for which a text is not the account of a key.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKeyAccount {
    #[error("`{0}` is not an access key ID and an account: write KEY=ID, such as other=111122223333")]
    Syntax(String),
    #[error(transparent)]
    Account(#[from] InvalidName),
}
