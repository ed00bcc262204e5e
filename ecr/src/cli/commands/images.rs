//! `ecr images`: what is in the repositories, one after the other.

use anyhow::Context;
use ecr_types::error::one_line;
use ecr_types::human::count;
use futures_util::stream::{self, StreamExt};

use super::session::Session;
use super::storage::{RepositoryStorage, StorageReport};
use crate::aws::Reads;
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{ImagesTotal, ListedRepository, figures_text};
use crate::cli::shell::Shell;
use crate::inventory::Figures;

/// Repositories that are read ahead of the one that is printed: more of them would pile up in memory.
const AHEAD: usize = 4;

/// Lists the images of the selected repositories.
pub async fn run(flags: &flags::Images, shell: &Shell) -> Result<Exit, Failure> {
    let session = Session::open(shell, &flags.common).await?;
    let desired = flags.common.selection.repositories(session.desired())?;
    let names: Vec<_> = desired.iter().map(|it| it.name.clone()).collect();
    let reads = |_: &_| Reads { lifecycle_policy: true, ..Reads::default() };
    let (observed, mut failures) =
        session.aws.observe(&names, reads).await.context("failed to look at the repositories")?;
    session.begin(&observed).await?;
    let survey = StorageReport::new(&session, &observed, &flags.storage);
    let each = desired.iter().map(|desired| {
        let failure = failures.remove(&desired.name);
        let (survey, observed) = (&survey, &observed);
        async move {
            let exists = failure.is_none().then(|| observed.repositories.contains_key(&desired.name));
            let looked = match failure {
                Some(error) => Err(anyhow::Error::new(error.clone())),
                None if exists == Some(true) => survey.look(desired).await,
                None => Ok(RepositoryStorage::default()),
            };
            (desired, exists, looked)
        }
    });
    let mut surveyed = stream::iter(each).buffered(AHEAD.min(session.aws_concurrency()));
    let (mut total, mut failed) = (Figures::default(), 0);
    let mut json = shell.json_list("repositories");
    while let Some((desired, exists, looked)) = surveyed.next().await {
        let error = looked.as_ref().err().map(|it| one_line(it.as_ref()));
        if let Some(error) = &error {
            shell.bad_status("Failed", format!("{}: {error}", desired.name));
            failed += 1;
        }
        let storage = looked.as_ref().ok().map(|it| it.figures);
        let looked = looked.unwrap_or_default();
        total += looked.figures;
        let images = &looked.inventory;
        let (name, package) = (&desired.name, desired.package.as_deref());
        let report = ListedRepository { name, package, exists, images, storage, error };
        report.print(survey.now, |line| shell.print(line));
        json.item(&report);
    }
    drop(surveyed);
    session.warn_of_denials();
    survey.tell_unread();
    let known = if failed > 0 { " (of the repositories that could be read)" } else { "" };
    shell.print(format!("total{known}: {}", figures_text(&total)));
    let repositories = count(desired.len() as u64, "repository");
    let left_out =
        format!("storage at {} a GB and month; transfer and replication are left out", survey.price);
    shell.status("Listed", format!("{repositories}; {left_out}"));
    json.end(&ImagesTotal { total });
    Ok(if failed > 0 { Exit::Failed } else { Exit::Done })
}
