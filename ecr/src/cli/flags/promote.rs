//! The flags of `promote` and of `ecr deployed`.

use std::str::FromStr;

use clap::Args;
use ecr_types::Digest;

use super::{CommonArgs, GateArgs};
use crate::config::tag_template::TagTemplate;

/// `promote`: give an image that exists a further tag, in this or another account, region or repository
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Promote {
    /// Digest of the image, as @sha256:..., of one service [default: the image of --tag, of --from, or of the configured tags]
    #[arg(value_name = "@DIGEST", conflicts_with_all = ["tag", "rollback"])]
    pub(crate) digest: Option<AtDigest>,
    /// Environment that shall run the image, or a tag to put on it (ecr/docs/deploying.md describes tags with a number)
    #[arg(long, value_name = "ENV|TAG", required_unless_present = "rollback")]
    pub(crate) to: Option<String>,
    /// Environment that the image is taken from: the image that it runs, unless --tag or a digest names another one
    #[arg(long, value_name = "ENV", conflicts_with = "rollback")]
    pub(crate) from: Option<String>,
    /// Tag of the image
    #[arg(short, long, value_name = "TAG", conflicts_with = "rollback")]
    pub(crate) tag: Option<TagTemplate>,
    /// Promote the image that the environment ran before
    #[arg(long, value_name = "ENV", conflicts_with = "to")]
    pub(crate) rollback: Option<String>,
    /// Show what would be promoted, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Promote into protected repositories, and images that a lifecycle policy may take within 30 days, without asking
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Refuse images that ECR has not signed by a signing rule of the registry, with the AWS Signer profile PROFILE (an ARN or a
    /// name) if it is given
    #[arg(long, value_name = "PROFILE", num_args = 0..=1, require_equals = true, default_missing_value = "", help_heading = "Signing gate")]
    pub(crate) require_signed: Option<String>,
    #[command(flatten)]
    pub(crate) gate: GateArgs,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `ecr deployed`: show what each environment runs, by the tags that `promote` has put on images
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Deployed {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// A digest as an argument: `@sha256:...`, with or without the `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtDigest(pub Digest);

impl FromStr for AtDigest {
    type Err = InvalidAtDigest;

    fn from_str(text: &str) -> Result<Self, InvalidAtDigest> {
        let digest = text.strip_prefix('@').unwrap_or(text).parse();
        digest.map(Self).map_err(|_| InvalidAtDigest(text.to_owned()))
    }
}

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest such as @sha256:..., with 64 digits; --tag takes a tag, and -p a service")]
pub struct InvalidAtDigest(String);
