//! The document of `ecr scan`, and the scans in the document of `push`.

use std::collections::BTreeSet;

use ecr_types::human::wrap;
use ecr_types::{Digest, RepositoryName};
use serde::Serialize;

#[cfg(test)]
use super::Interrupted;
use super::images::tone_of;
#[cfg(test)]
use super::schema::{self, SCAN_STATUSES};
use crate::cli::shell::Printable;
use crate::cli::table::{Align, Cell, PROSE, Table, Tone};
use crate::scan::{
    Counts, Finding, Fix, Gate, GateEvaluation, ImageScan, NEVER_SCANNED, ScanProgress, ScanType, Severity,
    Verdict, counts_text,
};

/// The document of `ecr scan`, which is written one image at a time.
#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[schemars(
    untagged,
    description = "The findings of ECR's scanner in the images, and the results of the gate. \
                   Ctrl-C ends the list early."
)]
#[expect(dead_code, reason = "only its schema is used")]
pub enum ScanDocument {
    /// The complete list.
    Complete {
        /// The scanned images. An index is represented by the images that it contains.
        images: Vec<ScannedImage>,
        /// The end of the list.
        #[schemars(flatten)]
        end: ScanReport,
    },
    /// The beginning of the list, until Ctrl-C.
    Interrupted {
        /// The images that were scanned before the interruption.
        images: Vec<ScannedImage>,
        /// The end of the list.
        #[schemars(flatten)]
        end: Interrupted,
    },
}

/// The members that follow the list of images.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ScanReport {
    /// The repositories and images whose scans could not be read.
    pub failures: Vec<ScanFailure>,
    /// The entries of the ignore file that need attention. Null without `--fail-on`.
    pub ignore: Option<IgnoreReport>,
}

/// A repository or an image whose scan could not be read.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ScanFailure {
    /// The name of the repository.
    pub repository: RepositoryName,
    /// The error.
    pub error: String,
    /// What to do about the error. Absent if there is no advice.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub help: Option<String>,
}

/// The entries of the ignore file that no longer have an effect.
#[derive(Debug, Clone, Serialize, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct IgnoreReport {
    /// The identifiers of the entries that have expired. The findings are no longer ignored.
    pub expired: Vec<String>,
    /// The identifiers of the entries that match no finding in the scanned images. Null if some findings are
    /// unknown.
    pub stale: Option<Vec<String>>,
}

/// An image, the findings in it and the result of the gate.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ScannedImage {
    /// The image.
    #[serde(flatten)]
    pub subject: Subject,
    /// The status of the scan (`imageScanStatus.status`). Null if the image was never scanned. Values that
    /// this version does not know are possible.
    #[cfg_attr(test, schemars(extend("examples" = SCAN_STATUSES)))]
    pub status: Option<String>,
    /// ECR's description of the status. Null if there is none.
    pub description: Option<String>,
    /// The scanner. Null if its findings do not identify it.
    pub scanner: Option<ScanType>,
    /// The number of findings of each severity.
    #[cfg_attr(test, schemars(with = "schema::Counts"))]
    pub counts: Counts,
    /// The findings, the most severe first, with one entry for each affected package.
    pub findings: Vec<ScannedFinding>,
    /// The number of findings that ECR counts and does not list. The gate treats them like listed findings.
    #[cfg_attr(test, schemars(with = "schema::Counts"))]
    pub unlisted: Counts,
    /// The result of the gate. Null without `--fail-on`.
    pub gate: Option<Verdict>,
    /// Whether the image passes the gate. Null without `--fail-on`.
    pub passed: Option<bool>,
    /// The number of findings that the ignore file excludes from the gate.
    pub ignored: usize,
    /// The number of findings that `--ignore-unfixed` excludes from the gate.
    pub unfixed: usize,
    #[serde(skip)]
    outcome: Outcome,
}

/// A vulnerability in a package of the image.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Finding"))]
pub struct ScannedFinding {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// Whether the finding fails the gate.
    pub blocks: bool,
}

/// The parts of a scanned image that are only in the text for people.
#[derive(Debug, Clone)]
struct Outcome {
    title: String,
    meaning: String,
    help: Option<String>,
    progress: Option<ScanProgress>,
    judgement: Option<(Severity, GateEvaluation)>,
}

