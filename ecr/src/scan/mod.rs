//! Scans of images: what ECR found, what its statuses mean, and the [`Gate`] that a pipeline passes or does not.
//!
//! Source: Amazon ECR API reference, `DescribeImageScanFindings` and `ImageScanStatus`; user guide, "Scan images for
//! software vulnerabilities".

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::config::InvalidValue;

mod gate;
mod ignore;
pub mod index;
mod status;

pub use gate::{Gate, Judgement, Unsupported, Verdict};
pub use ignore::{Date, IgnoreFile};
pub use status::{NEVER, Progress, Status};

/// The severity of a finding. Basic scanning uses `UNDEFINED` and Amazon Inspector uses `UNTRIAGED` for
/// findings that are not rated. `UNKNOWN` is a severity that this version does not know. It counts as the
/// highest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "UPPERCASE"))]
#[allow(missing_docs)]
pub enum Severity {
    Undefined,
    Untriaged,
    Informational,
    Low,
    Medium,
    High,
    Critical,
    Unknown,
}

/// The severities that people may name, the worst first.
pub const SEVERITIES: [Severity; 7] = [
    Severity::Critical,
    Severity::High,
    Severity::Medium,
    Severity::Low,
    Severity::Informational,
    Severity::Untriaged,
    Severity::Undefined,
];

impl Severity {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undefined => "UNDEFINED",
            Self::Untriaged => "UNTRIAGED",
            Self::Informational => "INFORMATIONAL",
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The severity that the API names.
    pub fn of_api(text: &str) -> Self {
        text.parse().unwrap_or(Self::Unknown)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// In any case.
impl FromStr for Severity {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let found = SEVERITIES.into_iter().find(|it| it.as_str().eq_ignore_ascii_case(text));
        let names = || SEVERITIES.map(|it| it.as_str()).join(", ");
        found.ok_or_else(|| InvalidValue(format!("`{text}` is not one of {}", names())))
    }
}

/// How many findings there are of each severity.
pub type Counts = BTreeMap<Severity, u64>;

/// A scanner of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Scanner"))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Basic scanning: packages of the operating system, without the versions that contain fixes.
    Basic,
    /// Enhanced scanning with Amazon Inspector: packages of the operating system and of programming
    /// languages.
    Enhanced,
}

/// Whether a newer version of the package fixes a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Fix {
    /// A version fixes the finding.
    Available,
    /// No version fixes the finding yet.
    None,
    /// The scanner does not report fixes. Basic scanning never does.
    Unknown,
}

/// A vulnerability in a package of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The identifier of the vulnerability, such as `CVE-2024-6119`.
    pub name: String,
    /// The severity.
    pub severity: Severity,
    /// The URL of a description. Null if the scanner does not report it.
    pub uri: Option<String>,
    /// The name of the package. Null if the scanner does not report it.
    pub package: Option<String>,
    /// The installed version of the package. Null if the scanner does not report it.
    pub installed: Option<String>,
    /// The version of the package that fixes the finding. Null if there is none, or if the scanner does not
    /// report it.
    pub fixed_in: Option<String>,
    /// Whether a newer version of the package fixes the finding.
    pub fix: Fix,
    /// Whether the finding is suppressed or closed in Amazon Inspector.
    #[serde(rename = "suppressed")]
    pub is_closed: bool,
}

/// What `DescribeImageScanFindings` said of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// How far the scan is.
    pub status: Status,
    /// What the API says about that.
    pub description: Option<String>,
    /// The scanner, where its findings tell which.
    pub kind: Option<Kind>,
    /// Whether the answer has a time of completion.
    pub is_dated: bool,
    /// Whether it has been the same for a while, so that no more is to be expected.
    pub is_settled: bool,
    /// `findingSeverityCounts`; `None` where the answer has none.
    pub counts: Option<Counts>,
    /// The findings, the worst first; one a package.
    pub findings: Vec<Finding>,
    /// How many entries the list of findings had, by severity.
    pub listed: Counts,
}

impl Scan {
    /// Findings by severity: the API's own counts, or what its list has where that is more.
    pub fn totals(&self) -> Counts {
        let mut totals = self.listed.clone();
        for (severity, n) in self.counts.iter().flatten() {
            let listed = totals.entry(*severity).or_default();
            *listed = (*listed).max(*n);
        }
        totals.retain(|_, n| *n > 0);
        totals
    }

    /// Findings that are counted and not listed.
    pub fn unlisted(&self) -> Counts {
        let listed = |severity| self.listed.get(&severity).copied().unwrap_or_default();
        let each = self.totals().into_iter().map(|(severity, n)| (severity, n - listed(severity)));
        each.filter(|(_, n)| *n > 0).collect()
    }

    /// Whether the answer holds results. ECR says COMPLETE and ACTIVE before there are any, with nothing but an empty
    /// list (aws/aws-sdk#289), and then adds findings one after the other (aws/aws-sdk#288): what has no date of
    /// completion counts only once it stays as it is, and an empty list without one is never a clean image.
    fn has_results(&self) -> bool {
        let is_counted = self.counts.as_ref().is_some_and(|it| it.values().any(|n| *n > 0));
        match self.listed.is_empty() {
            true => self.is_dated && !is_counted,
            false => self.is_dated || self.is_settled,
        }
    }
}

/// `2 CRITICAL, 1 HIGH`, the worst first; `no findings`.
pub fn counts_text(counts: &Counts) -> String {
    let each = counts.iter().rev().filter(|(_, n)| **n > 0).map(|(severity, n)| format!("{n} {severity}"));
    let text = each.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "no findings".to_owned() } else { text }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A scan of basic scanning with these findings.
    pub(crate) fn basic(findings: Vec<Finding>) -> Scan {
        let mut listed = Counts::new();
        findings.iter().for_each(|it| *listed.entry(it.severity).or_default() += 1);
        Scan {
            status: Status::Complete,
            description: None,
            kind: Some(Kind::Basic),
            is_dated: true,
            is_settled: false,
            counts: Some(listed.clone()),
            findings,
            listed,
        }
    }

    pub(crate) fn finding(name: &str, severity: Severity, fix: Fix) -> Finding {
        let (uri, package, installed, fixed_in) = (None, None, None, None);
        Finding { name: name.to_owned(), severity, uri, package, installed, fixed_in, fix, is_closed: false }
    }

    #[test]
    fn severities_are_ordered_and_read_in_any_case() {
        assert_eq!("Critical".parse(), Ok(Severity::Critical));
        assert!(Severity::Critical > Severity::High && Severity::Unknown > Severity::Critical);
        assert_eq!(Severity::of_api("CATASTROPHIC"), Severity::Unknown);
        let error = "`sever` is not one of CRITICAL, HIGH, MEDIUM, LOW, INFORMATIONAL, UNTRIAGED, UNDEFINED";
        assert_eq!("sever".parse::<Severity>(), Err(InvalidValue(error.to_owned())));
    }

    #[test]
    fn what_is_counted_and_not_listed_is_told() {
        let mut scan = basic(vec![finding("CVE-1", Severity::High, Fix::Unknown)]);
        scan.counts = Some(Counts::from([(Severity::High, 3), (Severity::Low, 0)]));
        assert_eq!(scan.unlisted(), Counts::from([(Severity::High, 2)]));
        assert_eq!(counts_text(&scan.totals()), "3 HIGH");
        assert_eq!(counts_text(&Counts::new()), "no findings");
    }
}
