//! The second stage: the account, the repositories, a token, the engine.

use anyhow::Context;
use ecr_oci::bases::{BaseImages, Login};
use ecr_oci::registry::RegistryClient;
use ecr_types::RepositoryName;

use super::engine::{self, EngineLogin, EngineRecipe, Recipe};
use super::outcome::Done;
use super::repositories::{self, TargetRepository};
use super::{Job, Push};
use crate::aws::{AuthorizationToken, Aws, token_renewal};
use crate::build::bases::Bases;
use crate::build::docker::EngineGuard;
use crate::cli::commands::session::{Connection, Session};
use crate::cli::error::Failure;
use crate::config::desired::{Desired, DesiredRepository};
use crate::config::workspace::Workspace;

/// A push whose account and repositories are known.
pub(super) struct Connected<'a> {
    pub session: Session<'a>,
    /// The registry's host, as the API returns it; `None` where no repository exists.
    pub host: Option<String>,
    /// What is to be pushed; `None` where no service is left.
    pub open: Option<Open>,
}

/// Services on their way into a registry.
pub(super) struct Open {
    pub registry: OpenRegistry,
    pub jobs: Vec<RegistryJob>,
}

/// A registry that a token opens.
pub(super) struct OpenRegistry {
    pub client: RegistryClient,
    pub host: String,
    pub bases: Bases,
    /// The engine's session ends with this.
    _engine: Option<EngineGuard>,
}

/// A service with its repository.
#[derive(Clone)]
pub(super) struct RegistryJob {
    pub job: Job,
    pub repository: TargetRepository,
    pub recipe: RegistryRecipe,
}

/// Where an image is made.
#[derive(Clone)]
pub(super) enum RegistryRecipe {
    /// On this machine.
    Here(Recipe),
    /// On a builder of buildx, which pushes as well.
    Remote {
        /// What is built.
        engine: EngineRecipe,
        /// The builder's name.
        builder: String,
    },
}

/// Asks who we are, looks for (or creates) the repositories, and takes a token before the build, so that a missing
/// permission is reported early.
pub(super) async fn connect<'a>(
    push: &Push<'a>,
    connection: Connection,
    workspace: Workspace,
    jobs: Vec<Job>,
    done: &mut Vec<Done>,
) -> Result<Connected<'a>, Failure> {
    let desired = wanted(&jobs, &workspace.desired);
    let project = workspace.desired.project.clone();
    let read = async |aws: &Aws| {
        let token = async { if desired.is_empty() { None } else { Some(aws.authorization_token().await) } };
        tokio::join!(repositories::observe(aws, &desired, project.as_deref(), push.flags), token)
    };
    let (session, (observed, token)) = Session::identify_and(push.shell, workspace, connection, read).await?;
    let found = repositories::find(&session, &desired, push.flags, observed?).await?;
    let jobs = located(&session, jobs, &found, done);
    let open = match (token, &found.host) {
        (Some(token), Some(host)) if !jobs.is_empty() => {
            let token = token.context("failed to get a token")?;
            Some(open(push, &session, host, token, jobs, done).await?)
        }
        _ => None,
    };
    Ok(Connected { session, host: found.host, open })
}

/// The repositories of the services.
fn wanted(jobs: &[Job], desired: &Desired) -> Vec<DesiredRepository> {
    let is_wanted = |name: &RepositoryName| jobs.iter().any(|it| it.service.repository == *name);
    desired.repositories.iter().filter(|it| is_wanted(&it.name)).cloned().collect()
}

/// The services whose repositories can be pushed to.
fn located(
    session: &Session<'_>,
    jobs: Vec<Job>,
    found: &repositories::Found,
    done: &mut Vec<Done>,
) -> Vec<(Job, TargetRepository)> {
    let mut located = Vec::new();
    for job in jobs {
        match found.repositories.get(&job.service.repository) {
            Some(Ok(repository)) => located.push((job, repository.clone())),
            Some(Err(refusal)) => done.push(refusal.done(&job)),
            None => done.push(repositories::missing(session, &job)),
        }
    }
    located
}

async fn open(
    push: &Push<'_>,
    session: &Session<'_>,
    host: &str,
    token: AuthorizationToken,
    located: Vec<(Job, TargetRepository)>,
    done: &mut Vec<Done>,
) -> Result<Open, Failure> {
    let login = EngineLogin { host: token.host().to_owned(), password: token.password.clone() };
    let ready = engine::open(push, located, Some(login)).await?;
    done.extend(ready.failed);
    let job = |(job, repository, recipe)| {
        let recipe = registry_recipe(push, recipe);
        RegistryJob { job, repository, recipe }
    };
    let jobs = ready.jobs.into_iter().map(job).collect();
    let http = session.aws.http().clone();
    // Bases in the same registry are opened by the same token.
    let own = Login { host: host.to_owned(), credentials: ("AWS".to_owned(), token.password.clone()) };
    let images = BaseImages::new(push.builder.bases.clone(), http.clone(), Some(own));
    let client = RegistryClient::new(http, host, token.authorization(), token_renewal(session.aws.clone()));
    let (host, bases) = (host.to_owned(), Bases::new(images));
    Ok(Open { registry: OpenRegistry { client, host, bases, _engine: ready.guard }, jobs })
}

fn registry_recipe(push: &Push<'_>, recipe: Recipe) -> RegistryRecipe {
    match (recipe, &push.flags.engine_builder) {
        (Recipe::Engine(engine), Some(builder)) => {
            RegistryRecipe::Remote { engine, builder: builder.clone() }
        }
        (recipe, _) => RegistryRecipe::Here(recipe),
    }
}
