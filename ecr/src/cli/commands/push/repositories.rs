//! The repositories of a push, which are found or created before anything is built.

use std::collections::BTreeMap;

use ecr_lifecycle::in_use::InUse;
use ecr_types::{ImageTag, ImageTagMutability, RepositoryName};

use super::Job;
use super::outcome::ServiceResult;
use crate::aws::{Aws, Reads};
use crate::cli::commands::create::{apply_plan, confirmed_plan};
use crate::cli::commands::session::{self, Observation, Session};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::CreateOutcome;
use crate::config::desired::DesiredRepository;
use crate::plan::observed::ObservedRepository;

/// A repository that can be pushed to.
#[derive(Debug, Clone)]
pub(super) struct TargetRepository {
    mutability: Option<ImageTagMutability>,
    filters: Vec<String>,
    /// Whether a difference from the desired state cannot be changed.
    is_blocked: bool,
    /// The ARN, if it is not known yet whether the repository belongs to another project.
    unchecked: Option<String>,
}

impl TargetRepository {
    fn unknown() -> Self {
        Self { mutability: None, filters: Vec::new(), is_blocked: false, unchecked: None }
    }

    fn of(found: &ObservedRepository) -> Self {
        let mutability = found.image_tag_mutability.parse().ok();
        Self { mutability, filters: found.exclusion_filters.clone(), ..Self::unknown() }
    }

    fn as_desired(desired: &DesiredRepository) -> Self {
        let mutability = Some(desired.image_tag_mutability);
        Self { mutability, filters: desired.exclusion_filters.clone(), ..Self::unknown() }
    }

    /// The exit code that `ecr create` would return for the repository.
    pub(super) fn exit(&self) -> Exit {
        if self.is_blocked { Exit::Failed } else { Exit::Done }
    }

    /// The ARN, if it is to be asked whether the repository belongs to another project.
    pub(super) fn unchecked_arn(&self) -> Option<&str> {
        self.unchecked.as_deref()
    }

    /// Whether a tag is immutable.
    pub(super) fn protects(&self, tag: &ImageTag) -> bool {
        self.mutability.is_some_and(|it| it.protects(&self.filters, tag.as_str()))
    }
}

/// The reason why a repository cannot be pushed to.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub reason: String,
    pub exit: Exit,
}

impl Refusal {
    /// The result of the service whose repository this is.
    pub(super) fn result(&self, job: &Job) -> ServiceResult {
        let name = &job.service.repository;
        let done = ServiceResult::failed(job, &anyhow::anyhow!("repository `{name}`: {}", self.reason));
        ServiceResult { exit: self.exit, ..done }
    }
}

/// The repositories of a push, each with the reason if it cannot be pushed to.
pub(super) struct TargetRepositories {
    pub repositories: BTreeMap<RepositoryName, Result<TargetRepository, Refusal>>,
    /// The host name of the registry, as the API returns it; `None` if no repository exists.
    pub host: Option<String>,
}

/// The result of a service whose repository does not exist.
pub(super) fn missing(session: &Session<'_>, job: &Job) -> ServiceResult {
    let done = ServiceResult::failed(
        job,
        &anyhow::anyhow!("repository `{}` does not exist", job.service.repository),
    );
    let local = session.registry_flags();
    let help = format!("create it with `cargo xtask ecr create{local}`, or pass --create");
    ServiceResult { help: Some(help), ..done }
}

/// Reads the state of the repositories. Nothing is written, so this may run before the account is checked.
pub(super) async fn observe(
    aws: &Aws,
    desired: &[DesiredRepository],
    flags: &flags::Push,
) -> Result<Observation, Failure> {
    if flags.create {
        return session::observe(aws, desired, session::configures_lifecycle_policy).await;
    }
    let names: Vec<_> = desired.iter().map(|it| it.name.clone()).collect();
    let observed = aws.observe(&names, |_| Reads::default()).await;
    Ok(observed.map_err(|it| anyhow::Error::new(it).context("failed to read the repositories"))?)
}

/// The repositories that exist; with `--create`, they are created and updated first.
pub(super) async fn find(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    flags: &flags::Push,
    observation: Observation,
) -> Result<TargetRepositories, Failure> {
    match flags.create {
        true => created(session, desired, flags.yes, observation).await,
        false => found(session, observation).await,
    }
}

async fn found(
    session: &Session<'_>,
    (observed, failures): Observation,
) -> Result<TargetRepositories, Failure> {
    session.print_header(&observed).await?;
    let host = observed.repositories.values().find_map(|it| Some(it.uri.split_once('/')?.0.to_owned()));
    let unchecked = |found: &ObservedRepository| session.project().map(|_| found.arn.clone());
    let target = |found| Ok(TargetRepository { unchecked: unchecked(found), ..TargetRepository::of(found) });
    let mut repositories: BTreeMap<_, _> =
        observed.repositories.iter().map(|(name, found)| (name.clone(), target(found))).collect();
    for (name, error) in failures {
        repositories.insert(name, Err(Refusal { reason: error.to_string(), exit: Exit::Failed }));
    }
    Ok(TargetRepositories { repositories, host })
}

async fn created(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    yes: bool,
    mut observation: Observation,
) -> Result<TargetRepositories, Failure> {
    session.print_header(&observation.0).await?;
    let observed = observation.0.clone();
    let plan = confirmed_plan(session, desired, &mut observation, &InUse::default(), yes).await?;
    let created = apply_plan(session, desired, plan, observation).await;
    let mut repositories = BTreeMap::new();
    for (desired, report) in desired.iter().zip(&created.reports) {
        let result = &report.result;
        let refusal = |exit| {
            let reason = result.error.clone().unwrap_or_default();
            Err(Refusal { reason, exit })
        };
        let target = match result.outcome {
            CreateOutcome::Created => Ok(TargetRepository::as_desired(desired)),
            // If changing the mutability was denied, the existing mutability applies.
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
            CreateOutcome::Failed if created.is_interrupted => refusal(Exit::Interrupted),
            CreateOutcome::Failed => refusal(Exit::Failed),
        };
        repositories.insert(desired.name.clone(), target);
    }
    Ok(TargetRepositories { repositories, host: created.host })
}
