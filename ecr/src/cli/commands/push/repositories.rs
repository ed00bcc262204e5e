//! The repositories that a push goes to: they are looked for, or created, before anything is built.

use std::collections::BTreeMap;

use ecr_lifecycle::in_use::InUse;
use ecr_types::{ImageTag, ImageTagMutability, RepositoryName};

use super::Job;
use super::outcome::Done;
use crate::aws::{Aws, Reads};
use crate::cli::commands::create::{agreed, converge};
use crate::cli::commands::session::{self, Observation, Session};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::CreateOutcome;
use crate::config::desired::DesiredRepository;
use crate::plan::foreign_owner;
use crate::plan::observed::ObservedRepository;

/// A repository that can be pushed to.
#[derive(Debug, Clone)]
pub(super) struct TargetRepository {
    mutability: Option<ImageTagMutability>,
    filters: Vec<String>,
    /// It differs from what is desired, and cannot be changed.
    is_blocked: bool,
}

impl TargetRepository {
    /// A repository of which nothing is known.
    fn unknown() -> Self {
        Self { mutability: None, filters: Vec::new(), is_blocked: false }
    }

    fn of(found: &ObservedRepository) -> Self {
        let mutability = found.image_tag_mutability.parse().ok();
        Self { mutability, filters: found.exclusion_filters.clone(), is_blocked: false }
    }

    fn as_desired(desired: &DesiredRepository) -> Self {
        let mutability = Some(desired.image_tag_mutability);
        Self { mutability, filters: desired.exclusion_filters.clone(), is_blocked: false }
    }

    /// What `ecr create` would have ended with.
    pub(super) fn exit(&self) -> Exit {
        if self.is_blocked { Exit::Failed } else { Exit::Done }
    }

    /// Whether a tag must stay where it is.
    pub(super) fn protects(&self, tag: &ImageTag) -> bool {
        self.mutability.is_some_and(|it| it.protects(&self.filters, tag.as_str()))
    }
}

/// Why a repository cannot be pushed to.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    reason: String,
    exit: Exit,
}

impl Refusal {
    /// The end of the service that wanted the repository.
    pub(super) fn done(&self, job: &Job) -> Done {
        let name = &job.service.repository;
        let done = Done::failed(job, &anyhow::anyhow!("repository `{name}`: {}", self.reason));
        Done { exit: self.exit, ..done }
    }
}

/// Repositories that exist, or why they cannot be pushed to.
pub(super) struct Found {
    pub repositories: BTreeMap<RepositoryName, Result<TargetRepository, Refusal>>,
    /// The registry's host, as the API returns it; `None` where no repository exists.
    pub host: Option<String>,
}

/// The end of a service whose repository does not exist.
pub(super) fn missing(session: &Session<'_>, job: &Job) -> Done {
    let done = Done::failed(job, &anyhow::anyhow!("repository `{}` does not exist", job.service.repository));
    let local = session.local_flags();
    let help = format!("create it with `cargo xtask ecr create{local}`, or pass --create");
    Done { help: Some(help), ..done }
}

/// The repositories as they are. Nothing is written, so the account need not be known yet.
pub(super) async fn observe(
    aws: &Aws,
    desired: &[DesiredRepository],
    project: Option<&str>,
    flags: &flags::Push,
) -> Result<Observation, Failure> {
    if flags.create {
        return session::observe(aws, desired, session::names_lifecycle).await;
    }
    let names: Vec<_> = desired.iter().map(|it| it.name.clone()).collect();
    let reads = |_: &RepositoryName| Reads { tags: project.is_some(), ..Reads::default() };
    let observed = aws.observe(&names, reads).await;
    Ok(observed.map_err(|it| anyhow::Error::new(it).context("failed to look at the repositories"))?)
}

/// The repositories that exist, created first if that is wanted, and the registry's host as the API returns it.
pub(super) async fn find(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    flags: &flags::Push,
    observation: Observation,
) -> Result<Found, Failure> {
    match flags.create {
        true => created(session, desired, flags.yes, observation).await,
        false => found(session, observation).await,
    }
}

async fn found(session: &Session<'_>, (observed, failures): Observation) -> Result<Found, Failure> {
    session.begin(&observed).await?;
    let host = observed.repositories.values().find_map(|it| Some(it.uri.split_once('/')?.0.to_owned()));
    let target = |found: &ObservedRepository| match foreign_owner(found, session.project()) {
        Some(owner) => {
            Err(Refusal { reason: format!("it belongs to project `{owner}`"), exit: Exit::Refused })
        }
        None => Ok(TargetRepository::of(found)),
    };
    let mut repositories: BTreeMap<_, _> =
        observed.repositories.iter().map(|(name, found)| (name.clone(), target(found))).collect();
    for (name, error) in failures {
        repositories.insert(name, Err(Refusal { reason: error.to_string(), exit: Exit::Failed }));
    }
    Ok(Found { repositories, host })
}

async fn created(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    yes: bool,
    mut observation: Observation,
) -> Result<Found, Failure> {
    session.begin(&observation.0).await?;
    let observed = observation.0.clone();
    let plan = agreed(session, desired, &mut observation, &InUse::default(), yes).await?;
    let created = converge(session, desired, plan, observation).await;
    let mut repositories = BTreeMap::new();
    for (desired, report) in desired.iter().zip(&created.reports) {
        let result = &report.result;
        let refusal = |exit| {
            let reason = result.error.clone().unwrap_or_default();
            Err(Refusal { reason, exit })
        };
        let target = match result.outcome {
            CreateOutcome::Created => Ok(TargetRepository::as_desired(desired)),
            // Where the mutability may not be changed, the one that is there counts.
            CreateOutcome::Updated
                if !result.denied.iter().any(|it| it.starts_with("imageTagMutability")) =>
            {
                Ok(TargetRepository::as_desired(desired))
            }
            CreateOutcome::Updated | CreateOutcome::Unchanged | CreateOutcome::Blocked => {
                let found = observed.repositories.get(&desired.name);
                let is_blocked = result.outcome == CreateOutcome::Blocked;
                Ok(TargetRepository {
                    is_blocked,
                    ..found.map_or_else(TargetRepository::unknown, TargetRepository::of)
                })
            }
            CreateOutcome::Refused => refusal(Exit::Refused),
            CreateOutcome::Failed => refusal(Exit::Failed),
        };
        repositories.insert(desired.name.clone(), target);
    }
    Ok(Found { repositories, host: created.host })
}
