//! argv -> [`Task`]. The only file that knows how a flag is spelled.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::image::tag::TagTemplate;
use crate::lifecycle::Timestamp;
use crate::local::{DEFAULT_PORT, Fault};
use crate::name::RegistryId;
use crate::shell::{Color, Format, Verbosity};

/// Container registries and images of this workspace
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub task: Task,
}

/// The tasks of xtask-ecr, to be run by `cargo xtask` or mounted in an enum of your own:
///
/// ```
/// #[derive(clap::Parser)]
/// enum Task {
///     /// Something that only this project does
///     Own,
///     #[command(flatten)]
///     Ecr(xtask_ecr::Task),
/// }
/// ```
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Keep Amazon ECR repositories in step with the workspace
    #[command(subcommand)]
    Ecr(EcrTask),
    /// Build the image of each service and push it
    Push(Push),
}

/// The tasks below `ecr`.
#[derive(Debug, Subcommand)]
pub enum EcrTask {
    /// Show what `create` would do, field by field
    Plan(Plan),
    /// Bring every repository to the desired state
    Create(Create),
    /// Delete the repositories with all their images
    Delete(Delete),
    /// Check lifecycle policies, and see what they would take
    #[command(subcommand)]
    Lifecycle(LifecycleTask),
    /// Run the embedded ECR until Ctrl-C
    Serve(Serve),
}

/// The tasks below `ecr lifecycle`.
#[derive(Debug, Subcommand)]
pub enum LifecycleTask {
    /// Find what ECR would refuse, and what would surprise
    Check(LifecycleCheck),
    /// Show which images a policy would take, and by which rule
    Preview(LifecyclePreview),
}

/// `ecr lifecycle check`
#[derive(Debug, Args)]
pub struct LifecycleCheck {
    /// The policy [default: every policy that the workspace uses]
    pub file: Option<PathBuf>,
    /// The manifest of the workspace [default: that of the current directory]
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// `ecr lifecycle preview`
#[derive(Debug, Args)]
pub struct LifecyclePreview {
    /// Try this policy instead of each repository's own
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Take the images from FILE, as `ecr images --format json` prints them, and ask no registry
    #[arg(long, value_name = "FILE", conflicts_with = "aws")]
    pub images: Option<PathBuf>,
    /// Evaluate as of this time, such as 2026-06-15T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "aws")]
    pub now: Option<Timestamp>,
    /// Also ask ECR for its own preview, and show where it disagrees
    #[arg(long)]
    pub aws: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
}

/// `ecr plan`
#[derive(Debug, Args)]
pub struct Plan {
    /// Exit with 2 if anything would change
    #[arg(long)]
    pub check: bool,
    /// Also look for repositories of this project that the workspace no longer names
    ///
    /// This reads the resource tags of every other repository in the account.
    #[arg(long)]
    pub orphans: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
}

/// `ecr create`
#[derive(Debug, Args)]
pub struct Create {
    /// Do not ask before a lifecycle policy takes tagged images
    #[arg(short, long)]
    pub yes: bool,
    /// Refuse a lifecycle policy that would take an image named in FILE: references or digests, one a line, or
    /// Kubernetes YAML
    #[arg(long, value_name = "FILE")]
    pub in_use: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
}

/// `ecr delete`
#[derive(Debug, Args)]
pub struct Delete {
    /// Do not ask for the project's name to be typed
    #[arg(short, long)]
    pub yes: bool,
    /// Also delete repositories of this project that the workspace no longer names
    #[arg(long)]
    pub orphans: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
}

/// `ecr serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// The port on 127.0.0.1; 0 for any free one
    #[arg(long, default_value_t = DEFAULT_PORT)]
    pub port: u16,
    /// The folder of the state [default: target/ecr-local]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The account to play [default: the workspace's `account-id`, else 000000000000]
    #[arg(long, value_name = "ID")]
    pub account_id: Option<RegistryId>,
    /// Verify every digest of the state, and serve nothing
    #[arg(long)]
    pub check: bool,
    /// A failure to inject (repeatable): KIND=OPERATION, KIND=OPERATION:N for the first N, or KIND=OPERATION:P%
    ///
    /// KIND is deny, ignore, throttle, error (status 500), drop (the connection ends in the middle of a body), expire
    /// (credentials) or slow (slow=OPERATION:200ms). OPERATION is one of ECR's, or `*`. `seed=NUMBER` starts the
    /// generator for percentages.
    #[arg(long, value_name = "FAULT")]
    pub fault: Vec<Fault>,
    /// Answer under this name too, beside the loopback ones (repeatable)
    #[arg(long, value_name = "NAME")]
    pub allow_host: Vec<String>,
    /// Append a line of JSON for each request to FILE
    #[arg(long, value_name = "FILE")]
    pub request_log: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub workspace: WorkspaceArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// `push`
#[derive(Debug, Args)]
pub struct Push {
    /// Create missing repositories first, as `ecr create` does
    #[arg(long)]
    pub create: bool,
    /// Do not ask, with --create
    #[arg(short, long)]
    pub yes: bool,
    /// The tag to push, instead of the configured ones (repeatable; `{version}`, `{git-sha}`, `{git-short-sha}`, `{digest}`)
    #[arg(short, long, value_name = "TAG")]
    pub tag: Vec<TagTemplate>,
    /// Compile, build and hash, but send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not build a service whose tags all exist
    #[arg(long)]
    pub skip_existing: bool,
    /// Push from a working tree with uncommitted changes
    #[arg(long)]
    pub allow_dirty: bool,
    /// Also write the digest references to FILE, one a line
    #[arg(long, value_name = "FILE")]
    pub image_refs: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cargo: Cargo,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
}

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
    #[allow(missing_docs)]
    pub selection: Selection,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: Registry,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub workspace: WorkspaceArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
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

fn region(text: &str) -> Result<String, String> {
    text.parse().map(|it: crate::metadata::Region| it.0)
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

impl Task {
    /// How this task is to talk.
    pub fn output(&self) -> &Output {
        match self {
            Self::Ecr(EcrTask::Plan(it)) => &it.common.output,
            Self::Ecr(EcrTask::Create(it)) => &it.common.output,
            Self::Ecr(EcrTask::Delete(it)) => &it.common.output,
            Self::Ecr(EcrTask::Lifecycle(LifecycleTask::Check(it))) => &it.output,
            Self::Ecr(EcrTask::Lifecycle(LifecycleTask::Preview(it))) => &it.common.output,
            Self::Ecr(EcrTask::Serve(it)) => &it.output,
            Self::Push(it) => &it.common.output,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
