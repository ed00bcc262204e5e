//! What `ecr scan` and the gate of `push` print.

use std::collections::BTreeSet;

use ecr_types::human::{printable, wrap};
use ecr_types::{Digest, RepositoryName};
use serde::Serialize;

use super::images::tone_of;
use crate::cli::table::{Align, Cell, Table, Tone, WIDTH};
use crate::scan::{
    Counts, Finding, Fix, Gate, GateResult, ImageScan, NEVER_SCANNED, ScanProgress, ScanType, Severity,
    Verdict, counts_text,
};

/// What follows the list of images in `ecr scan`: one entry an image, where an index stands as the images that it lists.
#[derive(Debug, Clone, Serialize)]
pub struct ScanReport {
    /// What could not be looked at.
    pub failures: Vec<ScanFailure>,
    /// Entries of the ignore file that are to be looked at; null without a gate.
    pub ignore: Option<IgnoreReport>,
}

/// A repository or image that could not be looked at.
#[derive(Debug, Clone, Serialize)]
pub struct ScanFailure {
    /// The repository.
    pub repository: RepositoryName,
    /// Why.
    pub error: String,
    /// What to do about it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// Entries of the ignore file that no longer do what they were written for.
#[derive(Debug, Clone, Serialize, Default)]
pub struct IgnoreReport {
    /// Their time is over: the findings count again.
    pub expired: Vec<String>,
    /// None of the images that were looked at has the finding any more; null where not everything was looked at.
    pub stale: Option<Vec<String>>,
}

/// An image of a [`ScanReport`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScannedImage {
    /// Which image.
    #[serde(flatten)]
    pub subject: Subject,
    /// `imageScanStatus.status`; null for an image that was never scanned.
    pub status: Option<String>,
    /// What ECR says about the status.
    pub description: Option<String>,
    /// Which scanner looked, where its findings tell.
    pub scanner: Option<ScanType>,
    /// Findings by severity.
    pub counts: Counts,
    /// The findings, the worst first; one a package.
    pub findings: Vec<ScannedFinding>,
    /// Findings that ECR counts and does not list; they stand in the way like others.
    pub unlisted: Counts,
    /// What the gate says; null without one.
    pub gate: Option<Verdict>,
    /// Whether the gate lets it through; null without one.
    pub passed: Option<bool>,
    /// Findings that the ignore file lets through.
    pub ignored: usize,
    /// Findings that are let through because no update mends them.
    pub unfixed: usize,
    #[serde(skip)]
    outcome: Outcome,
}

/// A finding of a [`ScannedImage`].
#[derive(Debug, Clone, Serialize)]
pub struct ScannedFinding {
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// Whether it stands in the way at the gate.
    pub blocks: bool,
}

/// What only people read.
#[derive(Debug, Clone)]
struct Outcome {
    title: String,
    meaning: String,
    help: Option<String>,
    progress: Option<ScanProgress>,
    judgement: Option<(Severity, GateResult)>,
}

/// Which image is meant.
#[derive(Debug, Clone, Serialize)]
pub struct Subject {
    /// The repository.
    pub repository: RepositoryName,
    /// The service.
    pub package: Option<String>,
    /// The image.
    pub digest: Digest,
    /// Its tags, or those of its index.
    pub tags: Vec<String>,
    /// The index that lists it.
    pub index: Option<Digest>,
    /// Its platform there.
    pub platform: Option<String>,
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.tags.first() {
            Some(tag) => write!(f, "{}:{tag}", self.repository)?,
            None => write!(f, "{}@{}", self.repository, self.digest.short())?,
        }
        self.platform.as_ref().map_or(Ok(()), |it| write!(f, " ({it})"))
    }
}

impl ScannedImage {
    /// What became of the scan of an image; `None` for one that was never scanned.
    pub fn new(subject: Subject, scan: Option<&ImageScan>, gate: Option<&Gate>) -> Self {
        let judgement = gate.map(|it| (it.fail_on, it.evaluate(scan)));
        let blocks = |n: usize| judgement.as_ref().is_some_and(|(_, it)| it.blocking.get(n) == Some(&true));
        let title = subject.to_string();
        let findings = scan.iter().flat_map(|it| &it.findings).enumerate();
        let findings =
            findings.map(|(n, it)| ScannedFinding { finding: it.clone(), blocks: blocks(n) }).collect();
        let counted = |count: fn(&GateResult) -> usize| judgement.as_ref().map_or(0, |(_, it)| count(it));
        let help = scan.map_or(Some(NEVER_SCANNED.1), ImageScan::help);
        // Commands are to be typed as they stand.
        let start = format!(
            "aws ecr start-image-scan --repository-name {} --image-id imageDigest={}",
            subject.repository, subject.digest
        );
        let help = help.map(|it| it.replace("aws ecr start-image-scan", &start));
        Self {
            subject,
            status: scan.map(|it| it.status.as_str().to_owned()),
            description: scan.and_then(|it| it.description.clone()),
            scanner: scan.and_then(|it| it.scan_type),
            counts: scan.map(ImageScan::totals).unwrap_or_default(),
            findings,
            unlisted: scan.map(ImageScan::unlisted).unwrap_or_default(),
            gate: judgement.as_ref().map(|(_, it)| it.verdict),
            passed: judgement.as_ref().map(|(_, it)| it.is_passed),
            ignored: counted(|it| it.ignored.len()),
            unfixed: counted(|it| it.unfixed.len()),
            outcome: Outcome {
                title,
                meaning: scan.map_or(NEVER_SCANNED.0, ImageScan::meaning).to_owned(),
                help,
                progress: scan.map(ImageScan::progress),
                judgement,
            },
        }
    }

