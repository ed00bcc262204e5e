//! The state of a registry, which `aws` reads and `plan` compares with the desired state.

use std::collections::BTreeMap;

use ecr_lifecycle::StoredPolicy;
use ecr_types::{RepositoryName, ScanningRule};

use crate::config::desired::Encryption;

/// The state of a registry at the time of reading.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The requested repositories that exist.
    pub repositories: BTreeMap<RepositoryName, ObservedRepository>,
    /// The rules of the registry scanning configuration. Empty unless they were read.
    pub scanning_rules: Vec<ScanningRule>,
}

/// The state of a repository.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedRepository {
    pub arn: String,
    /// `HOST/NAME`, as in `docker push`.
    pub uri: String,
    /// The API value of `imageTagMutability`.
    pub image_tag_mutability: String,
    /// The patterns of `imageTagMutabilityExclusionFilters`.
    pub exclusion_filters: Vec<String>,
    pub scan_on_push: bool,
    /// `None` if AWS returns none, or an unknown encryption type.
    pub encryption: Option<Encryption>,
    pub lifecycle_policy: Property<Option<StoredPolicy>>,
    /// The text of the repository policy.
    pub repository_policy: Property<Option<String>>,
    /// The resource tags.
    pub tags: Property<BTreeMap<String, String>>,
}

/// A property that may not have been read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Property<T> {
    Known(T),
    /// The permission is missing.
    Denied,
    /// The property was not requested.
    #[default]
    Skipped,
}

impl<T> Property<T> {
    /// The value, if it was read.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Denied | Self::Skipped => None,
        }
    }
}

impl Observed {
    /// Whether the rules of the registry scan a repository. If they do, its `scanOnPush` has no effect.
    pub fn registry_scans(&self, name: &RepositoryName) -> bool {
        self.scanning_rules.iter().any(|rule| rule.scans(name))
    }
}
