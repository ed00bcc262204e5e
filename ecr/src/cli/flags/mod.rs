//! The command line as clap types, from which `--help` is generated.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ecr_lifecycle::Timestamp;

use crate::aws::iam::{Pipeline, Role};
use crate::config::tag_template::TagTemplate;

mod explain;
mod init;
mod pin_bases;
mod promote;
mod push;
mod resolve;
mod serve;
mod shared;
pub use explain::Explain;
pub use init::Init;
pub use pin_bases::PinBases;
pub use promote::{Deployed, Promote};
pub use push::{BuilderKind, Push};
pub use resolve::Resolve;
pub use serve::{Compat, Serve};
pub(crate) use shared::{
    CargoArgs, CommonArgs, GateArgs, OutputArgs, SelectionArgs, StorageArgs, WorkspaceArgs,
};

/// Manage the container repositories and images of a cargo workspace
#[derive(Debug, Parser)]
#[command(version, display_name = "xtask-ecr", max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub task: Task,
}

/// Manage the container repositories and images of a cargo workspace
#[derive(Debug, Parser)]
#[command(version, display_name = "xtask-ecr", max_term_width = 100)]
pub(crate) struct InstalledCli {
    #[command(subcommand)]
    pub task: InstalledTask,
}

/// The tasks of `cargo ecr`, where those below `ecr` need no such word.
#[derive(Debug, Subcommand)]
pub(crate) enum InstalledTask {
    #[command(flatten)]
    Ecr(EcrTask),
    /// Build the image of each service and push it
    Push(Push),
    #[command(flatten)]
    Delivery(DeliveryTask),
}

/// The tasks of xtask-ecr. An xtask with tasks of its own can flatten them into its own enum.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum Task {
    /// Manage the Amazon ECR repositories of the workspace
    #[command(subcommand)]
    Ecr(EcrTask),
    /// Build the image of each service and push it
    Push(Push),
    /// The tasks on images that exist
    #[command(flatten)]
    Delivery(DeliveryTask),
}

/// The tasks on images that exist.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum DeliveryTask {
    /// Replace ecr://NAME in deployment files by references of images
    ///
    /// NAME is a package or a repository of the workspace. ecr://my-app becomes HOST/my-app@sha256:...; with a fragment it is
    /// another part of the reference: #tagged (HOST/my-app:TAG@sha256:...), #repository, #digest or #tag. In a line that ends in
    /// the comment `# ecr://my-app`, the reference before the comment is replaced, so that the file can be resolved again. Lines
    /// that are comments stay as they are, and so does every other byte.
    Resolve(Resolve),
    /// Give an image that exists a further tag, in this or another account, region or repository
    ///
    /// To an environment, the image is copied by its digest into the repository that the service has there, with all that
    /// belongs to it, and gets the next tag of the environment: prod-0001, prod-0002 and so on, or the tag of `promote-tag`.
    /// The digest stays the same. What the target has is not sent again, so that an interrupted promotion is completed by the
    /// next one. To a tag, the image gets the tag in its repository.
    Promote(Promote),
}

/// The subcommands of `ecr`.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum EcrTask {
    /// Show or write what this workspace needs to use the tool
    Init(Init),
    /// Show what `ecr create` would change
    Plan(Plan),
    /// Create missing repositories and update the settings of existing ones
    Create(Create),
    /// Delete the repositories and all their images
    Delete(Delete),
    /// Show a summary of the environment, repositories, images and storage cost
    Status(Status),
    /// Show every setting with the place that it comes from
    Explain(Explain),
    /// List the images in the repositories
    Images(Images),
    /// Show the findings of ECR image scans
    Scan(Scan),
    /// Check lifecycle policies and preview their effect
    #[command(subcommand)]
    Lifecycle(LifecycleTask),
    /// Print a least-privilege IAM policy for the repositories
    IamPolicy(IamPolicy),
    /// Show or write the digests of base images in the manifests
    PinBases(PinBases),
    /// Show what each environment runs, by the tags that `promote` has put on images
    Deployed(Deployed),
    /// Log docker or podman in to the registry (`push` does not need this)
    Login(Login),
    /// Run the embedded ECR in the foreground, until Ctrl-C
    Serve(Serve),
    /// Print the script with which a shell completes `cargo-ecr`
    Completions(Completions),
    /// Write the manual pages of `cargo-ecr` and its commands
    Man(Man),
}

