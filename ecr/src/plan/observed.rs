//! What AWS says of a registry, as plain values; `aws` fills them in, `plan` reads them.

use std::collections::BTreeMap;

use ecr_lifecycle::StoredPolicy;
use ecr_types::{RepositoryName, ScanningRule};

use crate::config::desired::Encryption;

/// The registry as it was when it was looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The repositories that were asked for and exist.
    pub repositories: BTreeMap<RepositoryName, ObservedRepository>,
    /// The registry's own scanning rules, read only where they could matter.
    pub scanning_rules: Vec<ScanningRule>,
}

/// A repository as AWS describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedRepository {
    /// Its ARN.
    pub arn: String,
    /// Host and name, as `docker push` takes them.
    pub uri: String,
    /// `imageTagMutability`, as the API spells it.
    pub image_tag_mutability: String,
    /// The patterns of `imageTagMutabilityExclusionFilters`.
    pub exclusion_filters: Vec<String>,
    /// `imageScanningConfiguration.scanOnPush`.
    pub scan_on_push: bool,
    /// Encryption at rest; `None` where AWS does not say.
    pub encryption: Option<Encryption>,
    /// The lifecycle policy, if there is one.
    pub lifecycle_policy: Reading<Option<StoredPolicy>>,
    /// The text of the repository policy, if there is one.
    pub repository_policy: Reading<Option<String>>,
    /// The resource tags.
    pub tags: Reading<BTreeMap<String, String>>,
}

/// Something that was read, or could not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<T> {
    /// It was read.
    Known(T),
    /// The permission to read it is missing.
    Denied,
    /// Nobody asked.
    Skipped,
}

impl<T> Reading<T> {
    /// What was read.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Denied | Self::Skipped => None,
        }
    }
}

impl Observed {
    /// Whether the registry's own scanning rules scan a repository. Where they do, its `scanOnPush` has no effect.
    pub fn registry_scans(&self, name: &RepositoryName) -> bool {
        self.scanning_rules.iter().any(|rule| rule.scans(name))
    }
}
