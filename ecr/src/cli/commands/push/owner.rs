//! The project that a repository belongs to. It is asked before the first write to the repository, so that a push that
//! changes nothing makes no request for it.

use super::connect::RegistryJob;
use super::repositories::Refusal;
use crate::cli::commands::session::Session;
use crate::cli::error::Exit;
use crate::plan::other_project;

/// Refuses the repository of another project. A repository whose resource tags may not be read is not refused.
pub(super) async fn require_own(session: &Session<'_>, it: &RegistryJob) -> Result<(), Refusal> {
    let Some(arn) = it.repository.unchecked_arn() else { return Ok(()) };
    let name = it.job.service.repository.clone();
    let read = session.aws.tags_of(vec![(name, arn.to_owned())]).await;
    let read = read.map_err(|error| Refusal { reason: error.to_string(), exit: Exit::Failed })?;
    let tags = read.first().and_then(|(_, tags)| tags.known());
    match tags.and_then(|it| other_project(it, session.project())) {
        None => Ok(()),
        Some(owner) => Err(Refusal { reason: format!("owned by project `{owner}`"), exit: Exit::Refused }),
    }
}
