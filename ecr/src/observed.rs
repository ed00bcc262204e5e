//! What AWS says of a registry, as plain values; `aws` fills them in, `plan` reads them.

use std::collections::BTreeMap;

use crate::desired::Encryption;
use crate::name::RepositoryName;
use crate::settings::wildcard_matches;

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
    /// The text of the lifecycle policy, if there is one.
    pub lifecycle_policy: Reading<Option<String>>,
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

/// A rule of the registry's scanning configuration (ECR API, `RegistryScanningRule`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanningRule {
    /// `SCAN_ON_PUSH`, `CONTINUOUS_SCAN` or `MANUAL`.
    pub frequency: String,
    /// The filters that choose repositories.
    pub filters: Vec<String>,
}

impl Observed {
    /// Whether the registry's own scanning rules cover a repository. Where they do, its `scanOnPush` is
    /// without effect (AWS, "Using filters": a filter without `*` matches every name that contains it).
    pub fn registry_scans(&self, name: &RepositoryName) -> bool {
        let matches = |filter: &String| match filter.contains('*') {
            true => wildcard_matches(filter, name.as_str()),
            false => name.as_str().contains(filter.as_str()),
        };
        let scanning = self.scanning_rules.iter().filter(|rule| rule.frequency != "MANUAL");
        scanning.flat_map(|rule| &rule.filters).any(matches)
    }
}
