//! argv -> [`Task`]. The only file that knows how a flag is spelled.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ecr_embedded::{DEFAULT_PORT, Fault};
use ecr_lifecycle::Timestamp;
use ecr_types::{InvalidPlatform, Platform, RegistryId};

use crate::aws::iam::Role;
use crate::config::tag_template::TagTemplate;

mod shared;
pub(crate) use shared::{Cargo, Common, GateArgs, Output, Selection, StorageArgs, WorkspaceArgs};

/// Container registries and images of this workspace
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub task: Task,
}

/// The tasks of xtask-ecr, to be run by `cargo xtask` or mounted in an enum of one's own.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it in a run")]
#[non_exhaustive]
pub enum Task {
    /// Keep Amazon ECR repositories in step with the workspace
    #[command(subcommand)]
    Ecr(EcrTask),
    /// Build the image of each service and push it
    Push(Push),
}

/// The tasks below `ecr`.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum EcrTask {
    /// Show what `create` would do, field by field
    Plan(Plan),
    /// Bring every repository to the desired state
    Create(Create),
    /// Delete the repositories with all their images
    Delete(Delete),
    /// Show how everything stands: environment, repositories, images, cost
    Status(Status),
    /// List what is in the repositories
    Images(Images),
    /// Show what ECR's scanner found in the images
    Scan(Scan),
    /// Check lifecycle policies, and see what they would take
    #[command(subcommand)]
    Lifecycle(LifecycleTask),
    /// Print a least-privilege IAM policy for these repositories
    IamPolicy(IamPolicy),
    /// Log docker or podman in; `push` needs no login
    Login(Login),
    /// Run the embedded ECR until Ctrl-C
    Serve(Serve),
}

/// The tasks below `ecr lifecycle`.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum LifecycleTask {
    /// Find what ECR would refuse, and what would surprise
    Check(LifecycleCheck),
    /// Show which images a policy would take, and by which rule
    Preview(LifecyclePreview),
}

