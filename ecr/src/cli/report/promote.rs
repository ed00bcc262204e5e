//! The document of `promote`.

use ecr_types::human::size;
use ecr_types::{Digest, ImageTag, RepositoryName};
use serde::Serialize;

use super::push::service_name;

/// The result of `promote` for the image of each service.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PromoteReport {
    /// The environment of the target. Null if the images only got a tag.
    pub environment: Option<String>,
    /// The host of the registry that was written to. Null if no repository exists there.
    pub registry: Option<String>,
    /// The images, one for each selected service.
    pub images: Vec<PromotedEntry>,
    /// Whether the command was interrupted, so that parts of it were not done. Absent unless it was.
    #[serde(skip_serializing_if = "super::is_false")]
    pub interrupted: bool,
}

/// The image of a service and the result of its promotion. The sizes are those of blobs, in bytes.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "PromotedImage"))]
#[serde(rename_all = "camelCase")]
pub struct PromotedEntry {
    /// The package of the service.
    pub package: String,
    /// The name of the service: the key of its table below `services`, or that of the package.
    pub service: String,
    /// The repository that the image was promoted to.
    pub repository: RepositoryName,
    /// The outcome.
    pub outcome: PromoteOutcome,
    /// The tag that the image has, or would have. Empty if the promotion failed before it was determined.
    pub tags: Vec<ImageTag>,
    /// The digest of the image. Null if there is no image.
    pub digest: Option<Digest>,
    /// The reference of the image in the target: host, repository and digest. Null if there is no image.
    #[cfg_attr(test, schemars(regex(pattern = r"^[^/]+/.+@sha256:[0-9a-f]{64}$")))]
    pub reference: Option<String>,
    /// Where the image was found. Null if it was not.
    pub from: Option<PromotedFrom>,
    /// The size of the blobs that were uploaded.
    pub uploaded_bytes: u64,
    /// The size of the blobs that were mounted from the other repository.
    pub mounted_bytes: u64,
    /// The size of the blobs that the repository had already.
    pub skipped_bytes: u64,
    /// The number of artifacts that were copied with the image, such as SBOMs and signatures.
    pub artifacts: u64,
    /// Why the promotion was refused, or needs a confirmation. Empty if nothing speaks against it.
    pub reasons: Vec<String>,
    /// The error. Null if there is none.
    pub error: Option<String>,
}

/// The image that was promoted.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PromotedFrom {
    /// The host of the registry.
    pub registry: String,
    /// The repository.
    pub repository: RepositoryName,
    /// The tag by which the image was found. Null if it was named by its digest.
    pub tag: Option<String>,
}

/// An outcome of `promote` for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PromoteOutcome {
    /// The image got the tag.
    Promoted,
    /// The image has the tag already, or the environment runs it already.
    Unchanged,
    /// The tag is immutable and is that of another image.
    Conflict,
    /// A reason speaks against the promotion.
    Refused,
    /// Nothing was promoted, because the promotion of another image was refused.
    Kept,
    /// The promotion failed.
    Failed,
    /// With `--dry-run`: the image would get the tag.
    DryRun,
}

impl PromotedEntry {
    /// The name of the service for people.
    pub fn name(&self) -> String {
        service_name(&self.package, &self.service)
    }

    /// What was sent, for people: ` (1.2 MB uploaded, 1 artifact)`, or nothing.
    pub fn sent(&self) -> String {
        let sizes = [
            (self.uploaded_bytes, "uploaded"),
            (self.mounted_bytes, "mounted"),
            (self.skipped_bytes, "already present"),
        ];
        let mut parts: Vec<_> = sizes
            .iter()
            .filter(|(bytes, _)| *bytes > 0)
            .map(|(bytes, word)| format!("{} {word}", size(*bytes)))
            .collect();
        if self.artifacts > 0 {
            parts.push(ecr_types::human::count(self.artifacts, "artifact"));
        }
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
    }
}
