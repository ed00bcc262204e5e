//! Reading the findings of image scans.

use std::collections::HashMap;

use aws_sdk_ecr::types::{
    EnhancedImageScanFinding, FindingSeverity, ImageIdentifier, ImageScanFinding, ImageScanFindings,
    VulnerablePackage,
};
use ecr_types::{Digest, RepositoryName};

use super::answer::{member, same};
use super::pages::Pages;
use super::{Aws, ServiceError};
use crate::scan::{Counts, Finding, Fix, ImageScan, ScanStatus, ScanType, Severity};

/// The maximum number of findings of one request (service model, `MaxResults`).
const FINDINGS_PER_CALL: i32 = 1000;

impl Aws {
    /// The scan of an image, with all findings. `None` for an image that was never scanned.
    pub async fn scan(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<ImageScan>, ServiceError> {
        const ACTION: &str = "ecr:DescribeImageScanFindings";
        let mut scan = None;
        let mut pages = Pages::new(ACTION);
        loop {
            let id = ImageIdentifier::builder().image_digest(digest.as_str()).build();
            let request = self.ecr.describe_image_scan_findings().repository_name(name.as_str()).image_id(id);
            let request = request.max_results(FINDINGS_PER_CALL).set_next_token(pages.token());
            let response = match request.send().await.map_err(|it| ServiceError::new(ACTION, it)) {
                Ok(response) => response,
                Err(error) if error.has_code("ScanNotFoundException") => return Ok(None),
                Err(error) => return Err(error),
            };
            self.about(ACTION, response.registry_id(), response.repository_name(), name.as_str())?;
            let found = response.image_id().and_then(|it| it.image_digest());
            same(ACTION, "imageDigest", found, digest.as_str())?;
            let status = member(ACTION, "imageScanStatus", response.image_scan_status())?;
            let state = member(ACTION, "status", status.status())?.as_str();
            // Each page contains the status. The one of the last page counts, because it may have changed between
            // requests.
            let scan: &mut ImageScan = scan.get_or_insert_with(empty);
            scan.status = ScanStatus::from_api(state);
            scan.description = status.description().map(str::to_owned);
            if let Some(findings) = response.image_scan_findings() {
                add(scan, findings);
            }
            if !pages.follow(response.next_token)? {
                break;
            }
        }
        Ok(scan.map(|mut it: ImageScan| {
            it.findings
                .sort_by(|a, b| (b.severity, &a.name, &a.package).cmp(&(a.severity, &b.name, &b.package)));
            it
        }))
    }
}

/// The number of findings by severity, from the counts of the API.
pub(super) fn counts(counts: &HashMap<FindingSeverity, i32>) -> Counts {
    let count = |n: &i32| u64::try_from(*n).unwrap_or_default();
    counts.iter().map(|(severity, n)| (Severity::from_api(severity.as_str()), count(n))).collect()
}

fn empty() -> ImageScan {
    ImageScan {
        status: ScanStatus::Other(String::new()),
        description: None,
        scan_type: None,
        has_completion_time: false,
        is_settled: false,
        counts: None,
        findings: Vec::new(),
        listed: Counts::new(),
    }
}

fn add(scan: &mut ImageScan, page: &ImageScanFindings) {
    scan.has_completion_time |= page.image_scan_completed_at().is_some();
    scan.counts = page.finding_severity_counts().map(counts).or(scan.counts.take());
    // The list that has findings tells the scan type. The status does not: an enhanced scan may be COMPLETE, too.
    if !page.enhanced_findings().is_empty() {
        scan.scan_type = Some(ScanType::Enhanced);
    } else if !page.findings().is_empty() {
        scan.scan_type = Some(ScanType::Basic);
    }
    for finding in page.findings() {
        let finding = basic(finding);
        *scan.listed.entry(finding.severity).or_default() += 1;
        scan.findings.push(finding);
    }
    for finding in page.enhanced_findings() {
        let findings = enhanced(finding);
        let severity = findings.first().map_or(Severity::Unknown, |it| it.severity);
        *scan.listed.entry(severity).or_default() += 1;
        scan.findings.extend(findings);
    }
}

/// The trimmed text, if it is not empty.
fn text(text: Option<&str>) -> Option<String> {
    text.map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned)
}

fn no_name() -> String {
    "(no name)".to_owned()
}

/// A finding of basic scanning, which reports the installed version but no version with a fix.
fn basic(finding: &ImageScanFinding) -> Finding {
    let attribute = |key: &str| {
        let found = finding.attributes().iter().find(|it| it.key() == key);
        text(found.and_then(|it| it.value()))
    };
    Finding {
        name: text(finding.name()).unwrap_or_else(no_name),
        severity: Severity::from_api(finding.severity().map_or("UNDEFINED", |it| it.as_str())),
        uri: text(finding.uri()),
        package: attribute("package_name"),
        installed: attribute("package_version"),
        fixed_in: None,
        fix: Fix::Unknown,
        is_suppressed: false,
    }
}

/// The findings of one entry of enhanced scanning: one per vulnerable package.
fn enhanced(finding: &EnhancedImageScanFinding) -> Vec<Finding> {
    let details = finding.package_vulnerability_details();
    let name = text(details.and_then(|it| it.vulnerability_id()));
    let name = name.or_else(|| text(finding.title())).unwrap_or_else(no_name);
    let uri = text(details.and_then(|it| it.source_url()));
    let fix = match finding.fix_available() {
        Some("YES" | "PARTIAL") => Fix::Available,
        Some("NO") => Fix::None,
        _ => Fix::Unknown,
    };
    let finding_in = |package: Option<&VulnerablePackage>| {
        // Amazon Inspector writes "NotAvailable" for a package without a fix, even if other packages have one.
        let version = text(package.and_then(|it| it.fixed_in_version()));
        let fixed_in = version.clone().filter(|it| it != "NotAvailable");
        let fix = match (&version, &fixed_in) {
            (_, Some(_)) => Fix::Available,
            (Some(_), None) => Fix::None,
            (None, None) => fix,
        };
        Finding {
            name: name.clone(),
            severity: Severity::from_api(finding.severity().unwrap_or("UNTRIAGED")),
            uri: uri.clone(),
            package: text(package.and_then(|it| it.name())),
            installed: text(package.and_then(|it| it.version())),
            fix,
            fixed_in,
            is_suppressed: matches!(finding.status(), Some("SUPPRESSED" | "CLOSED")),
        }
    };
    let packages = details.map(|it| it.vulnerable_packages()).unwrap_or_default();
    if packages.is_empty() {
        return vec![finding_in(None)];
    }
    packages.iter().map(|it| finding_in(Some(it))).collect()
}