/// `ecr man`: write the manual pages of the installed program, `cargo-ecr`
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Man {
    /// The folder for the pages, such as ~/.local/share/man/man1; it is created if it does not exist
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `ecr completions`: print the script with which a shell completes the installed program, `cargo-ecr`
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The subcommands of `ecr lifecycle`.
#[expect(clippy::large_enum_variant, reason = "a run has one value of it")]
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum LifecycleTask {
    /// Report errors and likely mistakes in lifecycle policies
    Check(LifecycleCheck),
    /// Show which images a policy would expire or archive, and by which rule
    Preview(LifecyclePreview),
}

/// `ecr lifecycle check`: report errors and likely mistakes in lifecycle policies
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct LifecycleCheck {
    /// Policy file to check [default: all policies that the workspace uses]
    pub(crate) file: Option<PathBuf>,
    /// Path to the workspace's Cargo.toml [default: found from the current directory]
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest_path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `ecr lifecycle preview`: show which images a policy would expire or archive
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct LifecyclePreview {
    /// Evaluate the policy in FILE instead of the policy of each repository
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Read the images from FILE, in the output format of `ecr images --format json`, not from a registry
    #[arg(long, value_name = "FILE", conflicts_with = "aws")]
    pub(crate) images: Option<PathBuf>,
    /// Evaluate the policy as of TIME, such as 2026-06-15T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "aws")]
    pub(crate) now: Option<Timestamp>,
    /// Also request a preview from ECR and show the differences
    #[arg(long)]
    pub(crate) aws: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `ecr plan`: show what `ecr create` would change
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Plan {
    /// Exit with code 2 if there are changes
    #[arg(long)]
    pub(crate) check: bool,
    /// Also list repositories of this project that the workspace no longer defines
    ///
    /// This reads the resource tags of all other repositories in the account.
    #[arg(long)]
    pub(crate) orphans: bool,
    /// Also plan the settings of the whole registry that [workspace.metadata.ecr.registry] names
    ///
    /// They concern everybody who uses the registry of the account and region.
    #[arg(long)]
    pub(crate) registry: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `ecr create`: create missing repositories and update the settings of existing ones
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Create {
    /// Do not ask for confirmation before a lifecycle policy expires or archives tagged images
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Refuse lifecycle policies that would expire or archive an image listed in FILE: image references or
    /// digests, one per line, or Kubernetes YAML
    #[arg(long, value_name = "FILE")]
    pub(crate) in_use: Option<PathBuf>,
    /// Also change the settings of the whole registry that [workspace.metadata.ecr.registry] names
    ///
    /// They concern everybody who uses the registry of the account and region.
    #[arg(long)]
    pub(crate) registry: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `ecr delete`: delete the repositories and all their images
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Delete {
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Also delete repositories of this project that the workspace no longer defines
    #[arg(long)]
    pub(crate) orphans: bool,
    /// Delete repositories although the permission to read their resource tags is missing
    ///
    /// The resource tag `Project` names the project that a repository belongs to. Without ecr:ListTagsForResource it is
    /// unknown, and nothing is deleted. With this flag, too, a repository is refused if its tag names another project, or if
    /// reading its tags fails for another reason than the permission.
    #[arg(long)]
    pub(crate) assume_owned: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `ecr status`: show a summary of the environment, repositories, images and storage cost
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Status {
    /// Also list repositories of this project that the workspace no longer defines
    ///
    /// This reads the resource tags of all other repositories in the account.
    #[arg(long)]
    pub(crate) orphans: bool,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `ecr images`: list the images in the repositories
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Images {
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `ecr scan`: show the findings of ECR image scans
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Scan {
    /// Tag of the images to show (repeatable; placeholders: `{version}`, `{git-sha}`, `{git-short-sha}`)
    /// [default: the configured tags, or the newest image if none of them exists]
    #[arg(short, long, value_name = "TAG", conflicts_with = "all")]
    pub(crate) tag: Vec<TagTemplate>,
    /// Show all images, except artifacts such as signatures
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) gate: GateArgs,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `ecr iam-policy`: print a least-privilege IAM policy for the repositories
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct IamPolicy {
    /// Role to generate the policy for
    #[arg(value_enum)]
    pub(crate) role: Role,
    /// Also permit the --orphans flag, which reads all repositories in the account
    #[arg(long)]
    pub(crate) orphans: bool,
    /// Also permit what the settings of the whole registry require, and with `provision` changing them (--registry)
    ///
    /// For `ci` this reads the signing rules and the pull-through cache rules of the registry: signing needs
    /// signer:SignPayload, and bases behind a cache need ecr:BatchImportUpstreamImage and ecr:CreateRepository.
    #[arg(long, conflicts_with = "trust")]
    pub(crate) registry: bool,
    /// Print the trust policy of the role instead: which pipeline may assume it, by OpenID Connect (repeatable)
    ///
    /// PIPELINE is github:OWNER/REPO, gitlab:GROUP/PROJECT (of gitlab.com) or buildkite:ORG/PIPELINE, followed by
    /// @refs/heads/BRANCH, @refs/tags/TAG or, for GitHub, @environment:NAME. Without these it is the branch `main`. The
    /// subjects of GitHub repositories that were made, renamed or transferred since July 2026 have numbers:
    /// github:OWNER@OWNER-ID/REPO@REPO-ID.
    #[arg(long, value_name = "PIPELINE", conflicts_with = "orphans")]
    pub(crate) trust: Vec<Pipeline>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `ecr login`: log docker or podman in to the registry
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Login {
    /// docker, podman, or the path of a program with the same command line [default: the first that works]
    #[arg(long, value_name = "PROGRAM", conflicts_with = "print_token")]
    pub(crate) engine: Option<PathBuf>,
    /// Print the password of the user `AWS` on stdout instead of logging in
    #[arg(long)]
    pub(crate) print_token: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }
}
