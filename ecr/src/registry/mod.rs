//! The settings of a whole registry: one account in one region. They change what commands mean for the repositories.

use ecr_types::{Pattern, RegistryId, RepositoryName, ScanningRule, namespace};

use crate::plan::observed::Property;

mod plan;
mod shared_layers;
mod template;

pub use plan::{RegistryStep, RegistryWrite, plan};
pub use shared_layers::SharedLayers;
pub use template::CreationTemplate;

/// The account setting that lets a push mount layers of other repositories (API reference, `PutAccountSetting`).
pub const BLOB_MOUNTING: &str = "BLOB_MOUNTING";

/// What is set for a registry. `Denied` is a missing permission; `Skipped` is a setting that could not be read for another
/// reason, such as a registry that does not have the operation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RegistrySettings {
    pub scanning: Property<Scanning>,
    /// Whether layers are mounted from other repositories of the registry.
    pub blob_mounting: Property<bool>,
    pub templates: Property<Vec<CreationTemplate>>,
    pub signing: Property<Vec<SigningRule>>,
    pub pull_through: Property<Vec<PullThroughRule>>,
    pub replication: Property<Vec<ReplicationRule>>,
    /// The ARNs of the principals whose pulls do not count as the last pull of an image.
    pub pull_time_exclusions: Property<Vec<String>>,
}

/// The scanning configuration (service model, `RegistryScanningConfiguration`).
#[derive(Debug, Clone, PartialEq)]
pub struct Scanning {
    /// `BASIC` or `ENHANCED`.
    pub kind: String,
    pub rules: Vec<ScanningRule>,
}

/// A rule by which ECR signs the images that are pushed (service model, `SigningRule`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningRule {
    /// The ARN of the AWS Signer profile.
    pub profile: String,
    /// Wildcards of repository names. Without any, the rule is about every repository.
    pub filters: Vec<String>,
}

impl SigningRule {
    /// Whether ECR signs the images of a repository by this rule.
    pub fn covers(&self, name: &RepositoryName) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|it| Pattern::new(it).matches(name.as_str()))
    }
}

/// A pull-through cache rule (service model, `PullThroughCacheRule`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullThroughRule {
    /// The namespace of the repositories that hold the copies, or `ROOT`.
    pub prefix: String,
    /// The URL of the registry that is copied from, such as `registry-1.docker.io`.
    pub upstream: String,
}

impl PullThroughRule {
    /// Whether a repository holds copies by this rule.
    pub fn covers(&self, name: &str) -> bool {
        namespace::covers(&self.prefix, name)
    }
}

/// A replication rule (service model, `ReplicationRule`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationRule {
    /// The regions and accounts to which images are copied.
    pub destinations: Vec<(String, RegistryId)>,
    /// The beginnings of repository names. Without any, the rule is about every repository.
    pub prefixes: Vec<String>,
}

impl ReplicationRule {
    /// Whether the images of a repository are copied (service model, `RepositoryFilterType`: `PREFIX_MATCH`).
    pub fn covers(&self, name: &RepositoryName) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|it| name.as_str().starts_with(it.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_cover_repositories_by_their_filters() {
        let name: RepositoryName = "team/my-app".parse().unwrap();
        let signs = |filters: &[&str]| {
            let filters = filters.iter().map(|it| (*it).to_owned()).collect();
            SigningRule { profile: String::new(), filters }.covers(&name)
        };
        assert!(signs(&[]) && signs(&["team/*"]) && signs(&["other", "*app"]));
        assert!(!signs(&["team"]) && !signs(&["my-*"]));
        let copies = |prefixes: &[&str]| {
            let prefixes = prefixes.iter().map(|it| (*it).to_owned()).collect();
            ReplicationRule { destinations: Vec::new(), prefixes }.covers(&name)
        };
        assert!(copies(&[]) && copies(&["te"]) && !copies(&["my-app"]));
        let caches = |prefix: &str| {
            PullThroughRule { prefix: prefix.to_owned(), upstream: String::new() }.covers(name.as_str())
        };
        assert!(caches("team") && caches("ROOT") && !caches("tea"));
    }
}
