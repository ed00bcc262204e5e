//! What `ecr status` prints: one page for a person.

use ecr_lifecycle::Timestamp;
use ecr_types::human::{money, short_age, size, some_of};
use ecr_types::{Digest, RepositoryName};
use serde::Serialize;

use super::Header;
use super::images::{counts_cell, figures_text};
use crate::cli::table::{Align, Cell, Table, Tone};
use crate::config::price::Price;
use crate::inventory::Figures;
use crate::scan::{Counts, ScanStatus};

/// `ecr status`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusReport {
    /// Where.
    #[serde(flatten)]
    pub header: Header,
    /// What the commands work with.
    pub environment: Environment,
    /// USD for a GB and month.
    pub price: Price,
    /// One entry a repository.
    pub repositories: Vec<RepositoryStatus>,
    /// Repositories of this project that the workspace does not name; null if nobody looked.
    pub orphans: Option<Vec<RepositoryName>>,
    /// The sum over all repositories that could be read.
    pub total: Figures,
}

/// What the commands work with.
#[derive(Debug, Clone, Serialize)]
pub struct Environment {
    /// The ARN of the user or role.
    pub identity: String,
    /// Where the API is, if not at AWS.
    pub endpoint: Option<String>,
    /// docker or podman; null where neither is installed.
    pub engine: Option<EngineStatus>,
}

/// docker or podman.
#[derive(Debug, Clone, Serialize)]
pub struct EngineStatus {
    /// Which.
    pub program: String,
    /// Its version; null where its daemon does not answer.
    pub version: Option<String>,
}

/// A repository of a [`StatusReport`].
#[derive(Debug, Clone, Serialize)]
pub struct RepositoryStatus {
    /// Its name.
    pub name: RepositoryName,
    /// The service that it belongs to.
    pub package: Option<String>,
    /// How it stands, as in `ecr plan`; null where it could not be read.
    pub state: Option<&'static str>,
    /// The fields that differ from what is desired.
    pub drift: Vec<String>,
    /// The newest image; null where there is none.
    pub latest: Option<LatestImage>,
    /// What its images take and cost; null where they could not be read.
    pub storage: Option<Figures>,
    /// What could not be read, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The newest image of a repository.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestImage {
    /// Its digest.
    pub digest: Digest,
    /// Its tags.
    pub tags: Vec<String>,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// Whether it is known which images an index lists; nothing is known of their scans otherwise.
    pub is_scan_known: bool,
    /// `imageScanStatus.status`; null for an image that was never scanned, or of which nothing is known.
    pub scan_status: Option<String>,
    /// Findings by severity.
    pub findings: Option<Counts>,
}

impl StatusReport {
    /// The lines for people.
    pub fn lines(&self, now: Timestamp) -> Vec<String> {
        let mut lines = vec![Tone::Title.paint("Environment")];
        lines.extend(self.environment_lines());
        lines.push(String::new());
        lines.push(Tone::Title.paint("Repositories"));
        lines.extend(self.table(now).lines(2).map(|it| it.trim_end().to_owned()));
        for repository in self.repositories.iter().filter(|it| !it.drift.is_empty()) {
            lines.push(format!("  {} differs in {}", repository.name, some_of(&repository.drift, 3)));
        }
        lines.push(String::new());
        lines.push(Tone::Title.paint("Storage"));
        lines.push(format!("  {}", figures_text(&self.total)));
        if self.repositories.iter().any(|it| it.storage.is_none()) {
            lines.push("  of the repositories that could be read".to_owned());
        }
        lines.push(format!("  at {} a GB and month, without transfer and replication", self.price));
        lines.extend(self.orphan_lines());
        lines
    }

    fn environment_lines(&self) -> Vec<String> {
        let registry = self.header.registry.as_deref().unwrap_or("unknown");
        let engine = match &self.environment.engine {
            Some(EngineStatus { program, version: Some(version) }) => format!("{program} {version}"),
            Some(EngineStatus { program, version: None }) => {
                format!("{program}, whose daemon does not answer")
            }
            None => "neither docker nor podman (`cargo xtask push` needs none)".to_owned(),
        };
        let mut lines = Vec::new();
        let mut add = |title: &str, text: &str| {
            lines.push(format!("  {} {text}", Tone::Dim.paint(&format!("{title:<9}"))));
        };
        add("identity", &self.environment.identity);
        add("account", &self.header.account);
        add("region", &self.header.region);
        add("registry", registry);
        self.environment.endpoint.iter().for_each(|it| add("endpoint", it));
        self.header.project.iter().for_each(|it| add("project", it));
        add("engine", &engine);
        lines
    }

    fn table(&self, now: Timestamp) -> Table {
        let mut table = Table::new(&[
            ("REPOSITORY", Align::Flexible),
            ("STATE", Align::Left),
            ("LATEST", Align::Flexible),
            ("PUSHED", Align::Left),
            ("SCAN", Align::Flexible),
            ("IMAGES", Align::Right),
            ("SIZE", Align::Right),
            ("A MONTH", Align::Right),
        ]);
        self.repositories.iter().for_each(|it| table.add(it.cells(now)));
        table
    }

    fn orphan_lines(&self) -> Vec<String> {
        let Some(orphans) = &self.orphans else { return Vec::new() };
        let mut lines = vec![String::new(), Tone::Title.paint("Orphans")];
        if orphans.is_empty() {
            lines.push("  none".to_owned());
        }
        lines.extend(orphans.iter().map(|it| format!("  {}", Tone::Warning.paint(it.as_str()))));
        lines
    }
}

impl RepositoryStatus {
    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        let tone = match self.state {
            Some("current") => Tone::Good,
            Some("drifted" | "absent") => Tone::Warning,
            _ => Tone::Bad,
        };
        let mut cells = vec![self.name.as_str().into(), Cell::new(self.state.unwrap_or("unknown"), tone)];
        cells.extend(match &self.latest {
            Some(latest) => latest.cells(now),
            None => ["-", "", ""].map(|it| Cell::new(it, Tone::Dim)),
        });
        cells.extend(match &self.storage {
            Some(figures) => {
                let bound = if figures.storage.is_upper_bound { "≤" } else { "" };
                let bytes = format!("{bound}{}", size(figures.storage.stored_bytes));
                [figures.storage.images.to_string(), bytes, money(figures.cost_per_month)].map(Cell::from)
            }
            None => ["?", "?", "?"].map(|it| Cell::new(it, Tone::Dim)),
        });
        cells
    }
}

impl LatestImage {
    fn cells(&self, now: Timestamp) -> [Cell; 3] {
        let title = self.tags.first().map_or(self.digest.short(), String::as_str);
        let pushed = short_age(now.since(self.pushed_at) as f64 / 1e9);
        let scan = match (&self.scan_status, &self.findings) {
            (_, Some(counts)) if counts.values().any(|n| *n > 0) => counts_cell(counts),
            (Some(status), Some(counts)) if matches!(status.as_str(), "COMPLETE" | "ACTIVE") => {
                counts_cell(counts)
            }
            (Some(status), _) => Cell::new(ScanStatus::from_api(status).short(), Tone::Dim),
            (None, Some(counts)) => counts_cell(counts),
            (None, None) if !self.is_scan_known => Cell::new("-", Tone::Dim),
            (None, None) => Cell::new("never", Tone::Warning),
        };
        [title.into(), pushed.into(), scan]
    }
}
