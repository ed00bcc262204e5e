//! The flags of `ecr explain`.

use std::path::PathBuf;

use clap::Args;

use super::{OutputArgs, SelectionArgs, WorkspaceArgs};

/// `ecr explain`: show every setting with the place that it comes from
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Explain {
    /// Only the settings whose key is KEY or begins with it, such as `region`, `image` or `tags.team`
    pub(crate) key: Option<String>,
    /// AWS profile to use (--profile selects the cargo profile)
    #[arg(long, value_name = "NAME")]
    pub(crate) aws_profile: Option<String>,
    /// Accepted as in the other commands; the settings are the same
    #[arg(long, hide = true)]
    pub(crate) local: bool,
    /// As above
    #[arg(long, hide = true, requires = "local")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    #[command(flatten)]
    pub(crate) workspace: WorkspaceArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
