//! The document of `ecr delete`.

use ecr_types::RepositoryName;
#[cfg(test)]
use ecr_types::{Region, RegistryId};
use serde::Serialize;

#[cfg(test)]
use super::schema::rules;

/// The result of `ecr delete` for each repository.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeleteReport {
    /// The id of the AWS account.
    #[cfg_attr(test, schemars(with = "RegistryId"))]
    pub account: String,
    /// The AWS region.
    #[cfg_attr(test, schemars(with = "Region"))]
    pub region: String,
    /// The name of the project. Null if the workspace has none.
    pub project: Option<String>,
    /// The selected repositories and, with `--orphans`, the orphans.
    pub repositories: Vec<DeleteEntry>,
    /// Whether the command was interrupted, so that parts of it were not done. Absent unless it was.
    #[serde(skip_serializing_if = "super::is_false")]
    pub interrupted: bool,
}

/// A repository and the result of its deletion.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "DeletedRepository", transform = rules::delete_error)
)]
pub struct DeleteEntry {
    /// The name of the repository.
    pub name: RepositoryName,
    /// The outcome.
    pub outcome: DeleteOutcome,
    /// The number of images before the deletion. Null if they may not be listed.
    pub images: Option<u64>,
    /// The total size of the images in bytes, before the deletion. Null if they may not be listed.
    pub bytes: Option<u64>,
    /// The error, or the reason for the refusal. Null if there is none.
    pub error: Option<String>,
}

/// An outcome of `ecr delete` for a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DeleteOutcome {
    /// The repository was deleted with all its images.
    Deleted,
    /// The repository does not exist.
    NotFound,
    /// The repository is protected, belongs to another project, or its owner is unknown. It was not deleted.
    Refused,
    /// The repository was not deleted, because another one was refused or the deletion was not confirmed.
    Kept,
    /// The request failed.
    Failed,
}
