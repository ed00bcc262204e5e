//! Settings of repositories and registries with the values of the ECR API.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Pattern, RepositoryName};

/// The text is not one of the values that the service model's enum has. The message lists them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{found}` is not one of {allowed}")]
pub struct InvalidValue {
    found: String,
    allowed: String,
}

impl InvalidValue {
    fn new(found: &str, allowed: &[&str]) -> Self {
        Self { found: found.to_owned(), allowed: allowed.join(", ") }
    }
}

/// Whether a pushed tag may be moved to another image (service model, `ImageTagMutability`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ImageTagMutability {
    /// `MUTABLE`: all tags may be moved. This is the default of the ECR API.
    Mutable,
    /// `IMMUTABLE`: no tag may be moved.
    Immutable,
    /// `IMMUTABLE_WITH_EXCLUSION`: only tags that match an exclusion filter may be moved.
    ImmutableWithExclusion,
    /// `MUTABLE_WITH_EXCLUSION`: all tags may be moved except those that match an exclusion filter.
    MutableWithExclusion,
}

impl ImageTagMutability {
    const ALL: [Self; 4] =
        [Self::Immutable, Self::ImmutableWithExclusion, Self::Mutable, Self::MutableWithExclusion];

    /// The value in the ECR API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutable => "MUTABLE",
            Self::Immutable => "IMMUTABLE",
            Self::ImmutableWithExclusion => "IMMUTABLE_WITH_EXCLUSION",
            Self::MutableWithExclusion => "MUTABLE_WITH_EXCLUSION",
        }
    }

    /// Whether this value requires exclusion filters. ECR rejects filters with the other values.
    pub fn takes_filters(self) -> bool {
        matches!(self, Self::ImmutableWithExclusion | Self::MutableWithExclusion)
    }

    /// Whether `tag` is immutable in a repository with these exclusion filters (Amazon ECR user guide, "Preventing image
    /// tags from being overwritten"). Tags that match a filter are treated the opposite way.
    pub fn protects(self, filters: &[String], tag: &str) -> bool {
        let excluded = || filters.iter().any(|filter| Pattern::new(filter).matches(tag));
        match self {
            Self::Mutable => false,
            Self::Immutable => true,
            Self::ImmutableWithExclusion => !excluded(),
            Self::MutableWithExclusion => excluded(),
        }
    }
}

impl fmt::Display for ImageTagMutability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ImageTagMutability {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| InvalidValue::new(text, &Self::ALL.map(Self::as_str)))
    }
}

/// How images are encrypted at rest (service model, `EncryptionType`). ECR does not allow to change it after creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum EncryptionType {
    /// `AES256`: keys that are managed by Amazon S3. This is the default of the ECR API.
    #[serde(rename = "AES256")]
    Aes256,
    /// `KMS`: a key of AWS KMS.
    #[serde(rename = "KMS")]
    Kms,
    /// `KMS_DSSE`: two layers of encryption with AWS KMS.
    #[serde(rename = "KMS_DSSE")]
    KmsDsse,
}

impl EncryptionType {
    const ALL: [Self; 3] = [Self::Aes256, Self::Kms, Self::KmsDsse];

    /// The value in the ECR API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aes256 => "AES256",
            Self::Kms => "KMS",
            Self::KmsDsse => "KMS_DSSE",
        }
    }
}

impl FromStr for EncryptionType {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| InvalidValue::new(text, &Self::ALL.map(Self::as_str)))
    }
}

/// A rule of the registry's scanning configuration (service model, `RegistryScanningRule`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanningRule {
    /// `SCAN_ON_PUSH`, `CONTINUOUS_SCAN` or `MANUAL` (service model, `ScanFrequency`).
    pub frequency: String,
    /// The repository filters, all of type `WILDCARD`. A repository is selected if one of them matches.
    pub filters: Vec<String>,
}

impl ScanningRule {
    /// Whether the rule's filters select a repository. A filter without `*` selects every repository whose name contains
    /// it (Amazon ECR user guide, "Using filters").
    pub fn covers(&self, name: &RepositoryName) -> bool {
        self.filters.iter().any(|filter| match filter.contains('*') {
            true => Pattern::new(filter).matches(name.as_str()),
            false => name.as_str().contains(filter.as_str()),
        })
    }

    /// Whether this rule makes ECR scan images of a repository without a request `StartImageScan`.
    pub fn scans(&self, name: &RepositoryName) -> bool {
        self.frequency != "MANUAL" && self.covers(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutability_exclusions_invert_the_rule() {
        use ImageTagMutability::*;
        let filters = ["latest*".to_owned()];
        assert!(!ImmutableWithExclusion.protects(&filters, "latest"));
        assert!(ImmutableWithExclusion.protects(&filters, "1.0.0"));
        assert!(MutableWithExclusion.protects(&filters, "latest"));
        assert!(!MutableWithExclusion.protects(&filters, "1.0.0"));
    }

    #[test]
    fn scanning_rule_without_wildcard_covers_what_contains_it() {
        let name: RepositoryName = "team/my-app".parse().unwrap();
        let rule = |filter: &str| ScanningRule {
            frequency: "SCAN_ON_PUSH".to_owned(),
            filters: vec![filter.to_owned()],
        };
        assert!(rule("my").scans(&name) && rule("team/*").scans(&name));
        assert!(!rule("my*").scans(&name));
        assert!(!ScanningRule { frequency: "MANUAL".to_owned(), ..rule("my") }.scans(&name));
    }
}
