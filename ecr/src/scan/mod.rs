//! Image scans: findings, statuses, and the [`Gate`] that decides by them whether an image passes.
//!
//! Source: Amazon ECR API reference, `DescribeImageScanFindings` and `ImageScanStatus`; user guide, "Scan images for
//! software vulnerabilities".

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::config::InvalidSetting;

mod gate;
mod ignore;
pub mod index;
mod status;

pub use gate::{Gate, GateEvaluation, Unsupported, Verdict};
pub use ignore::{Date, IgnoreFile};
#[cfg(test)]
pub use status::SCAN_STATUSES;
pub use status::{NEVER_SCANNED, ScanProgress, ScanStatus};

/// The severity of a finding. Basic scanning uses `UNDEFINED` and Amazon Inspector uses `UNTRIAGED` for
/// findings that are not rated. `UNKNOWN` is a severity that this version does not know. It counts as the
/// highest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "UPPERCASE"))]
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

/// The severities that are valid in flags, in descending order.
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
    /// The API value.
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

    /// Parses the API value.
    pub fn from_api(text: &str) -> Self {
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

/// Parses the API value in any letter case.
impl FromStr for Severity {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let found = SEVERITIES.into_iter().find(|it| it.as_str().eq_ignore_ascii_case(text));
        let names = || SEVERITIES.map(|it| it.as_str()).join(", ");
        found.ok_or_else(|| InvalidSetting(format!("`{text}` is not one of {}", names())))
    }
}

/// The number of findings by severity.
pub type Counts = BTreeMap<Severity, u64>;

/// A scanner of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Scanner"))]
#[serde(rename_all = "lowercase")]
pub enum ScanType {
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
    pub is_suppressed: bool,
}

/// The result of `DescribeImageScanFindings` for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageScan {
    pub status: ScanStatus,
    /// `imageScanStatus.description`.
    pub description: Option<String>,
    /// The type of scanning. `None` without findings.
    pub scan_type: Option<ScanType>,
    /// Whether the response contains `imageScanCompletedAt`.
    pub has_completion_time: bool,
    /// Whether repeated requests have returned the same result for a while, so that it is considered complete.
    pub is_settled: bool,
    /// `findingSeverityCounts`.
    pub counts: Option<Counts>,
    /// The findings in descending order of severity, with one entry per vulnerable package.
    pub findings: Vec<Finding>,
    /// The number of findings in the list of the response, by severity.
    pub listed: Counts,
}

impl ImageScan {
    /// Findings by severity: the larger one of the count of the API and the number of listed findings.
    pub fn totals(&self) -> Counts {
        let mut totals = self.listed.clone();
        for (severity, n) in self.counts.iter().flatten() {
            let listed = totals.entry(*severity).or_default();
            *listed = (*listed).max(*n);
        }
        totals.retain(|_, n| *n > 0);
        totals
    }

    /// The findings that are counted but not listed, by severity.
    pub fn unlisted(&self) -> Counts {
        let listed = |severity| self.listed.get(&severity).copied().unwrap_or_default();
        let each = self.totals().into_iter().map(|(severity, n)| (severity, n - listed(severity)));
        each.filter(|(_, n)| *n > 0).collect()
    }

    /// Whether the response contains the results. ECR returns COMPLETE or ACTIVE with an empty list before there are
    /// results (aws/aws-sdk#289), and then adds findings one by one (aws/aws-sdk#288). Findings without a time of
    /// completion count only if they no longer change, and an empty list without one is never treated as an image
    /// without findings.
    fn has_results(&self) -> bool {
        let is_counted = self.counts.as_ref().is_some_and(|it| it.values().any(|n| *n > 0));
        match self.listed.is_empty() {
            true => self.has_completion_time && !is_counted,
            false => self.has_completion_time || self.is_settled,
        }
    }
}

/// `2 CRITICAL, 1 HIGH` in descending order, or `no findings`.
pub fn counts_text(counts: &Counts) -> String {
    let each = counts.iter().rev().filter(|(_, n)| **n > 0).map(|(severity, n)| format!("{n} {severity}"));
    let text = each.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "no findings".to_owned() } else { text }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A scan of basic scanning with these findings.
    pub(crate) fn basic(findings: Vec<Finding>) -> ImageScan {
        let mut listed = Counts::new();
        findings.iter().for_each(|it| *listed.entry(it.severity).or_default() += 1);
        ImageScan {
            status: ScanStatus::Complete,
            description: None,
            scan_type: Some(ScanType::Basic),
            has_completion_time: true,
            is_settled: false,
            counts: Some(listed.clone()),
            findings,
            listed,
        }
    }

    pub(crate) fn finding(name: &str, severity: Severity, fix: Fix) -> Finding {
        let (uri, package, installed, fixed_in) = (None, None, None, None);
        Finding {
            name: name.to_owned(),
            severity,
            uri,
            package,
            installed,
            fixed_in,
            fix,
            is_suppressed: false,
        }
    }

    #[test]
    fn severity_is_ordered_and_parsed_in_any_case() {
        assert_eq!("Critical".parse(), Ok(Severity::Critical));
        assert!(Severity::Critical > Severity::High && Severity::Unknown > Severity::Critical);
        assert_eq!(Severity::from_api("CATASTROPHIC"), Severity::Unknown);
        let error = "`sever` is not one of CRITICAL, HIGH, MEDIUM, LOW, INFORMATIONAL, UNTRIAGED, UNDEFINED";
        assert_eq!("sever".parse::<Severity>(), Err(InvalidSetting(error.to_owned())));
    }

    #[test]
    fn unlisted_findings_are_those_counted_but_not_listed() {
        let mut scan = basic(vec![finding("CVE-1", Severity::High, Fix::Unknown)]);
        scan.counts = Some(Counts::from([(Severity::High, 3), (Severity::Low, 0)]));
        assert_eq!(scan.unlisted(), Counts::from([(Severity::High, 2)]));
        assert_eq!(counts_text(&scan.totals()), "3 HIGH");
        assert_eq!(counts_text(&Counts::new()), "no findings");
    }
}