/// An image that is scanned.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Subject {
    /// The name of the repository.
    pub repository: RepositoryName,
    /// The package that uses the repository. Null if there is none.
    pub package: Option<String>,
    /// The digest of the image.
    pub digest: Digest,
    /// The tags of the image, or those of the index that contains it.
    pub tags: Vec<String>,
    /// The digest of the index that contains the image. Null if there is none.
    pub index: Option<Digest>,
    /// The platform in the index, such as `linux/arm64`. Null without an index, or if the index does not
    /// contain it.
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
    /// The report on the scan of an image. `None` is an image that was never scanned.
    pub fn new(subject: Subject, scan: Option<&ImageScan>, gate: Option<&Gate>) -> Self {
        let judgement = gate.map(|it| (it.fail_on, it.evaluate(scan)));
        let blocks = |n: usize| judgement.as_ref().is_some_and(|(_, it)| it.blocking.get(n) == Some(&true));
        let title = subject.to_string();
        let findings = scan.iter().flat_map(|it| &it.findings).enumerate();
        let findings =
            findings.map(|(n, it)| ScannedFinding { finding: it.clone(), blocks: blocks(n) }).collect();
        let counted = |count: fn(&GateEvaluation) -> usize| judgement.as_ref().map_or(0, |(_, it)| count(it));
        let help = scan.map_or(Some(NEVER_SCANNED.1), ImageScan::help);
        // People copy commands, which therefore contain the names and not placeholders.
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

    /// Whether the image passes the gate. Without a gate every image passes.
    pub fn is_through(&self) -> bool {
        self.passed.unwrap_or(true)
    }

    /// Whether the list of findings is complete.
    pub fn is_done(&self) -> bool {
        self.outcome.progress == Some(ScanProgress::Done)
    }

    /// Whether there is no scan: nobody started one, or ECR cannot scan the image.
    pub fn is_unscanned(&self) -> bool {
        self.outcome.progress.is_none() || self.is_unsupported()
    }

    /// Whether ECR cannot scan the image.
    pub fn is_unsupported(&self) -> bool {
        self.outcome.progress == Some(ScanProgress::Unsupported)
    }

    /// Whether there are findings for which `--ignore-unfixed` has no effect, because the scanner does not
    /// report fixes.
    pub fn has_unknown_fixes(&self) -> bool {
        self.outcome.judgement.as_ref().is_some_and(|(_, it)| !it.fix_unknown.is_empty())
    }

    /// The lines for people.
    pub fn lines(&self, width: Option<usize>) -> Vec<Printable> {
        let scanner = match self.scanner {
            Some(ScanType::Basic) => ", basic scanning",
            Some(ScanType::Enhanced) => ", enhanced scanning",
            None => "",
        };
        let status = self.status.as_deref().unwrap_or("not scanned");
        let status = Printable::line(if status.is_empty() { "no status" } else { status });
        let title = Tone::Title.paint(&self.outcome.title);
        let mut lines = vec![title + "  " + self.subject.digest.short() + "  " + status + scanner];
        if self.is_done() {
            lines.push(format!("  {}", counts_text(&self.counts)).into());
        } else {
            lines.push(format!("  {}", self.outcome.meaning).into());
            let said = self.description.iter().flat_map(|it| wrap(&format!("ECR says: {it}"), PROSE - 4));
            lines.extend(said.map(|it| format!("  {it}").into()));
        }
        let help = self.outcome.help.iter().flat_map(|it| wrap(&format!("help: {it}"), PROSE - 4));
        lines.extend(help.map(|it| format!("  {it}").into()));
        lines.extend(self.finding_lines(width));
        lines.extend(self.gate_line());
        lines
    }

    fn finding_lines(&self, width: Option<usize>) -> Vec<Printable> {
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
        let mut rows = table.lines(2, width);
        let mut lines: Vec<_> = rows.next().into_iter().collect();
        for (row, finding) in rows.zip(&self.findings) {
            lines.push(row);
            let link = finding.finding.uri.as_ref();
            lines.extend(link.map(|it| Printable::from("            ") + Tone::Dim.paint(it)));
        }
        lines
    }

    fn gate_line(&self) -> Option<Printable> {
        let (fail_on, judgement) = self.outcome.judgement.as_ref()?;
        let blocking = self.findings.iter().filter(|it| it.blocks).map(|it| &it.finding.name);
        let blocking = blocking.collect::<BTreeSet<_>>();
        let unlisted = judgement.unlisted.values().sum::<u64>() as usize;
        let mut reasons = Vec::new();
        let mut add = |n: usize, text: String| reasons.extend((n > 0).then(|| format!("{n} {text}")));
        add(blocking.len(), format!("{fail_on} or worse"));
        add(unlisted, "not listed by ECR".to_owned());
        add(self.ignored, "ignored".to_owned());
        add(self.unfixed, "without a fix".to_owned());
        let suppressed =
            self.findings.iter().filter(|it| it.finding.is_suppressed).map(|it| &it.finding.name);
        add(suppressed.collect::<BTreeSet<_>>().len(), "suppressed".to_owned());
        let (word, tone) = match (judgement.verdict, judgement.is_passed) {
            (Verdict::Passed, _) => ("passed", Tone::Good),
            (Verdict::Failed, _) => ("failed", Tone::Bad),
            (Verdict::Unsupported, true) => ("passed, unscanned (--unsupported pass)", Tone::Warning),
            (Verdict::Unsupported, false) => ("not passed: ECR cannot scan the image", Tone::Bad),
            (Verdict::NotScanned, _) => ("not passed: the findings are not available", Tone::Bad),
        };
        let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) };
        Some(Printable::from("  gate ") + tone.paint(word) + reasons)
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
            (None, Fix::Unknown) => Cell::new("unknown", Tone::Dim),
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
