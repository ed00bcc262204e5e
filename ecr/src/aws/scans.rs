//! The findings of scans.

use aws_sdk_ecr::types::{
    EnhancedImageScanFinding, ImageIdentifier, ImageScanFinding, ImageScanFindings, VulnerablePackage,
};

use super::{Aws, ServiceError};
use crate::name::{Digest, RepositoryName};
use crate::scan::{Counts, Finding, Fix, Kind, Scan, Severity, Status};

/// Findings of one call (service model, `MaxResults`).
const FINDINGS_PER_CALL: i32 = 1000;

impl Aws {
    /// What ECR knows of an image's scan, with all findings; `None` for an image that was never scanned.
    pub async fn scan(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<Scan>, ServiceError> {
        const ACTION: &str = "ecr:DescribeImageScanFindings";
        let _slot = self.slots.acquire().await;
        let mut scan = None;
        let mut token = None;
        loop {
            let id = ImageIdentifier::builder().image_digest(digest.as_str()).build();
            let request = self.ecr.describe_image_scan_findings().repository_name(name.as_str()).image_id(id);
            let request = request.max_results(FINDINGS_PER_CALL).set_next_token(token);
            let answer = match request.send().await.map_err(|it| ServiceError::new(ACTION, it)) {
                Ok(answer) => answer,
                Err(error) if error.is("ScanNotFoundException") => return Ok(None),
                Err(error) => return Err(error),
            };
            let status = answer.image_scan_status();
            let name = status.and_then(|it| it.status()).map_or("", |it| it.as_str());
            // Pages of one list; the status is that of the last one, should it have changed meanwhile.
            let scan: &mut Scan = scan.get_or_insert_with(empty);
            scan.status = Status::of_api(name);
            scan.description = status.and_then(|it| it.description()).map(str::to_owned);
            if let Some(findings) = answer.image_scan_findings() {
                add(scan, findings);
            }
            token = answer.next_token;
            if token.is_none() {
                break;
            }
        }
        Ok(scan.map(|mut it: Scan| {
            it.findings
                .sort_by(|a, b| (b.severity, &a.name, &a.package).cmp(&(a.severity, &b.name, &b.package)));
            it
        }))
    }
}

fn empty() -> Scan {
    Scan {
        status: Status::Other(String::new()),
        description: None,
        kind: None,
        is_dated: false,
        counts: None,
        findings: Vec::new(),
        listed: Counts::new(),
    }
}

fn add(scan: &mut Scan, page: &ImageScanFindings) {
    scan.is_dated |= page.image_scan_completed_at().is_some();
    if let Some(counts) = page.finding_severity_counts() {
        let count = |n: &i32| u64::try_from(*n).unwrap_or_default();
        let counts = counts.iter().map(|(severity, n)| (Severity::of_api(severity.as_str()), count(n)));
        scan.counts = Some(counts.collect());
    }
    // The shape tells the scanner: an enhanced scan may be COMPLETE, too.
    if !page.enhanced_findings().is_empty() {
        scan.kind = Some(Kind::Enhanced);
    } else if !page.findings().is_empty() {
        scan.kind = Some(Kind::Basic);
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

/// Basic scanning knows the installed version, and no version with a fix.
fn basic(finding: &ImageScanFinding) -> Finding {
    let attribute = |key: &str| {
        let found = finding.attributes().iter().find(|it| it.key() == key);
        found.and_then(|it| it.value()).map(str::to_owned)
    };
    Finding {
        name: finding.name().unwrap_or("(no name)").to_owned(),
        severity: Severity::of_api(finding.severity().map_or("UNDEFINED", |it| it.as_str())),
        uri: finding.uri().filter(|it| !it.is_empty()).map(str::to_owned),
        package: attribute("package_name"),
        installed: attribute("package_version"),
        fixed_in: None,
        fix: Fix::Unknown,
        is_closed: false,
    }
}

/// Enhanced scanning names every package that a vulnerability is in.
fn enhanced(finding: &EnhancedImageScanFinding) -> Vec<Finding> {
    let details = finding.package_vulnerability_details();
    let name = details.and_then(|it| it.vulnerability_id()).or(finding.title()).unwrap_or("(no name)");
    let uri = details.and_then(|it| it.source_url()).map(str::to_owned);
    let fix = match finding.fix_available() {
        Some("YES" | "PARTIAL") => Fix::Available,
        Some("NO") => Fix::None,
        _ => Fix::Unknown,
    };
    let one = |package: Option<&VulnerablePackage>| {
        // Amazon Inspector writes "NotAvailable" where there is no fix.
        let fixed_in = package.and_then(|it| it.fixed_in_version());
        let fixed_in = fixed_in.filter(|it| !it.is_empty() && *it != "NotAvailable").map(str::to_owned);
        Finding {
            name: name.to_owned(),
            severity: Severity::of_api(finding.severity().unwrap_or("UNTRIAGED")),
            uri: uri.clone(),
            package: package.and_then(|it| it.name()).map(str::to_owned),
            installed: package.and_then(|it| it.version()).map(str::to_owned),
            fix: if fixed_in.is_some() { Fix::Available } else { fix },
            fixed_in,
            is_closed: matches!(finding.status(), Some("SUPPRESSED" | "CLOSED")),
        }
    };
    let packages = details.map(|it| it.vulnerable_packages()).unwrap_or_default();
    if packages.is_empty() { vec![one(None)] } else { packages.iter().map(|it| one(Some(it))).collect() }
}
