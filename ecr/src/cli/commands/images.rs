//! `ecr images`: lists the images in the repositories.

use anyhow::Context;
use ecr_types::error::one_line;
use ecr_types::human::count;
use futures_util::stream::{self, StreamExt};

use super::session::Session;
use super::storage::{RepositoryStorage, StorageReport};
use crate::aws::{Reads, ServiceError};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{ImagesTotal, ListedRepository, figures_text};
use crate::cli::shell::Shell;
use crate::config::desired::DesiredRepository;
use crate::inventory::Figures;

/// The number of repositories that are read ahead of the one that is printed, which bounds the memory.
const AHEAD: usize = 4;

/// Lists the images of the selected repositories.
pub async fn run(flags: &flags::Images, shell: &Shell) -> Result<Exit, Failure> {
    let session = Session::open(shell, &flags.common).await?;
    let desired = flags.common.selection.repositories(session.desired())?;
    let names: Vec<_> = desired.iter().map(|it| it.name.clone()).collect();
    let reads = |_: &_| Reads { lifecycle_policy: true, ..Reads::default() };
    let (observed, mut failures) =
        session.aws.observe(&names, reads).await.context("failed to read the repositories")?;
    session.print_header(&observed).await?;
    let storage_report = StorageReport::new(&session, &observed, &flags.storage);
    let each = desired.iter().map(|desired| {
        let exists = observed.repositories.contains_key(&desired.name);
        read(&storage_report, desired, exists, failures.remove(&desired.name))
    });
    let mut repositories = stream::iter(each).buffered(AHEAD.min(session.aws_concurrency()));
    let (mut total, mut failed) = (Figures::default(), 0);
    let mut json = shell.json_list("repositories");
    while let Some(ReadRepository { desired, exists, result }) = repositories.next().await {
        let error = result.as_ref().err().map(|it| one_line(it.as_ref()));
        if let Some(error) = &error {
            shell.bad_status("Failed", format!("{}: {error}", desired.name));
            failed += 1;
        }
        let storage = result.as_ref().ok().map(|it| it.figures);
        let result = result.unwrap_or_default();
        total += result.figures;
        let images = &result.inventory;
        let (name, package) = (&desired.name, desired.package.as_deref());
        let report = ListedRepository { name, package, exists, images, storage, error };
        report.print(storage_report.now, shell.width(), |line| shell.print(line));
        json.item(&report);
    }
    drop(repositories);
    session.warn_of_denials();
    storage_report.note_unread_manifests();
    let known = if failed > 0 { " (of the repositories that could be read)" } else { "" };
    shell.print(format!("total{known}: {}", figures_text(&total)));
    let repositories = count(desired.len() as u64, "repository");
    let left_out = format!(
        "storage at {} per GB and month, without data transfer and replication",
        storage_report.price
    );
    shell.status("Listed", format!("{repositories}; {left_out}"));
    json.end(&ImagesTotal { total });
    Ok(if failed > 0 { Exit::Failed } else { Exit::Done })
}

struct ReadRepository<'a> {
    desired: &'a DesiredRepository,
    /// `None` if that is unknown.
    exists: Option<bool>,
    result: anyhow::Result<RepositoryStorage>,
}

/// Reads the images of a repository, unless it is absent or `failure` says why it could not be observed.
async fn read<'a>(
    storage_report: &StorageReport<'_>,
    desired: &'a DesiredRepository,
    exists: bool,
    failure: Option<ServiceError>,
) -> ReadRepository<'a> {
    let (exists, result) = match failure {
        Some(error) => (None, Err(error.into())),
        None if exists => (Some(true), storage_report.read(desired).await),
        None => (Some(false), Ok(RepositoryStorage::default())),
    };
    ReadRepository { desired, exists, result }
}
