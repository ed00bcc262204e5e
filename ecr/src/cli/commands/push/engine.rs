//! Starts a session of docker or podman for the services that need it.

use std::sync::Arc;

use anyhow::Context;

use super::outcome::ServiceResult;
use super::{Job, Push};
use crate::build::docker::{Engine, EngineGuard, EngineLogin, EngineSession, LinePrinter};
use crate::build::method::{BuildMethod, DockerfileBuild};
use crate::cli::commands::login;
use crate::cli::error::Failure;
use crate::cli::flags;

/// How an image is built, with the engine's session if needed.
#[derive(Clone)]
pub(super) enum Recipe {
    /// With the built-in builder.
    Native,
    /// With docker or podman.
    Engine(EngineRecipe),
}

/// A build with an engine.
#[derive(Clone)]
pub(super) struct EngineRecipe {
    pub session: Arc<EngineSession>,
    pub source: EngineSource,
}

/// The Dockerfile of an engine's build.
#[derive(Debug, Clone)]
pub(super) enum EngineSource {
    /// A Dockerfile of the workspace.
    Dockerfile(DockerfileBuild),
    /// A generated Dockerfile that adds the service's binary.
    Wrapped,
}

/// Jobs with their recipes and the data of the caller.
pub(super) struct ReadyJobs<T> {
    pub jobs: Vec<(Job, T, Recipe)>,
    /// The results of services that need the engine, if its session could not be started.
    pub failed: Vec<ServiceResult>,
    /// Ends the engine's session and stops its processes when dropped.
    pub guard: Option<EngineGuard>,
}

/// The engine that the flags select, or the first that is installed.
pub(super) fn find(flags: &flags::Push) -> Result<Engine, Failure> {
    Engine::find(flags.engine.as_deref()).ok_or_else(login::no_engine)
}

/// Starts the engine's session if a job needs it. If that fails, those jobs fail.
pub(super) async fn open<T>(
    push: &Push<'_>,
    jobs: Vec<(Job, T)>,
    login: Option<EngineLogin>,
) -> Result<ReadyJobs<T>, Failure> {
    let (native, others): (Vec<_>, Vec<_>) =
        jobs.into_iter().partition(|(job, _)| job.method == BuildMethod::Native);
    let native = native.into_iter().map(|(job, more)| (job, more, Recipe::Native));
    if others.is_empty() {
        if !push.flags.engine_args.is_empty() {
            let failure = Failure::new(
                "the arguments after `--` are for `docker build`, but no service is built with docker",
            );
            return Err(failure.with_help(
                "remove the arguments, or pass --builder docker to build services without a Dockerfile",
            ));
        }
        return Ok(ReadyJobs { jobs: native.collect(), failed: Vec::new(), guard: None });
    }
    match session(push, login).await {
        Ok(guard) => {
            let session = guard.session();
            let others = others.into_iter().map(|(job, more)| {
                let recipe = recipe(&job, session.clone());
                (job, more, recipe)
            });
            Ok(ReadyJobs { jobs: native.chain(others).collect(), failed: Vec::new(), guard: Some(guard) })
        }
        Err(error) => {
            let failed = others.iter().map(|(job, _)| ServiceResult::failed(job, &error)).collect();
            Ok(ReadyJobs { jobs: native.collect(), failed, guard: None })
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
    let engine = find(push.flags)?;
    let on_output = push.shell.shows_lines().then(|| Box::new(push.shell.line_printer()) as LinePrinter);
    let failed = format!("failed to prepare {}", engine.name());
    let opening = tokio::task::spawn_blocking(move || EngineSession::new(engine, login, on_output));
    let opened = opening.await.context("the preparation was interrupted")?.context(failed)?;
    opened.config_problems().iter().for_each(|it| push.shell.warn(it));
    Ok(EngineGuard::new(opened))
}
