//! The repositories that a push goes to: they are looked for, or created, before anything is built.

use std::collections::BTreeMap;

use ecr_lifecycle::in_use::InUse;
use ecr_types::{ImageTagMutability, RepositoryName};

use super::outcome::{Done, entry};
use crate::aws::{Aws, Reads};
use crate::cli::commands::create::{agreed, converge};
use crate::cli::commands::session::{self, Observation, Session};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{CreateOutcome, PushEntry, PushOutcome};
use crate::config::desired::{DesiredRepository, Service};
use crate::plan::foreign_owner;
use crate::plan::observed::ObservedRepository;

/// A repository that can be pushed to.
#[derive(Debug, Clone)]
pub(super) struct Place {
    mutability: Option<ImageTagMutability>,
    filters: Vec<String>,
    /// It differs from what is desired, and cannot be changed.
    is_blocked: bool,
}

impl Place {
    /// Where nobody was asked.
    pub(super) fn unknown() -> Self {
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
    pub(super) fn protects(&self, tag: &str) -> bool {
        self.mutability.is_some_and(|it| it.protects(&self.filters, tag))
    }
}

/// Why a repository cannot be pushed to.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    reason: String,
    exit: Exit,
}

impl Refusal {
    /// The end of the service that wanted it.
    pub(super) fn done(&self, service: &Service) -> Done {
        let error = Some(format!("repository `{}`: {}", service.repository, self.reason));
        let entry = PushEntry { error, ..entry(service, PushOutcome::Failed) };
        Done { entry, exit: self.exit, help: None }
    }
}

type Places = BTreeMap<RepositoryName, Result<Place, Refusal>>;

/// The end of a service whose repository does not exist.
pub(super) fn missing(session: &Session<'_>, service: &Service) -> Done {
    let error = Some(format!("repository `{}` does not exist", service.repository));
    let entry = PushEntry { error, ..entry(service, PushOutcome::Failed) };
    let local = session.local_flags();
    let help = format!("create it with `cargo xtask ecr create{local}`, or pass --create");
    Done { entry, exit: Exit::Failed, help: Some(help) }
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
pub(super) async fn places(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    flags: &flags::Push,
    observation: Observation,
) -> Result<(Places, Option<String>), Failure> {
    match flags.create {
        true => created(session, desired, flags.yes, observation).await,
        false => found(session, observation).await,
    }
}

async fn found(
    session: &Session<'_>,
    (observed, failures): Observation,
) -> Result<(Places, Option<String>), Failure> {
    session.begin(&observed).await?;
    let host = observed.repositories.values().find_map(|it| Some(it.uri.split_once('/')?.0.to_owned()));
    let place = |found: &ObservedRepository| match foreign_owner(found, session.project()) {
        Some(owner) => {
            Err(Refusal { reason: format!("it belongs to project `{owner}`"), exit: Exit::Refused })
        }
        None => Ok(Place::of(found)),
    };
    let mut places: Places =
        observed.repositories.iter().map(|(name, found)| (name.clone(), place(found))).collect();
    for (name, error) in failures {
        places.insert(name, Err(Refusal { reason: error.to_string(), exit: Exit::Failed }));
    }
    Ok((places, host))
}

async fn created(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    yes: bool,
    mut observation: Observation,
) -> Result<(Places, Option<String>), Failure> {
    session.begin(&observation.0).await?;
    let observed = observation.0.clone();
    let plan = agreed(session, desired, &mut observation, &InUse::default(), yes).await?;
    let created = converge(session, desired, plan, observation).await;
    let mut places = Places::new();
    for (desired, report) in desired.iter().zip(&created.reports) {
        let Some(result) = &report.result else { continue };
        let refusal = |exit| {
            let reason = result.error.clone().unwrap_or_default();
            Err(Refusal { reason, exit })
        };
        let place = match result.outcome {
            CreateOutcome::Created => Ok(Place::as_desired(desired)),
            // Where the mutability may not be changed, the one that is there counts.
            CreateOutcome::Updated
                if !result.denied.iter().any(|it| it.starts_with("imageTagMutability")) =>
            {
                Ok(Place::as_desired(desired))
            }
            CreateOutcome::Updated | CreateOutcome::Unchanged | CreateOutcome::Blocked => {
                let found = observed.repositories.get(&desired.name);
                let is_blocked = result.outcome == CreateOutcome::Blocked;
                Ok(Place { is_blocked, ..found.map_or_else(Place::unknown, Place::of) })
            }
            CreateOutcome::Refused => refusal(Exit::Refused),
            CreateOutcome::Failed => refusal(Exit::Failed),
        };
        places.insert(desired.name.clone(), place);
    }
    Ok((places, created.host))
}
