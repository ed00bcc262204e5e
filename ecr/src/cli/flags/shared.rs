//! Flags that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ecr_oci::http::Limits;
use ecr_types::{InvalidName, Region};

use crate::cli::shell::{Color, Format, Verbosity};
use crate::config::InvalidSetting;
use crate::config::price::Price;
use crate::scan::{Severity, Unsupported};

/// Flags that are passed to cargo
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Compilation")]
pub struct CargoArgs {
    /// Cargo profile to build with
    #[arg(long, value_name = "CARGO_PROFILE", default_value = "release")]
    pub profile: String,
    /// Assert that Cargo.lock remains unchanged
    #[arg(long)]
    pub locked: bool,
    /// Run cargo without accessing the network
    #[arg(long)]
    pub offline: bool,
    /// Equivalent to both --locked and --offline
    #[arg(long)]
    pub frozen: bool,
    /// Number of parallel jobs of cargo, and of images and chunks that are compressed side by side [default: the
    /// number of CPUs]
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<u32>,
}

/// Flags of all commands that use a registry
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    pub workspace: WorkspaceArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Flags that select services
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Selection")]
pub struct SelectionArgs {
    /// Service to select (repeatable; globs such as 'my-*') [default: all services]
    #[arg(short, long, value_name = "SPEC")]
    pub package: Vec<String>,
    /// Service to exclude (repeatable; globs such as 'my-*')
    #[arg(long, value_name = "SPEC")]
    pub exclude: Vec<String>,
}

/// Flags that select a registry
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Registry")]
pub struct RegistryArgs {
    /// Use the embedded ECR instead of AWS, without an AWS account; only cargo and base images may use the network
    #[arg(long)]
    pub local: bool,
    /// Directory of the embedded ECR's data [default: target/ecr-local]
    #[arg(long, value_name = "DIR", requires = "local")]
    pub data: Option<PathBuf>,
    /// AWS profile to use (--profile selects the cargo profile)
    #[arg(long, value_name = "NAME", conflicts_with = "local")]
    pub aws_profile: Option<String>,
    /// Maximum number of concurrent requests
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// Maximum time without progress, retries included, of the requests to a host and of other waits, such as 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    pub network_timeout: Duration,
}

impl RegistryArgs {
    pub fn limits(&self) -> Limits {
        Limits::within(self.network_timeout).with_concurrency(self.concurrency.into())
    }
}

/// Flags that locate the workspace
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Workspace")]
pub struct WorkspaceArgs {
    /// AWS region [default: the environment's `region`, AWS_REGION, the workspace's `region`, or that of the AWS profile]
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,
    /// Path to the workspace's Cargo.toml [default: found from the current directory]
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<PathBuf>,
    /// Environment of the workspace to use, such as prod [default: XTASK_ECR_ENVIRONMENT, or the workspace's
    /// `default-environment`]
    #[arg(short, long, value_name = "NAME")]
    pub environment: Option<String>,
}

fn region(text: &str) -> Result<String, InvalidName> {
    text.parse::<Region>().map(|it| it.to_string())
}

/// Flags that control the output
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Format of the output on stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// When to use colours [default: auto]
    #[arg(long, value_enum, value_name = "WHEN")]
    pub color: Option<Color>,
    /// Print more details; `-vv` also prints what cargo's `-vv` does
    #[arg(short, long, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Print only warnings and errors, apart from the result on stdout
    #[arg(short, long)]
    pub quiet: bool,
}

impl OutputArgs {
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Verbose,
            (false, _) => Verbosity::VeryVerbose,
        }
    }
}

/// Flags of storage reports
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Storage")]
pub struct StorageArgs {
    /// Storage price in USD per GB and month [default: the workspace's `price-per-gb-month`, or 0.10]
    #[arg(long, value_name = "USD")]
    pub price: Option<Price>,
    /// Do not read manifests, because ECR records that as a pull; shared layers are then counted once per
    /// image
    #[arg(long)]
    pub keep_pull_times: bool,
}

/// Flags of the scan gate
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scan gate")]
pub struct GateArgs {
    /// Exit with code 4 unless ECR has scanned the image and found nothing of this severity or higher:
    /// CRITICAL, HIGH, MEDIUM, LOW, INFORMATIONAL, UNTRIAGED or UNDEFINED (case-insensitive)
    #[arg(long, value_name = "SEVERITY")]
    pub fail_on: Option<Severity>,
    /// Ignore findings for which no fix is available; basic scanning does not report fixes
    #[arg(long, requires = "fail_on")]
    pub ignore_unfixed: bool,
    /// TOML file of findings to ignore, each with an id, a reason and an expiry date [default: the
    /// workspace's `scan-ignore`, or ecr/scan-ignore.toml]
    #[arg(long, value_name = "FILE", requires = "fail_on")]
    pub ignore_file: Option<PathBuf>,
    /// Whether an image that ECR cannot scan passes or fails, such as an image built from scratch
    #[arg(long, value_name = "WHAT", default_value = "fail", requires = "fail_on")]
    pub unsupported: Unsupported,
    /// Maximum total time to wait for ECR to scan and sign, such as 500ms, 30s, 5m or 1h
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub timeout: Duration,
}

/// Parses a duration such as `30s` or `1m30s`.
fn duration(text: &str) -> Result<Duration, InvalidSetting> {
    let invalid = |_| InvalidSetting(format!("`{text}` is not a duration such as 30s or 5m"));
    humantime::parse_duration(text).map_err(invalid)
}
