//! The gate, which decides by the findings of an image whether it passes.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Counts, Finding, Fix, IgnoreFile, ImageScan, ScanProgress, Severity};

/// The conditions for an image to pass.
#[derive(Debug, Clone)]
pub struct Gate {
    /// The lowest severity that counts.
    pub fail_on: Severity,
    /// Whether findings without a fix are ignored.
    pub ignore_unfixed: bool,
    pub unsupported: Unsupported,
    /// Findings that are ignored until a date.
    pub ignored: IgnoreFile,
}

/// The decision about an image that ECR cannot scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Unsupported {
    /// The image passes; another tool scans it.
    Pass,
    /// The image fails, because it was not scanned.
    #[default]
    Fail,
}

/// The result of the gate for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "GateResult"))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The image was scanned, and no finding fails the gate.
    Passed,
    /// At least one finding fails the gate.
    Failed,
    /// ECR cannot scan the image.
    Unsupported,
    /// The findings are not available.
    NotScanned,
}

/// The verdict about an image, and the reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateEvaluation {
    pub verdict: Verdict,
    /// Whether the image passes the gate.
    pub is_passed: bool,
    /// For each finding of the scan, whether it is blocking.
    pub blocking: Vec<bool>,
    /// Blocking findings that are counted but not listed.
    pub unlisted: Counts,
    /// Findings that the ignore file covers.
    pub ignored: BTreeSet<String>,
    /// Findings that are ignored because there is no fix.
    pub unfixed: BTreeSet<String>,
    /// Blocking findings for which the scanner does not report whether there is a fix, with `ignore_unfixed`.
    pub fix_unknown: BTreeSet<String>,
}

impl Gate {
    /// Evaluates a scan. `None` is an image that was never scanned, or whose scan is not available.
    pub fn evaluate(&self, scan: Option<&ImageScan>) -> GateEvaluation {
        let verdict = match scan.map(ImageScan::progress) {
            Some(ScanProgress::Done) => Verdict::Passed,
            Some(ScanProgress::Unsupported) => Verdict::Unsupported,
            Some(ScanProgress::Running | ScanProgress::Stopped) | None => Verdict::NotScanned,
        };
        let mut result = GateEvaluation {
            verdict,
            is_passed: verdict == Verdict::Unsupported && self.unsupported == Unsupported::Pass,
            blocking: Vec::new(),
            unlisted: Counts::new(),
            ignored: BTreeSet::new(),
            unfixed: BTreeSet::new(),
            fix_unknown: BTreeSet::new(),
        };
        if let (Verdict::Passed, Some(scan)) = (verdict, scan) {
            result.apply(self, scan);
        }
        result
    }
}

impl GateEvaluation {
    fn apply(&mut self, gate: &Gate, scan: &ImageScan) {
        self.blocking = scan.findings.iter().map(|it| self.blocks(gate, it)).collect();
        self.unlisted = scan.unlisted();
        self.unlisted.retain(|severity, _| *severity >= gate.fail_on);
        self.is_passed = self.unlisted.is_empty() && !self.blocking.contains(&true);
        if !self.is_passed {
            self.verdict = Verdict::Failed;
        }
    }

    fn blocks(&mut self, gate: &Gate, finding: &Finding) -> bool {
        if finding.severity < gate.fail_on || finding.is_suppressed {
            return false;
        }
        if gate.ignored.covers(&finding.name) {
            self.ignored.insert(finding.name.clone());
            return false;
        }
        match finding.fix {
            Fix::None if gate.ignore_unfixed => {
                self.unfixed.insert(finding.name.clone());
                false
            }
            Fix::Unknown if gate.ignore_unfixed => {
                self.fix_unknown.insert(finding.name.clone());
                true
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{basic, finding};
    use super::super::{Date, ScanStatus};
    use super::*;

    fn gate() -> Gate {
        Gate {
            fail_on: Severity::High,
            ignore_unfixed: false,
            unsupported: Unsupported::Fail,
            ignored: IgnoreFile::default(),
        }
    }

    fn verdict(gate: &Gate, scan: Option<&ImageScan>) -> (Verdict, bool) {
        let result = gate.evaluate(scan);
        (result.verdict, result.is_passed)
    }

    #[test]
    fn gate_passes_only_a_scanned_image() {
        let scan = |status| ImageScan { status, ..basic(Vec::new()) };
        assert_eq!(verdict(&gate(), Some(&basic(Vec::new()))), (Verdict::Passed, true));
        for status in [
            ScanStatus::InProgress,
            ScanStatus::Failed,
            ScanStatus::Pending,
            ScanStatus::ScanEligibilityExpired,
        ] {
            assert_eq!(verdict(&gate(), Some(&scan(status))), (Verdict::NotScanned, false));
        }
        assert_eq!(verdict(&gate(), None), (Verdict::NotScanned, false));
        let pass = Gate { unsupported: Unsupported::Pass, ..gate() };
        assert_eq!(verdict(&pass, None), (Verdict::NotScanned, false));
        let unsupported = scan(ScanStatus::UnsupportedImage);
        assert_eq!(verdict(&gate(), Some(&unsupported)), (Verdict::Unsupported, false));
        assert_eq!(verdict(&pass, Some(&unsupported)), (Verdict::Unsupported, true));
    }

    #[test]
    fn gate_blocks_findings_from_the_threshold_on() {
        let scan = basic(vec![
            finding("CVE-1", Severity::High, Fix::Available),
            finding("CVE-2", Severity::Medium, Fix::Available),
        ]);
        assert_eq!(gate().evaluate(Some(&scan)).blocking, [true, false]);
        let critical = Gate { fail_on: Severity::Critical, ..gate() };
        assert_eq!(verdict(&critical, Some(&scan)), (Verdict::Passed, true));
    }

    #[test]
    fn gate_blocks_findings_that_are_not_listed() {
        let mut scan = basic(vec![finding("CVE-1", Severity::Low, Fix::Available)]);
        scan.counts = Some(Counts::from([(Severity::Low, 1), (Severity::Critical, 1)]));
        assert_eq!(verdict(&gate(), Some(&scan)), (Verdict::Failed, false));
    }

    #[test]
    fn gate_ignores_only_findings_that_are_known_to_have_no_fix() {
        let scan = basic(vec![
            finding("CVE-1", Severity::High, Fix::None),
            finding("CVE-2", Severity::High, Fix::Unknown),
        ]);
        let gate = Gate { ignore_unfixed: true, ..gate() };
        let result = gate.evaluate(Some(&scan));
        assert_eq!(result.blocking, [false, true]);
        let names = |it: BTreeSet<String>| it.into_iter().collect::<Vec<_>>();
        assert_eq!(
            (names(result.unfixed), names(result.fix_unknown)),
            (vec!["CVE-1".into()], vec!["CVE-2".into()])
        );
    }

    #[test]
    fn gate_blocks_an_ignored_finding_after_its_expiry() {
        let scan = basic(vec![finding("CVE-1", Severity::High, Fix::Available)]);
        let text = "[[ignore]]\nid = 'cve-1'\nreason = 'not reachable'\nexpires = 2026-06-30\n";
        let gate = |today: &str| Gate {
            ignored: IgnoreFile::read("ignore.toml", text, today.parse::<Date>().unwrap()).unwrap(),
            ..gate()
        };
        assert_eq!(verdict(&gate("2026-06-30"), Some(&scan)), (Verdict::Passed, true));
        assert_eq!(verdict(&gate("2026-07-01"), Some(&scan)), (Verdict::Failed, false));
    }
}
