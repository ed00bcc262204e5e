//! The gate: which findings an image may have.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Counts, Finding, Fix, IgnoreFile, Progress, Scan, Severity};

/// What an image has to satisfy.
#[derive(Debug, Clone)]
pub struct Gate {
    /// The least severity that counts.
    pub fail_on: Severity,
    /// Whether findings that no update mends are let through.
    pub ignore_unfixed: bool,
    /// What becomes of an image that ECR cannot scan.
    pub unsupported: Unsupported,
    /// Findings that are known and let through for a time.
    pub ignored: IgnoreFile,
}

/// What becomes of an image that ECR cannot scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Unsupported {
    /// It passes: something else looks into it.
    Pass,
    /// It did not pass, as nobody has looked.
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

/// What the gate says of an image, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What it says.
    pub verdict: Verdict,
    /// Whether the image gets through.
    pub is_through: bool,
    /// Which of the scan's findings stand in the way.
    pub blocking: Vec<bool>,
    /// Findings in the way that are counted and not listed.
    pub unlisted: Counts,
    /// What the file lets through.
    pub ignored: BTreeSet<String>,
    /// What is let through because no update mends it.
    pub unfixed: BTreeSet<String>,
    /// What would have been, had the scanner told whether there is an update.
    pub fix_unknown: BTreeSet<String>,
}

impl Gate {
    /// Looks at a scan; `None` is an image that was never scanned, or whose scan could not be waited for.
    pub fn judge(&self, scan: Option<&Scan>) -> Judgement {
        let verdict = match scan.map(Scan::progress) {
            Some(Progress::Done) => Verdict::Passed,
            Some(Progress::Unsupported) => Verdict::Unsupported,
            Some(Progress::Running | Progress::Stopped) | None => Verdict::NotScanned,
        };
        let mut judgement = Judgement {
            verdict,
            is_through: verdict == Verdict::Unsupported && self.unsupported == Unsupported::Pass,
            blocking: Vec::new(),
            unlisted: Counts::new(),
            ignored: BTreeSet::new(),
            unfixed: BTreeSet::new(),
            fix_unknown: BTreeSet::new(),
        };
        if let (Verdict::Passed, Some(scan)) = (verdict, scan) {
            judgement.look(self, scan);
        }
        judgement
    }
}

impl Judgement {
    fn look(&mut self, gate: &Gate, scan: &Scan) {
        self.blocking = scan.findings.iter().map(|it| self.blocks(gate, it)).collect();
        self.unlisted = scan.unlisted();
        self.unlisted.retain(|severity, _| *severity >= gate.fail_on);
        self.is_through = self.unlisted.is_empty() && !self.blocking.contains(&true);
        if !self.is_through {
            self.verdict = Verdict::Failed;
        }
    }

    fn blocks(&mut self, gate: &Gate, finding: &Finding) -> bool {
        if finding.severity < gate.fail_on || finding.is_closed {
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
    use super::super::{Date, Status};
    use super::*;

    fn gate() -> Gate {
        Gate {
            fail_on: Severity::High,
            ignore_unfixed: false,
            unsupported: Unsupported::Fail,
            ignored: IgnoreFile::default(),
        }
    }

    fn verdict(gate: &Gate, scan: Option<&Scan>) -> (Verdict, bool) {
        let judgement = gate.judge(scan);
        (judgement.verdict, judgement.is_through)
    }

    #[test]
    fn an_image_passes_only_if_it_was_scanned() {
        let scan = |status| Scan { status, ..basic(Vec::new()) };
        assert_eq!(verdict(&gate(), Some(&basic(Vec::new()))), (Verdict::Passed, true));
        for status in [Status::InProgress, Status::Failed, Status::Pending, Status::ScanEligibilityExpired] {
            assert_eq!(verdict(&gate(), Some(&scan(status))), (Verdict::NotScanned, false));
        }
        assert_eq!(verdict(&gate(), None), (Verdict::NotScanned, false));
        let pass = Gate { unsupported: Unsupported::Pass, ..gate() };
        assert_eq!(verdict(&pass, None), (Verdict::NotScanned, false));
        let unsupported = scan(Status::UnsupportedImage);
        assert_eq!(verdict(&gate(), Some(&unsupported)), (Verdict::Unsupported, false));
        assert_eq!(verdict(&pass, Some(&unsupported)), (Verdict::Unsupported, true));
    }

    #[test]
    fn severities_from_the_threshold_on_stand_in_the_way() {
        let scan = basic(vec![
            finding("CVE-1", Severity::High, Fix::Available),
            finding("CVE-2", Severity::Medium, Fix::Available),
        ]);
        assert_eq!(gate().judge(Some(&scan)).blocking, [true, false]);
        let critical = Gate { fail_on: Severity::Critical, ..gate() };
        assert_eq!(verdict(&critical, Some(&scan)), (Verdict::Passed, true));
    }

    #[test]
    fn what_is_counted_and_not_listed_stands_in_the_way() {
        let mut scan = basic(vec![finding("CVE-1", Severity::Low, Fix::Available)]);
        scan.counts = Some(Counts::from([(Severity::Low, 1), (Severity::Critical, 1)]));
        assert_eq!(verdict(&gate(), Some(&scan)), (Verdict::Failed, false));
    }

    #[test]
    fn only_what_is_known_to_have_no_fix_is_let_through() {
        let scan = basic(vec![
            finding("CVE-1", Severity::High, Fix::None),
            finding("CVE-2", Severity::High, Fix::Unknown),
        ]);
        let gate = Gate { ignore_unfixed: true, ..gate() };
        let judgement = gate.judge(Some(&scan));
        assert_eq!(judgement.blocking, [false, true]);
        let names = |it: BTreeSet<String>| it.into_iter().collect::<Vec<_>>();
        assert_eq!(
            (names(judgement.unfixed), names(judgement.fix_unknown)),
            (vec!["CVE-1".into()], vec!["CVE-2".into()])
        );
    }

    #[test]
    fn ignored_findings_count_again_when_their_time_is_over() {
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
