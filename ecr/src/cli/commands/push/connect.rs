//! The second stage: finds the account, the repositories, a token and the engine.

use anyhow::Context;
use ecr_oci::bases::{BaseImages, Login};
use ecr_oci::credentials::Credentials;
use ecr_oci::registry::RegistryClient;
use ecr_types::RepositoryName;

use super::engine::{self, EngineRecipe, Recipe};
use super::outcome::ServiceResult;
use super::repositories::{self, TargetRepository};
use super::{Job, Push};
use crate::aws::{AuthorizationToken, Aws};
use crate::build::bases::Bases;
use crate::build::docker::EngineGuard;
use crate::build::docker::EngineLogin;
use crate::cli::commands::bases;
use crate::cli::commands::registry_client::registry_client;
use crate::cli::commands::session::{Connection, Session};
use crate::cli::error::Failure;
use crate::config::desired::{Desired, DesiredRepository};
use crate::config::workspace::Workspace;

/// A push with its session and its repositories.
pub(super) struct Connected<'a> {
    pub session: Session<'a>,
    /// The host name of the registry, as the API returns it; `None` if no repository exists.
    pub host: Option<String>,
    /// The jobs and the registry; `None` if no service can be pushed.
    pub registry_push: Option<RegistryPush>,
}

impl Connected<'_> {
    /// The host of the registry, as it is printed.
    pub(super) fn shown_host(&self) -> Option<String> {
        Some(self.session.display_reference(self.host.as_ref()?))
    }
}

/// The jobs whose repositories exist, with their registry.
pub(super) struct RegistryPush {
    pub registry: AuthorizedRegistry,
    pub jobs: Vec<RegistryJob>,
}

/// A registry, with clients that are authorized.
pub(super) struct AuthorizedRegistry {
    pub client: RegistryClient,
    /// The host in references.
    pub host: String,
    /// The host that is connected to.
    pub connection: String,
    pub bases: Bases,
    /// Ends the engine's session when dropped.
    _engine: Option<EngineGuard>,
}

/// A service with its repository.
#[derive(Clone)]
pub(super) struct RegistryJob {
    pub job: Job,
    pub repository: TargetRepository,
    pub recipe: RegistryRecipe,
}

/// Where an image is built.
#[derive(Clone)]
pub(super) enum RegistryRecipe {
    /// On this machine.
    Local(Recipe),
    /// On a buildx builder, which also pushes it.
    Remote { engine: EngineRecipe, builder: String },
}

/// Requests the identity, finds or creates the repositories, and requests a token before the build, so that a
/// missing permission is reported early.
pub(super) async fn connect<'a>(
    push: &Push<'a>,
    connection: Connection,
    workspace: Workspace,
    jobs: Vec<Job>,
    done: &mut Vec<ServiceResult>,
) -> Result<Connected<'a>, Failure> {
    let desired = desired_repositories(&jobs, &workspace.desired);
    let read = async |aws: &Aws| {
        let token = async { if desired.is_empty() { None } else { Some(aws.authorization_token().await) } };
        tokio::join!(repositories::observe(aws, &desired, push.flags), token)
    };
    let (session, (observed, token)) =
        Session::identify_and_read(push.shell, workspace, connection, read).await?;
    let found = repositories::find(&session, &desired, push.flags, observed?).await?;
    let jobs = with_repositories(&session, jobs, &found, done);
    let registry_push = match (token, &found.host) {
        (Some(token), Some(host)) if !jobs.is_empty() => {
            let token = token.context("failed to get an authorization token")?;
            token.require_host(host, session.aws.endpoint_host().as_deref()).map_err(anyhow::Error::new)?;
            let waiting: Vec<_> = jobs.iter().map(|(job, _)| job.clone()).collect();
            let opening = open_registry(push, &session, host, token, jobs, done);
            let opened = push.shell.until_interrupted(opening).await.transpose()?;
            if opened.is_none() {
                let reason = "interrupted before it was delivered";
                done.extend(waiting.iter().map(|it| ServiceResult::interrupted(it, reason)));
            }
            opened
        }
        _ => None,
    };
    Ok(Connected { session, host: found.host, registry_push })
}

/// The desired repositories of the jobs.
fn desired_repositories(jobs: &[Job], desired: &Desired) -> Vec<DesiredRepository> {
    let is_wanted = |name: &RepositoryName| jobs.iter().any(|it| it.service.repository == *name);
    desired.repositories.iter().filter(|it| is_wanted(&it.name)).cloned().collect()
}

/// The jobs whose repositories can be pushed to. Adds the results of the others to `done`.
fn with_repositories(
    session: &Session<'_>,
    jobs: Vec<Job>,
    found: &repositories::TargetRepositories,
    done: &mut Vec<ServiceResult>,
) -> Vec<(Job, TargetRepository)> {
    let mut located = Vec::new();
    for job in jobs {
        match found.repositories.get(&job.service.repository) {
            Some(Ok(repository)) => located.push((job, repository.clone())),
            Some(Err(refusal)) => done.push(refusal.result(&job)),
            None => done.push(repositories::missing(session, &job)),
        }
    }
    located
}

async fn open_registry(
    push: &Push<'_>,
    session: &Session<'_>,
    host: &str,
    token: AuthorizationToken,
    located: Vec<(Job, TargetRepository)>,
    done: &mut Vec<ServiceResult>,
) -> Result<RegistryPush, Failure> {
    let connection = session.aws.registry_host(host).map_err(anyhow::Error::new)?;
    let (user, password) = ("AWS".to_owned(), token.password.clone());
    let login = EngineLogin { hosts: vec![host.to_owned(), connection.clone()], user, password };
    let ready = engine::open(push, located, Some(login)).await?;
    done.extend(ready.failed);
    let job = |(job, repository, recipe)| {
        let recipe = registry_recipe(push, recipe);
        RegistryJob { job, repository, recipe }
    };
    let jobs = ready.jobs.into_iter().map(job).collect();
    let http = session.aws.http().clone();
    // The token is also valid for base images in the same registry.
    let credentials = Credentials::Basic { user: "AWS".to_owned(), password: token.password.clone() };
    let login_for_bases = Login { host: connection.clone(), credentials };
    let images = BaseImages::new(push.builder.bases.clone(), http, Some(login_for_bases));
    let images =
        images.with_source(bases::source(session.desired().base_mirrors.clone(), session.aws.clone()));
    let client = registry_client(&session.aws, host, &token)?;
    let (host, bases) = (host.to_owned(), Bases::new(images));
    let registry = AuthorizedRegistry { client, host, connection, bases, _engine: ready.guard };
    Ok(RegistryPush { registry, jobs })
}

fn registry_recipe(push: &Push<'_>, recipe: Recipe) -> RegistryRecipe {
    match (recipe, &push.flags.engine_builder) {
        (Recipe::Engine(engine), Some(builder)) => {
            RegistryRecipe::Remote { engine, builder: builder.clone() }
        }
        (recipe, _) => RegistryRecipe::Local(recipe),
    }
}
