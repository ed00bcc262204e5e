//! The flags of `ecr init`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;
use crate::adoption::Way;

/// `ecr init`: show or write what this workspace needs to use the tool
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Init {
    /// Write the files. Nothing that is there is overwritten, and a second run changes nothing
    #[arg(long)]
    pub(crate) write: bool,
    /// How the tool gets into the repository
    #[arg(long, value_enum, default_value_t)]
    pub(crate) way: Way,
    /// Where the tool is, for an xtask: a checkout of it, or the address of its git repository
    #[arg(long, value_name = "PATH|URL")]
    pub(crate) source: Option<String>,
    /// Path to the workspace's Cargo.toml [default: found from the current directory]
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest_path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