    /// Whether the gate lets it through; without a gate, everything gets through.
    pub fn is_through(&self) -> bool {
        self.passed.unwrap_or(true)
    }

    /// Whether its findings are complete.
    pub fn is_done(&self) -> bool {
        self.outcome.progress == Some(ScanProgress::Done)
    }

    /// Whether ECR cannot scan it.
    pub fn is_unsupported(&self) -> bool {
        self.outcome.progress == Some(ScanProgress::Unsupported)
    }

    /// Whether `--ignore-unfixed` could not be told about some finding.
    pub fn has_unknown_fixes(&self) -> bool {
        self.outcome.judgement.as_ref().is_some_and(|(_, it)| !it.fix_unknown.is_empty())
    }

    /// The lines for people.
    pub fn lines(&self) -> Vec<String> {
        let scanner = match self.scanner {
            Some(ScanType::Basic) => ", basic scanning",
            Some(ScanType::Enhanced) => ", enhanced scanning",
            None => "",
        };
        let status = printable(self.status.as_deref().unwrap_or("not scanned"));
        let status = if status.is_empty() { "no status" } else { &status };
        let title = Tone::Title.paint(&self.outcome.title);
        let mut lines = vec![format!("{title}  {}  {status}{scanner}", self.subject.digest.short())];
        if self.is_done() {
            lines.push(format!("  {}", counts_text(&self.counts)));
        } else {
            lines.push(format!("  {}", self.outcome.meaning));
            let said = self
                .description
                .iter()
                .flat_map(|it| wrap(&format!("ECR says: {}", printable(it)), WIDTH - 4));
            lines.extend(said.map(|it| format!("  {it}")));
        }
        let help = self.outcome.help.iter().flat_map(|it| wrap(&format!("help: {it}"), WIDTH - 4));
        lines.extend(help.map(|it| format!("  {it}")));
        lines.extend(self.finding_lines());
        lines.extend(self.gate_line());
        lines
    }

    fn finding_lines(&self) -> Vec<String> {
        if self.findings.is_empty() {
            return Vec::new();
        }
        let columns = [
            ("SEVERITY", Align::Left),
            ("ID", Align::Flexible),
            ("PACKAGE", Align::Flexible),
            ("INSTALLED", Align::Flexible),
            ("FIXED IN", Align::Flexible),
        ];
        let mut table = Table::new(&columns);
        self.findings.iter().for_each(|it| table.add(it.cells()));
        let mut rows = table.lines(2);
        let mut lines: Vec<_> = rows.next().into_iter().map(|it| it.trim_end().to_owned()).collect();
        for (row, finding) in rows.zip(&self.findings) {
            lines.push(row.trim_end().to_owned());
            let link = finding
                .finding
                .uri
                .as_ref()
                .map(|it| format!("            {}", Tone::Dim.paint(&printable(it))));
            lines.extend(link);
        }
        lines
    }

    fn gate_line(&self) -> Option<String> {
        let (fail_on, judgement) = self.outcome.judgement.as_ref()?;
        let blocking = self.findings.iter().filter(|it| it.blocks).map(|it| &it.finding.name);
        let blocking = blocking.collect::<BTreeSet<_>>();
        let unlisted = judgement.unlisted.values().sum::<u64>() as usize;
        let mut reasons = Vec::new();
        let mut add = |n: usize, text: String| reasons.extend((n > 0).then(|| format!("{n} {text}")));
        add(blocking.len(), format!("{fail_on} or worse"));
        add(unlisted, "counted by ECR and not listed".to_owned());
        add(self.ignored, "ignored".to_owned());
        add(self.unfixed, "without a fix".to_owned());
        let suppressed =
            self.findings.iter().filter(|it| it.finding.is_suppressed).map(|it| &it.finding.name);
        add(suppressed.collect::<BTreeSet<_>>().len(), "suppressed".to_owned());
        let (word, tone) = match (judgement.verdict, judgement.is_passed) {
            (Verdict::Passed, _) => ("passed", Tone::Good),
            (Verdict::Failed, _) => ("failed", Tone::Bad),
            (Verdict::Unsupported, true) => ("passed, unscanned (--unsupported pass)", Tone::Warning),
            (Verdict::Unsupported, false) => ("not passed: ECR cannot scan it", Tone::Bad),
            (Verdict::NotScanned, _) => ("not passed: there are no findings to look at", Tone::Bad),
        };
        let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) };
        Some(format!("  gate {}{reasons}", tone.paint(word)))
    }
}

impl ScannedFinding {
    fn cells(&self) -> Vec<Cell> {
        let found = &self.finding;
        let fixed = match (&found.fixed_in, found.fix) {
            _ if found.is_suppressed => Cell::new("suppressed", Tone::Dim),
            (Some(version), _) => version.clone().into(),
            (None, Fix::Available) => Cell::new("available", Tone::Plain),
            (None, Fix::None) => Cell::new("no fix", Tone::Dim),
            (None, Fix::Unknown) => Cell::new("not told", Tone::Dim),
        };
        vec![
            Cell::new(found.severity.as_str(), tone_of(found.severity)),
            found.name.as_str().into(),
            found.package.as_deref().unwrap_or("-").into(),
            found.installed.as_deref().unwrap_or("-").into(),
            fixed,
        ]
    }
}