/// `ecr lifecycle check`
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct LifecycleCheck {
    /// The policy [default: every policy that the workspace uses]
    pub(crate) file: Option<PathBuf>,
    /// The manifest of the workspace [default: that of the current directory]
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest_path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `ecr lifecycle preview`
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct LifecyclePreview {
    /// Try this policy instead of each repository's own
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Take the images from FILE, as `ecr images --format json` prints them, and ask no registry
    #[arg(long, value_name = "FILE", conflicts_with = "aws")]
    pub(crate) images: Option<PathBuf>,
    /// Evaluate as of this time, such as 2026-06-15T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "aws")]
    pub(crate) now: Option<Timestamp>,
    /// Also ask ECR for its own preview, and show where it disagrees
    #[arg(long)]
    pub(crate) aws: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `ecr plan`
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Plan {
    /// Exit with 2 if anything would change
    #[arg(long)]
    pub(crate) check: bool,
    /// Also look for repositories of this project that the workspace no longer names
    ///
    /// This reads the resource tags of every other repository in the account.
    #[arg(long)]
    pub(crate) orphans: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `ecr create`
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Create {
    /// Do not ask before a lifecycle policy takes tagged images
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Refuse a lifecycle policy that would take an image named in FILE: references or digests, one a line, or
    /// Kubernetes YAML
    #[arg(long, value_name = "FILE")]
    pub(crate) in_use: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `ecr delete`
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Delete {
    /// Do not ask for the project's name to be typed
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Also delete repositories of this project that the workspace no longer names
    #[arg(long)]
    pub(crate) orphans: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `ecr status`
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Status {
    /// Also look for repositories of this project that the workspace no longer names
    ///
    /// This reads the resource tags of every other repository in the account.
    #[arg(long)]
    pub(crate) orphans: bool,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `ecr images`
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Images {
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `ecr scan`
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Scan {
    /// The images with this tag [default: those with the configured tags, else the newest] (repeatable; `{version}`,
    /// `{git-sha}`, `{git-short-sha}`)
    #[arg(short, long, value_name = "TAG", conflicts_with = "all")]
    pub(crate) tag: Vec<TagTemplate>,
    /// Every image, without artifacts such as signatures
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) gate: GateArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `ecr iam-policy`
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct IamPolicy {
    /// Whom it is for
    #[arg(value_enum)]
    pub(crate) role: Role,
    /// Let --orphans work, too, which looks at every repository of the account
    #[arg(long)]
    pub(crate) orphans: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `ecr login`
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Login {
    /// docker, podman, or the path of a program with their command line [default: the first that works]
    #[arg(long, value_name = "PROGRAM", conflicts_with = "print_token")]
    pub(crate) engine: Option<PathBuf>,
    /// Print the password of the user AWS on stdout, for scripts
    #[arg(long)]
    pub(crate) print_token: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `ecr serve`
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Serve {
    /// The port on 127.0.0.1; 0 for any free one
    #[arg(long, default_value_t = DEFAULT_PORT)]
    pub(crate) port: u16,
    /// The folder of the state [default: target/ecr-local]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The account to play [default: the workspace's `account-id`, else 000000000000]
    #[arg(long, value_name = "ID")]
    pub(crate) account_id: Option<RegistryId>,
    /// Verify every digest of the state, and serve nothing
    #[arg(long)]
    pub(crate) check: bool,
    /// A failure to inject (repeatable): KIND=OPERATION, KIND=OPERATION:N for the first N, or KIND=OPERATION:P%
    ///
    /// KIND is deny, ignore, throttle, error (status 500), drop (the connection ends in the middle of a body), expire
    /// (credentials), forget (an upload) or slow (slow=OPERATION:200ms). OPERATION is one of ECR's, or `*`. `seed=NUMBER` starts the
    /// generator for percentages.
    #[arg(long, value_name = "FAULT")]
    pub(crate) fault: Vec<Fault>,
    /// Answer under this name too, beside the loopback ones (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,
    /// Append a line of JSON for each request to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) request_log: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) workspace: WorkspaceArgs,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Who builds images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BuilderKind {
    /// This program: no Docker, no Dockerfile
    Native,
    /// docker or podman, with the service's Dockerfile, or with one around its binary
    Docker,
}

/// A binary that was built elsewhere: `linux/arm64=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenBinary {
    /// What it runs on.
    pub platform: Platform,
    /// The file, or the folder that holds it under the name of its target.
    pub path: PathBuf,
}

impl FromStr for GivenBinary {
    type Err = InvalidBinary;

    fn from_str(text: &str) -> Result<Self, InvalidBinary> {
        let wrong = || InvalidBinary::Syntax(text.to_owned());
        let (platform, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(wrong)?;
        Ok(Self { platform: platform.parse()?, path: path.into() })
    }
}

/// Why a text is not a binary for a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBinary {
    /// It is not written as one.
    #[error("`{0}` is not PLATFORM=PATH, such as linux/arm64=target/arm64/my-app")]
    Syntax(String),
    /// The platform is not one.
    #[error(transparent)]
    Platform(#[from] InvalidPlatform),
}

/// `push`
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Push {
    /// Create missing repositories first, as `ecr create` does
    #[arg(long)]
    pub(crate) create: bool,
    /// Do not ask, with --create
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// The tag to push, instead of the configured ones (repeatable; `{version}`, `{git-sha}`, `{git-short-sha}`, `{digest}`)
    #[arg(short, long, value_name = "TAG")]
    pub(crate) tag: Vec<TagTemplate>,
    /// Who builds the images [default: docker for services with a Dockerfile, else native]
    #[arg(long, value_enum)]
    pub(crate) builder: Option<BuilderKind>,
    /// Build for these platforms, such as linux/amd64,linux/arm64 [default: the service's, else this machine's]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub(crate) platform: Vec<Platform>,
    /// Do not compile for PLATFORM, but take the binary from PATH: a file, or a folder that holds it (repeatable)
    #[arg(long, value_name = "PLATFORM=PATH")]
    pub(crate) binary: Vec<GivenBinary>,
    /// Compile, build and hash, but send nothing
    #[arg(long, conflicts_with = "fail_on")]
    pub(crate) dry_run: bool,
    /// Write the images to an OCI layout in DIR instead of pushing them
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dry_run", "create", "skip_existing", "fail_on", "image_refs"])]
    pub(crate) oci_layout: Option<PathBuf>,
    /// Load the images into docker or podman instead of pushing them
    #[arg(long, conflicts_with_all = ["dry_run", "create", "skip_existing", "fail_on", "image_refs"])]
    pub(crate) load: bool,
    /// docker, podman, or the path of a program with their command line [default: the first that works]
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) engine: Option<PathBuf>,
    /// Build with `docker buildx build --push` on this builder, which may be remote, and push from there
    #[arg(long, value_name = "NAME", conflicts_with_all = ["load", "oci_layout", "dry_run"])]
    pub(crate) engine_builder: Option<String>,
    /// Arguments for `docker build`, after `--`
    #[arg(last = true, value_name = "ARG")]
    pub(crate) engine_args: Vec<String>,
    /// Do not build a service whose tags all exist
    #[arg(long)]
    pub(crate) skip_existing: bool,
    /// Push from a working tree with uncommitted changes
    #[arg(long)]
    pub(crate) allow_dirty: bool,
    /// Also write the digest references to FILE, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) image_refs: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) gate: GateArgs,
    #[command(flatten)]
    pub(crate) cargo: Cargo,
    #[command(flatten)]
    pub(crate) common: Common,
}
