//! The document of `ecr deployed`, and its page for people.

use ecr_types::human::short_age;
use ecr_types::{Digest, RepositoryName, Timestamp};
use serde::Serialize;

use super::push::service_name;
use crate::cli::shell::Printable;
use crate::cli::table::{Align, Cell, Table, Tone};

/// What each environment runs.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeployedReport {
    /// The environments, sorted by name.
    pub environments: Vec<DeployedEnvironment>,
}

/// What an environment runs.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeployedEnvironment {
    /// The name of the environment. Null in a workspace without environments.
    pub name: Option<String>,
    /// The services.
    pub services: Vec<DeployedService>,
    /// Why the environment could not be read. Absent if it could.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub error: Option<String>,
}

/// What an environment runs of a service.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeployedService {
    /// The package of the service.
    pub package: String,
    /// The name of the service: the key of its table below `services`, or that of the package.
    pub service: String,
    /// The repository.
    pub repository: RepositoryName,
    /// The image that runs. Null if there is none.
    pub current: Option<DeployedImage>,
    /// The image that ran before, to which `promote --rollback` leads. Null if none is known.
    pub previous: Option<DeployedImage>,
    /// Why the repository could not be read. Absent if it could.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub error: Option<String>,
}

/// An image that an environment runs, or ran.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RunningImage"))]
#[serde(rename_all = "camelCase")]
pub struct DeployedImage {
    /// The tag by which the environment runs it. Where nothing was promoted, it is a tag of the newest image.
    pub tag: String,
    /// The digest.
    pub digest: Digest,
    /// The earliest time at which the image can have got the tag: ECR records pushes, and not when an image got a tag.
    pub since: Timestamp,
    /// Whether the lifecycle policy of the repository may delete or archive it within 30 days. Null if the policy is unknown.
    pub will_expire: Option<bool>,
    /// Whether it is in the archive, from which it cannot be pulled.
    pub archived: bool,
}

impl DeployedReport {
    /// A table for each environment, in a terminal of this width.
    pub fn lines(&self, now: Timestamp, width: Option<usize>) -> Vec<Printable> {
        let mut lines = Vec::new();
        for environment in &self.environments {
            if !lines.is_empty() {
                lines.push(Printable::default());
            }
            lines.extend(environment.name.as_ref().map(|it| Tone::Title.paint(it)));
            match &environment.error {
                Some(error) => lines.push(Printable::from("  ") + Tone::Bad.paint(error)),
                None => lines.extend(environment.table(now).lines(2, width)),
            }
        }
        lines
    }
}

impl DeployedEnvironment {
    fn table(&self, now: Timestamp) -> Table {
        let mut table = Table::new(&[
            ("SERVICE", Align::Flexible),
            ("CURRENT", Align::Flexible),
            ("DIGEST", Align::Left),
            ("SINCE", Align::Left),
            ("KEPT", Align::Left),
            ("PREVIOUS", Align::Flexible),
        ]);
        self.services.iter().for_each(|it| table.add(it.cells(now)));
        table
    }
}

impl DeployedService {
    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        let mut cells = vec![Cell::from(service_name(&self.package, &self.service))];
        cells.extend(match (&self.current, &self.error) {
            (Some(current), _) => current.cells(now),
            (None, Some(_)) => ["?", "", "", ""].map(|it| Cell::new(it, Tone::Bad)),
            (None, None) => ["-", "", "", ""].map(|it| Cell::new(it, Tone::Dim)),
        });
        cells.push(match &self.previous {
            Some(previous) => previous.tag.as_str().into(),
            None => Cell::new("-", Tone::Dim),
        });
        cells
    }
}

impl DeployedImage {
    fn cells(&self, now: Timestamp) -> [Cell; 4] {
        let kept = match (self.archived, self.will_expire) {
            (true, _) => Cell::new("archived", Tone::Bad),
            (false, Some(true)) => Cell::new("under 30 days", Tone::Bad),
            (false, Some(false)) => Cell::new("yes", Tone::Good),
            (false, None) => Cell::new("unknown", Tone::Dim),
        };
        let since = short_age(now.since(self.since) as f64 / 1e9);
        [self.tag.as_str().into(), self.digest.short().into(), since.into(), kept]
    }
}
