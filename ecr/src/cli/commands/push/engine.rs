//! Docker or podman, made ready for the services that need it.

use std::sync::Arc;

use anyhow::Context;

use super::outcome::Done;
use super::{Job, Push};
use crate::build::docker::{Engine, EngineGuard, EngineSession};
use crate::build::method::{BuildMethod, DockerfileBuild};
use crate::cli::commands::login;
use crate::cli::error::Failure;
use crate::cli::flags;

/// How an image is made, now that the engine is ready.
#[derive(Clone)]
pub(super) enum Recipe {
    /// By this program.
    Native,
    /// By an engine.
    Engine(EngineRecipe),
}

/// An image that an engine makes.
#[derive(Clone)]
pub(super) struct EngineRecipe {
    pub session: Arc<EngineSession>,
    pub source: EngineSource,
}

/// What an engine is given.
#[derive(Debug, Clone)]
pub(super) enum EngineSource {
    /// A Dockerfile of the workspace.
    Dockerfile(DockerfileBuild),
    /// A Dockerfile around the service's binary.
    Wrapped,
}

/// Jobs with their recipes, and with what the caller gave along.
pub(super) struct Ready<T> {
    pub jobs: Vec<(Job, T, Recipe)>,
    /// Services that need the engine, where it cannot be made ready.
    pub failed: Vec<Done>,
    /// Ends the engine's session, and with it whatever still runs there.
    pub guard: Option<EngineGuard>,
}

/// The password for a registry. It goes to the engine by standard input.
pub(super) struct EngineLogin {
    pub host: String,
    pub password: String,
}

/// The engine that the flags name, else the first that is installed.
pub(super) fn find(flags: &flags::Push) -> Result<Engine, Failure> {
    Engine::find(flags.engine.as_deref()).ok_or_else(login::no_engine)
}

/// Makes the engine ready, if a job needs it. Where that fails, those jobs have failed.
pub(super) async fn open<T>(
    push: &Push<'_>,
    jobs: Vec<(Job, T)>,
    login: Option<EngineLogin>,
) -> Result<Ready<T>, Failure> {
    let (native, others): (Vec<_>, Vec<_>) =
        jobs.into_iter().partition(|(job, _)| job.method == BuildMethod::Native);
    let native = native.into_iter().map(|(job, more)| (job, more, Recipe::Native));
    if others.is_empty() {
        if !push.flags.engine_args.is_empty() {
            let failure =
                Failure::new("there is no `docker build` that the arguments after `--` could go to");
            return Err(failure.with_help("no service has a Dockerfile; --builder docker builds without one"));
        }
        return Ok(Ready { jobs: native.collect(), failed: Vec::new(), guard: None });
    }
    match session(push, login).await {
        Ok(guard) => {
            let session = guard.session();
            let others = others.into_iter().map(|(job, more)| {
                let recipe = recipe(&job, session.clone());
                (job, more, recipe)
            });
            Ok(Ready { jobs: native.chain(others).collect(), failed: Vec::new(), guard: Some(guard) })
        }
        Err(error) => {
            let failed = others.iter().map(|(job, _)| Done::failed(job, &error)).collect();
            Ok(Ready { jobs: native.collect(), failed, guard: None })
        }
    }
}

fn recipe(job: &Job, session: Arc<EngineSession>) -> Recipe {
    let source = match &job.method {
        BuildMethod::Native => return Recipe::Native,
        BuildMethod::Dockerfile(build) => EngineSource::Dockerfile(build.clone()),
        BuildMethod::Wrapped => EngineSource::Wrapped,
    };
    Recipe::Engine(EngineRecipe { session, source })
}

async fn session(push: &Push<'_>, login: Option<EngineLogin>) -> anyhow::Result<EngineGuard> {
    let (engine, talk) = (find(push.flags)?, push.shell.talker());
    let name = engine.name().to_owned();
    let opening = tokio::task::spawn_blocking(move || {
        let host = login.as_ref().map(|it| it.host.as_str()).unwrap_or_default();
        let session = EngineSession::new(engine, host, talk)?;
        if let Some(EngineLogin { host, password }) = &login {
            session.log_in(host, "AWS", password)?;
        }
        anyhow::Ok(EngineGuard::new(session))
    });
    let opened = opening.await.context("the login was interrupted")?;
    opened.with_context(|| format!("failed to make {name} ready"))
}
