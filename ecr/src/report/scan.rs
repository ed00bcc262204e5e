//! What `ecr scan` and the gate of `push` print.

use serde::Serialize;

use crate::name::{Digest, RepositoryName};
use crate::scan::{
    Counts, Finding, Fix, Gate, Judgement, Kind, NEVER, Progress, Scan, Severity, Status, Verdict,
    counts_text,
};
use crate::table::{Align, Cell, Table, Tone};

/// `ecr scan`.
#[derive(Debug, Clone, Serialize)]
pub struct ScanReport {
    /// One entry an image; an index stands as the images that it lists.
    pub images: Vec<ScannedImage>,
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
    /// No image has the finding any more; null where not everything was looked at.
    pub stale: Option<Vec<String>>,
}

/// An image of a [`ScanReport`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScannedImage {
    /// The repository.
    pub repository: RepositoryName,
    /// The service that it belongs to.
    pub package: Option<String>,
    /// The image.
    pub digest: Digest,
    /// Its tags, or those of the index that lists it.
    pub tags: Vec<String>,
    /// The index that lists it.
    pub index: Option<Digest>,
    /// The platform for which the index lists it.
    pub platform: Option<String>,
    /// `imageScanStatus.status`; null for an image that was never scanned.
    pub status: Option<String>,
    /// What ECR says about the status.
    pub description: Option<String>,
    /// Which scanner looked, where its findings tell.
    pub scanner: Option<Kind>,
    /// Findings by severity.
    pub counts: Counts,
    /// The findings, the worst first; one a package.
    pub findings: Vec<ScannedFinding>,
    /// What the gate says; null without one.
    pub gate: Option<Verdict>,
    /// Findings that the ignore file lets through.
    pub ignored: u64,
    /// Findings that are let through because no update mends them.
    pub unfixed: u64,
    #[serde(skip)]
    outcome: Outcome,
}

/// A finding of a [`ScannedImage`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScannedFinding {
    /// Its identifier.
    pub name: String,
    /// How bad it is.
    pub severity: Severity,
    /// Where to read about it.
    pub uri: Option<String>,
    /// The package.
    pub package: Option<String>,
    /// The version that is installed.
    pub installed: Option<String>,
    /// The version with the fix.
    pub fixed_in: Option<String>,
    /// Whether there is one.
    pub fix: Fix,
    /// Whether it stands in the way at the gate.
    pub blocks: bool,
}

/// What only people read.
#[derive(Debug, Clone)]
struct Outcome {
    meaning: String,
    help: Option<String>,
    is_done: bool,
    judgement: Option<(Severity, Judgement)>,
}

/// Which image is meant.
#[derive(Debug, Clone)]
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
        title(f, &self.repository, &self.tags, self.platform.as_deref(), &self.digest)
    }
}

fn title(
    f: &mut dyn std::fmt::Write,
    repository: &RepositoryName,
    tags: &[String],
    platform: Option<&str>,
    digest: &Digest,
) -> std::fmt::Result {
    match tags.first() {
        Some(tag) => write!(f, "{repository}:{tag}")?,
        None => write!(f, "{repository}@{}", digest.short())?,
    }
    platform.map_or(Ok(()), |it| write!(f, " ({it})"))
}

impl ScannedImage {
    /// What became of the scan of an image; `None` for one that was never scanned.
    pub fn new(subject: Subject, scan: Option<&Scan>, gate: Option<&Gate>) -> Self {
        let judgement = gate.map(|it| (it.fail_on, it.judge(scan)));
        let blocks = |n: usize| judgement.as_ref().is_some_and(|(_, it)| it.blocking.get(n) == Some(&true));
        let is_done = scan.is_some_and(|it| it.progress() == Progress::Done);
        let findings = scan.iter().flat_map(|it| &it.findings).enumerate();
        let findings = findings.map(|(n, it)| ScannedFinding::new(it, blocks(n))).collect();
        let counted = |count: fn(&Judgement) -> u64| judgement.as_ref().map_or(0, |(_, it)| count(it));
        let Subject { repository, package, digest, tags, index, platform } = subject;
        let help = scan.map_or(Some(NEVER.1), Scan::help);
        // Commands are to be typed as they stand.
        let start = format!(
            "aws ecr start-image-scan --repository-name {repository} --image-id imageDigest={digest}"
        );
        let help = help.map(|it| it.replace("aws ecr start-image-scan", &start));
        Self {
            repository,
            package,
            digest,
            tags,
            index,
            platform,
            status: scan.map(|it| it.status.as_str().to_owned()),
            description: scan.and_then(|it| it.description.clone()),
            scanner: scan.and_then(|it| it.kind),
            counts: scan.map(Scan::totals).unwrap_or_default(),
            findings,
            gate: judgement.as_ref().map(|(_, it)| it.verdict),
            ignored: counted(|it| it.ignored),
            unfixed: counted(|it| it.unfixed),
            outcome: Outcome {
                meaning: scan.map_or(NEVER.0, Scan::meaning).to_owned(),
                help,
                is_done,
                judgement,
            },
        }
    }

