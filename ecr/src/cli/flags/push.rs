//! The flags of `push`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use ecr_types::{InvalidPlatform, Platform};

use super::{CargoArgs, CommonArgs, GateArgs};
use crate::config::tag_template::TagTemplate;
use crate::plan::partition::Partition;

/// The builder of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BuilderKind {
    /// The built-in builder, without Docker and without a Dockerfile
    Native,
    /// docker or podman, with the service's Dockerfile, or with a generated one that adds its binary
    Docker,
}

/// A binary that was built elsewhere: `linux/arm64=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrebuiltBinary {
    pub platform: Platform,
    /// The file, or the folder that contains it under the name of its cargo target.
    pub path: PathBuf,
}

impl FromStr for PrebuiltBinary {
    type Err = InvalidPrebuiltBinary;

    fn from_str(text: &str) -> Result<Self, InvalidPrebuiltBinary> {
        let wrong = || InvalidPrebuiltBinary::Syntax(text.to_owned());
        let (platform, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(wrong)?;
        Ok(Self { platform: platform.parse()?, path: path.into() })
    }
}

/// An invalid value of `--binary`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrebuiltBinary {
    #[error("`{0}` is not PLATFORM=PATH, such as linux/arm64=target/arm64/my-app")]
    Syntax(String),
    #[error(transparent)]
    Platform(#[from] InvalidPlatform),
}

/// `push`: build the image of each service and push it
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Push {
    /// First create and update the repositories, as `ecr create` does
    #[arg(long)]
    pub(crate) create: bool,
    /// Do not ask for confirmation, with --create
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Tag to push instead of the configured tags (repeatable; placeholders: `{version}`, `{git-sha}`,
    /// `{git-short-sha}`, `{branch}`, `{pr}`, `{digest}`)
    #[arg(short, long, value_name = "TAG")]
    pub(crate) tag: Vec<TagTemplate>,
    /// Builder of the images [default: docker for services with a Dockerfile, native for all others]
    #[arg(long, value_enum)]
    pub(crate) builder: Option<BuilderKind>,
    /// Platforms of the images, such as linux/amd64,linux/arm64 [default: the service's `platforms`, or the
    /// platform of this machine]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub(crate) platform: Vec<Platform>,
    /// Use the binary at PATH (a file, or a folder with files named after the binary targets) instead of
    /// compiling for PLATFORM (repeatable)
    #[arg(long, value_name = "PLATFORM=PATH")]
    pub(crate) binary: Vec<PrebuiltBinary>,
    /// Compile the services and build the images, but do not push them
    #[arg(long, conflicts_with_all = ["fail_on", "require_signed"])]
    pub(crate) dry_run: bool,
    /// Write the images to an OCI image layout in DIR instead of pushing them
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dry_run", "create", "skip_existing", "fail_on", "require_signed", "image_refs"])]
    pub(crate) oci_layout: Option<PathBuf>,
    /// Load the images into docker or podman instead of pushing them
    #[arg(long, conflicts_with_all = ["dry_run", "create", "skip_existing", "fail_on", "require_signed", "image_refs"])]
    pub(crate) load: bool,
    /// docker, podman, or the path of a program with the same command line [default: the first that works]
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) engine: Option<PathBuf>,
    /// Build and push with `docker buildx build --push` on the builder NAME, which may be remote
    #[arg(long, value_name = "NAME", conflicts_with_all = ["load", "oci_layout", "dry_run"])]
    pub(crate) engine_builder: Option<String>,
    /// Additional arguments for `docker build`
    #[arg(last = true, value_name = "ARG")]
    pub(crate) engine_args: Vec<String>,
    /// Do not build services whose tags all exist
    #[arg(long)]
    pub(crate) skip_existing: bool,
    /// Allow a working tree with uncommitted changes
    #[arg(long)]
    pub(crate) allow_dirty: bool,
    /// Also write the digest references to FILE, one per line. References that are there stay, except those of the
    /// same repositories, so that the parts of a push and its retries make one list
    #[arg(long, value_name = "FILE")]
    pub(crate) image_refs: Option<PathBuf>,
    /// Build only services of which something has changed since the last common commit of HEAD and REF; with `published`,
    /// since the commit of each service's newest image. The others get their tags and references from the images that they
    /// have. 000..0, the commit before the first push of a branch, stands for everything
    #[arg(long, value_name = "REF", conflicts_with_all = ["oci_layout", "load"])]
    pub(crate) since: Option<String>,
    /// With --since: say why each service is built
    #[arg(long, requires = "since")]
    pub(crate) explain: bool,
    /// Build and push nothing; list the services, and with --since whether and why they would be built
    #[arg(long, conflicts_with_all = ["create", "dry_run", "oci_layout", "load", "skip_existing", "fail_on", "require_signed", "image_refs"])]
    pub(crate) list: bool,
    /// Only the services of part I of N parts. A service stays in its part, whatever others are selected
    #[arg(long, value_name = "I/N")]
    pub(crate) partition: Option<Partition>,
    /// Build and push nothing; print the references of these files of --image-refs as one list. Two digests of one
    /// repository are an error
    #[arg(
        long, value_name = "FILE", num_args = 1..,
        conflicts_with_all = ["create", "tag", "dry_run", "oci_layout", "load", "skip_existing", "since", "list", "partition", "fail_on", "require_signed"]
    )]
    pub(crate) merge_refs: Vec<PathBuf>,
    /// Exit with code 4 unless ECR has signed the image by a signing rule of the registry, with the AWS Signer profile
    /// PROFILE (an ARN or a name) if it is given; an index and all images that it lists must be signed
    #[arg(long, value_name = "PROFILE", num_args = 0..=1, require_equals = true, default_missing_value = "", help_heading = "Signing gate")]
    pub(crate) require_signed: Option<String>,
    #[command(flatten)]
    pub(crate) gate: GateArgs,
    #[command(flatten)]
    pub(crate) cargo: CargoArgs,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}
