//! Flags that several commands have.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ecr_oci::http::Limits;
use ecr_types::{InvalidName, Region};

use crate::cli::shell::{Color, Format, Verbosity};
use crate::config::InvalidValue;
use crate::config::price::Price;
use crate::scan::{Severity, Unsupported};

/// Flags that go to cargo as they are
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Compilation")]
pub struct Cargo {
    /// The cargo profile
    #[arg(long, value_name = "CARGO_PROFILE", default_value = "release")]
    pub profile: String,
    /// Assert that Cargo.lock stays as it is
    #[arg(long)]
    pub locked: bool,
    /// Do not use the network for dependencies
    #[arg(long)]
    pub offline: bool,
    /// Both --locked and --offline
    #[arg(long)]
    pub frozen: bool,
    /// Parallel jobs of cargo
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<u32>,
}

/// Flags of every command that talks to a registry
#[derive(Debug, Clone, Args)]
pub struct Common {
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub registry: Registry,
    #[command(flatten)]
    pub workspace: WorkspaceArgs,
    #[command(flatten)]
    pub output: Output,
}

/// Which services
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Selection")]
pub struct Selection {
    /// Only this service (repeatable; globs such as 'my-*')
    #[arg(short, long, value_name = "SPEC")]
    pub package: Vec<String>,
    /// All services but this one (repeatable; globs)
    #[arg(long, value_name = "SPEC")]
    pub exclude: Vec<String>,
}

/// Which registry
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Registry")]
pub struct Registry {
    /// Use the embedded ECR instead of AWS; needs no account and no network
    #[arg(long)]
    pub local: bool,
    /// The folder of the embedded ECR's state [default: target/ecr-local]
    #[arg(long, value_name = "DIR", requires = "local")]
    pub data: Option<PathBuf>,
    /// The AWS profile; --profile is cargo's
    #[arg(long, value_name = "NAME", conflicts_with = "local")]
    pub aws_profile: Option<String>,
    /// Requests side by side
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// How long a request may get nowhere, all attempts at it together: 30s, 2m
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    pub network_timeout: Duration,
}

impl Registry {
    /// The limits of the HTTP client.
    pub fn limits(&self) -> Limits {
        Limits::within(self.network_timeout).with_concurrency(self.concurrency.into())
    }
}

/// Which workspace
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Workspace")]
pub struct WorkspaceArgs {
    /// The AWS region [default: AWS_REGION, the workspace's, the profile's]
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,
    /// The manifest of the workspace [default: that of the current directory]
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<PathBuf>,
}

fn region(text: &str) -> Result<String, InvalidName> {
    text.parse::<Region>().map(|it| it.to_string())
}

/// How to talk
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// What stdout carries
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// When to use colour [default: auto]
    #[arg(long, value_enum, value_name = "WHEN")]
    pub color: Option<Color>,
    /// Say how things are done
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Say only what is wrong
    #[arg(short, long)]
    pub quiet: bool,
}

impl Output {
    /// How much is said.
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Verbose,
            (false, false) => Verbosity::Normal,
        }
    }
}

/// Which storage, at which price
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Storage")]
pub struct StorageArgs {
    /// The price of a GB and month, in USD [default: the workspace's `price-per-gb-month`, else 0.10]
    #[arg(long, value_name = "USD")]
    pub price: Option<Price>,
    /// Read no manifests, which ECR counts as pulls: layers that images share are then counted for each of them
    #[arg(long)]
    pub keep_pull_times: bool,
}

/// The scan gate
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scan gate")]
pub struct GateArgs {
    /// Exit with 4 unless ECR has scanned the image and found nothing of this severity or worse: CRITICAL, HIGH,
    /// MEDIUM, LOW, INFORMATIONAL, UNTRIAGED or UNDEFINED, in any case
    #[arg(long, value_name = "SEVERITY")]
    pub fail_on: Option<Severity>,
    /// Let findings through that no update mends; basic scanning does not tell which
    #[arg(long, requires = "fail_on")]
    pub ignore_unfixed: bool,
    /// Findings to let through, each with id, reason and expiry date [default: the workspace's `scan-ignore`, else
    /// ecr/scan-ignore.toml]
    #[arg(long, value_name = "FILE", requires = "fail_on")]
    pub ignore_file: Option<PathBuf>,
    /// What becomes of an image that ECR cannot scan, such as one from scratch
    #[arg(long, value_name = "WHAT", default_value = "fail", requires = "fail_on")]
    pub unsupported: Unsupported,
    /// How long to wait for scans, all of them together: 500ms, 30s, 5m, 1h
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub timeout: Duration,
}

/// A time such as `30s` or `1m30s`.
fn duration(text: &str) -> Result<Duration, InvalidValue> {
    let invalid = |_| InvalidValue(format!("`{text}` is not a time such as 30s or 5m"));
    humantime::parse_duration(text).map_err(invalid)
}