    /// Whether the gate lets it through; without a gate, everything gets through.
    pub fn is_through(&self) -> bool {
        self.outcome.judgement.as_ref().is_none_or(|(_, it)| it.is_through)
    }

    /// Whether its findings are complete.
    pub fn is_done(&self) -> bool {
        self.outcome.is_done
    }

    /// Whether ECR cannot scan it.
    pub fn is_unsupported(&self) -> bool {
        let status = self.status.as_deref().map(Status::of_api);
        let is_said = self.description.as_deref().is_some_and(|it| it.contains("UnsupportedImageError"));
        status == Some(Status::UnsupportedImage) || (status == Some(Status::Failed) && is_said)
    }

    /// Whether `--ignore-unfixed` could not be told about some finding.
    pub fn has_unknown_fixes(&self) -> bool {
        self.outcome.judgement.as_ref().is_some_and(|(_, it)| it.fix_unknown > 0)
    }

    /// The image by name.
    pub fn title(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = title(&mut text, &self.repository, &self.tags, self.platform.as_deref(), &self.digest);
        text
    }

    /// The lines for people.
    pub fn lines(&self) -> Vec<String> {
        let scanner = match self.scanner {
            Some(Kind::Basic) => ", basic scanning",
            Some(Kind::Enhanced) => ", enhanced scanning",
            None => "",
        };
        let status = self.status.as_deref().unwrap_or("not scanned");
        let title = Tone::Title.paint(&self.title());
        let mut lines = vec![format!("{title}  {}  {status}{scanner}", self.digest.short())];
        if self.outcome.is_done {
            lines.push(format!("  {}", counts_text(&self.counts)));
        } else {
            lines.push(format!("  {}", self.outcome.meaning));
        }
        if let (false, Some(description)) = (self.outcome.is_done, &self.description) {
            lines.push(format!("  ECR says: {description}"));
        }
        lines.extend(self.outcome.help.iter().map(|it| format!("  help: {it}")));
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
            let link = finding.uri.as_ref().map(|it| format!("            {}", Tone::Dim.paint(it)));
            lines.extend(link);
        }
        lines
    }

    fn gate_line(&self) -> Option<String> {
        let (fail_on, judgement) = self.outcome.judgement.as_ref()?;
        let blocking = self.findings.iter().filter(|it| it.blocks).count() as u64;
        let unlisted: u64 = judgement.unlisted.values().sum();
        let mut reasons = Vec::new();
        let mut add = |n: u64, text: String| reasons.extend((n > 0).then(|| format!("{n} {text}")));
        add(blocking, format!("{fail_on} or worse"));
        add(unlisted, "counted by ECR and not listed".to_owned());
        add(self.ignored, "ignored".to_owned());
        add(self.unfixed, "without a fix".to_owned());
        let (word, tone) = match (judgement.verdict, judgement.is_through) {
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
    fn new(finding: &Finding, blocks: bool) -> Self {
        let Finding { name, severity, uri, package, installed, fixed_in, fix, is_closed: _ } =
            finding.clone();
        Self { name, severity, uri, package, installed, fixed_in, fix, blocks }
    }

    fn cells(&self) -> Vec<Cell> {
        let tone = match self.severity {
            Severity::Unknown | Severity::Critical | Severity::High => Tone::Bad,
            Severity::Medium => Tone::Warning,
            _ => Tone::Plain,
        };
        let fixed = match (&self.fixed_in, self.fix) {
            (Some(version), _) => version.clone().into(),
            (None, Fix::Available) => Cell::new("available", Tone::Plain),
            (None, Fix::None) => Cell::new("no fix", Tone::Dim),
            (None, Fix::Unknown) => Cell::new("not told", Tone::Dim),
        };
        vec![
            Cell::new(self.severity.as_str(), tone),
            self.name.as_str().into(),
            self.package.as_deref().unwrap_or("-").into(),
            self.installed.as_deref().unwrap_or("-").into(),
            fixed,
        ]
    }
}
