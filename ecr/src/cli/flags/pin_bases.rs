//! The flags of `ecr pin-bases`.

use clap::Args;

use super::CommonArgs;

/// `ecr pin-bases`: show or write the digests of base images in the manifests
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct PinBases {
    /// Write the digests into the Cargo.toml files
    #[arg(long)]
    pub(crate) write: bool,
    /// Exit with code 2 if a base has no digest, or if its tag names another image now
    #[arg(long, conflicts_with = "write")]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}
