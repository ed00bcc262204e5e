//! Settings of repositories and registries, as the ECR API spells them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Pattern, RepositoryName};

/// The text is not one of the values that the API knows.
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

/// Whether tags may be moved once pushed (ECR API, `imageTagMutability`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ImageTagMutability {
    /// Any tag may be moved.
    Mutable,
    /// No tag may be moved: the default here.
    Immutable,
    /// No tag may be moved but those that an exclusion filter matches.
    ImmutableWithExclusion,
    /// Any tag may be moved but those that an exclusion filter matches.
    MutableWithExclusion,
}

impl ImageTagMutability {
    const ALL: [Self; 4] =
        [Self::Immutable, Self::ImmutableWithExclusion, Self::Mutable, Self::MutableWithExclusion];

    /// The API's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutable => "MUTABLE",
            Self::Immutable => "IMMUTABLE",
            Self::ImmutableWithExclusion => "IMMUTABLE_WITH_EXCLUSION",
            Self::MutableWithExclusion => "MUTABLE_WITH_EXCLUSION",
        }
    }

    /// Whether this value wants exclusion filters; the others refuse them.
    pub fn takes_filters(self) -> bool {
        matches!(self, Self::ImmutableWithExclusion | Self::MutableWithExclusion)
    }

    /// Whether `tag` must stay where it is, given the filters of the repository (AWS, "Preventing image tags
    /// from being overwritten"): a filter turns the rule around for the tags that it matches.
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

/// How images are encrypted at rest (ECR API, `encryptionType`). It cannot be changed after creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EncryptionType {
    /// Keys that S3 manages: ECR's default.
    #[serde(rename = "AES256")]
    Aes256,
    /// A key of AWS KMS.
    #[serde(rename = "KMS")]
    Kms,
    /// Two layers of KMS encryption.
    #[serde(rename = "KMS_DSSE")]
    KmsDsse,
}

impl EncryptionType {
    const ALL: [Self; 3] = [Self::Aes256, Self::Kms, Self::KmsDsse];

    /// The API's spelling.
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

/// A rule of the registry's scanning configuration (ECR API, `RegistryScanningRule`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanningRule {
    /// `SCAN_ON_PUSH`, `CONTINUOUS_SCAN` or `MANUAL`.
    pub frequency: String,
    /// The filters that choose repositories, of type `WILDCARD`.
    pub filters: Vec<String>,
}

impl ScanningRule {
    /// Whether the rule's filters choose a repository. A filter without `*` chooses every repository whose name
    /// contains it (Amazon ECR user guide, "Using filters").
    pub fn covers(&self, name: &RepositoryName) -> bool {
        self.filters.iter().any(|filter| match filter.contains('*') {
            true => Pattern::new(filter).matches(name.as_str()),
            false => name.as_str().contains(filter.as_str()),
        })
    }

    /// Whether images of a repository are scanned without being asked for, by this rule.
    pub fn scans(&self, name: &RepositoryName) -> bool {
        self.frequency != "MANUAL" && self.covers(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutability_exclusions_turn_the_rule_around() {
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
