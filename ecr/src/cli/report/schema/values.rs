//! The types of members that have no Rust type of their own: texts of the API and [`serde_json::Value`]s.
#![expect(dead_code, reason = "only their schemas are used")]

use std::collections::BTreeMap;

use ecr_types::{EncryptionType, ImageTagMutability};
use schemars::JsonSchema;
use serde_json::Value;

use crate::scan::Severity;

/// The number of findings of each severity. A severity without findings may be absent.
#[derive(JsonSchema)]
#[schemars(rename = "FindingCounts")]
pub struct Counts(BTreeMap<Severity, u64>);

/// The state of a repository, compared with the configuration.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum RepositoryState {
    /// The repository does not exist.
    Absent,
    /// The repository exists and differs from the configuration.
    Drifted,
    /// The repository is as configured.
    Current,
    /// A field differs that cannot be changed, or the repository could not be read.
    Blocked,
    /// The repository belongs to another project.
    Foreign,
}

/// An operation of the ECR API that changes a repository.
#[derive(JsonSchema)]
pub enum Operation {
    CreateRepository,
    PutImageTagMutability,
    PutImageScanningConfiguration,
    PutLifecyclePolicy,
    DeleteLifecyclePolicy,
    SetRepositoryPolicy,
    TagResource,
}

/// A field of a repository that can be changed after its creation.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub enum WritableField {
    ImageTagMutability,
    ImageTagMutabilityExclusionFilters,
    ScanOnPush,
    LifecyclePolicy,
    RepositoryPolicy,
    Tags,
}

/// A field of a repository.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub enum Field {
    ImageTagMutability,
    ImageTagMutabilityExclusionFilters,
    ScanOnPush,
    LifecyclePolicy,
    RepositoryPolicy,
    Tags,
    EncryptionConfiguration,
}

/// The fields with which a repository is created, as `plan::differences` writes them.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", description = "The fields with which a repository is created.")]
pub struct CreateRequest {
    /// Whether a pushed tag may be moved to another image.
    image_tag_mutability: ImageTagMutability,
    /// Whether ECR scans an image when it is pushed.
    scan_on_push: bool,
    /// The resource tags, including those that this tool adds.
    tags: BTreeMap<String, String>,
    /// The exceptions from the mutability. Absent if there are none.
    #[schemars(skip_serializing_if = "Option::is_none", with = "Filters", extend("minItems" = 1))]
    image_tag_mutability_exclusion_filters: Option<Filters>,
    /// The encryption. Absent if it is not configured.
    #[schemars(skip_serializing_if = "Option::is_none", with = "Encryption")]
    encryption_configuration: Option<Encryption>,
}

/// Patterns of the tags that are exceptions from the mutability.
#[derive(JsonSchema)]
#[schemars(rename = "ExclusionFilters")]
pub struct Filters(
    #[schemars(length(max = 5), inner(regex(pattern = r"^[0-9a-zA-Z._*-]{1,128}$")))] Vec<String>,
);

/// The encryption at rest.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Encryption {
    /// The type of the encryption.
    encryption_type: EncryptionType,
    /// The key of AWS KMS. Absent if none is named.
    #[schemars(skip_serializing_if = "Option::is_none", with = "String")]
    kms_key: Option<String>,
}

/// A policy. It is a string only if AWS stores a text that is not valid JSON.
#[derive(JsonSchema)]
#[schemars(extend("type" = ["object", "string"]))]
pub struct Policy(Value);
