//! The document of `ecr status`, and its page for people.

use ecr_lifecycle::Timestamp;
use ecr_types::human::{money, short_age, size, some_of};
use ecr_types::{Digest, RepositoryName};
use serde::Serialize;

use super::Header;
use super::images::{counts_cell, figures_text};
use super::registry::RegistryStatus;
#[cfg(test)]
use super::schema::{self, Field, SCAN_STATUSES};
use crate::cli::shell::Printable;
use crate::cli::table::{Align, Cell, Table, Tone};
use crate::config::price::Price;
use crate::inventory::Figures;
use crate::scan::{Counts, ScanStatus};

/// The environment, the repositories, their images and the cost.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StatusReport {
    /// The registry that the command works with.
    #[serde(flatten)]
    pub header: Header,
    /// The environment of the commands.
    pub environment: Environment,
    /// The price of storage in USD for a GB (10⁹ bytes) and month.
    pub price: Price,
    /// The repositories of the selected services.
    pub repositories: Vec<RepositoryStatus>,
    /// The names of repositories of this project that the workspace does not configure. Null without
    /// `--orphans`, and if orphans cannot be identified.
    pub orphans: Option<Vec<RepositoryName>>,
    /// The sum over all repositories that could be read.
    pub total: Figures,
    /// What is set for the whole registry.
    pub registry_settings: RegistryStatus,
}

/// The environment of the commands.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Environment {
    /// The ARN of the user or role.
    pub identity: String,
    /// The URL of the ECR API. Null for the endpoint of AWS.
    pub endpoint: Option<String>,
    /// The container engine. Null if neither docker nor podman is installed.
    pub engine: Option<EngineStatus>,
}

/// A container engine.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Engine"))]
pub struct EngineStatus {
    /// The name of the program.
    #[cfg_attr(test, schemars(extend("enum" = ["docker", "podman"])))]
    pub program: String,
    /// The version. Null if the daemon does not respond.
    pub version: Option<String>,
}

/// A repository and its status.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RepositoryStatus {
    /// The name of the repository.
    pub name: RepositoryName,
    /// The package that uses the repository. Null if there is none.
    pub package: Option<String>,
    /// The state of the repository, as in `ecr plan`. Null if it could not be read.
    #[cfg_attr(test, schemars(with = "Option<schema::RepositoryState>"))]
    pub state: Option<&'static str>,
    /// The fields that differ from the configuration.
    #[cfg_attr(test, schemars(with = "Vec<Field>"))]
    pub drift: Vec<String>,
    /// The youngest image. Null if there is none, or if the images could not be read.
    pub latest: Option<LatestImage>,
    /// The storage of the images and its cost. Null if the images could not be read.
    pub storage: Option<Figures>,
    /// The reason why something could not be read. Absent if everything was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub error: Option<String>,
}

/// The youngest image of a repository.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LatestImage {
    /// The digest of the image.
    pub digest: Digest,
    /// The tags of the image.
    pub tags: Vec<String>,
    /// The time of the push.
    pub pushed_at: Timestamp,
    /// Whether the status of the scan is known. It is unknown for an index whose images are unknown.
    pub is_scan_known: bool,
    /// The status of the scan (`imageScanStatus.status`). Null if the image was never scanned, or if the
    /// status is unknown. Values that this version does not know are possible.
    #[cfg_attr(test, schemars(extend("examples" = SCAN_STATUSES)))]
    pub scan_status: Option<String>,
    /// The number of findings of each severity. Null if there is no result of a scan.
    #[cfg_attr(test, schemars(with = "Option<schema::Counts>"))]
    pub findings: Option<Counts>,
}

impl StatusReport {
    /// The lines for people, in a terminal of this width.
    pub fn lines(&self, now: Timestamp, width: Option<usize>) -> Vec<Printable> {
        let mut lines = vec![Tone::Title.paint("Environment")];
        lines.extend(self.environment_lines());
        lines.push(Printable::default());
        lines.push(Tone::Title.paint("Repositories"));
        lines.extend(self.table(now).lines(2, width));
        for repository in self.repositories.iter().filter(|it| !it.drift.is_empty()) {
            lines.push(format!("  {} differs in {}", repository.name, some_of(&repository.drift, 3)).into());
        }
        lines.push(Printable::default());
        lines.push(Tone::Title.paint("Storage"));
        lines.push(format!("  {}", figures_text(&self.total)).into());
        if self.repositories.iter().any(|it| it.storage.is_none()) {
            lines.push("  of the repositories that could be read".into());
        }
        lines.push(format!("  at {} a GB and month, without transfer and replication", self.price).into());
        lines.push(Printable::default());
        lines.push(Tone::Title.paint("Registry"));
        lines.extend(self.registry_settings.lines());
        lines.extend(self.orphan_lines());
        lines
    }

    fn environment_lines(&self) -> Vec<Printable> {
        let registry = self.header.registry.as_deref().unwrap_or("unknown");
        let engine = match &self.environment.engine {
            Some(EngineStatus { program, version: Some(version) }) => format!("{program} {version}"),
            Some(EngineStatus { program, version: None }) => {
                format!("{program} (the daemon does not respond)")
            }
            None => "none (`cargo xtask push` does not need docker or podman)".to_owned(),
        };
        let mut lines = Vec::new();
        let mut add = |title: &str, text: &str| {
            lines.push(Printable::from("  ") + Tone::Dim.paint(&format!("{title:<9}")) + " " + text);
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

    fn orphan_lines(&self) -> Vec<Printable> {
        let Some(orphans) = &self.orphans else { return Vec::new() };
        let mut lines = vec![Printable::default(), Tone::Title.paint("Orphans")];
        if orphans.is_empty() {
            lines.push("  none".into());
        }
        lines.extend(orphans.iter().map(|it| Printable::from("  ") + Tone::Warning.paint(it.as_str())));
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
