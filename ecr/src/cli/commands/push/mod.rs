//! `push`: builds the image of each service and pushes it, in stages.
//!
//! [`prepare`] loads the workspace and makes all checks that need no server. [`connect`] finds the account, the repositories and
//! the engine, while cargo compiles the services in a [`compilation`]. [`build`] builds the images, and [`deliver`] pushes them.
//! [`local`] replaces the last three stages if the images are not pushed to a registry. A service that fails skips the other
//! stages with its [`ServiceResult`]; the other services continue.

use std::sync::Arc;

use ecr_types::{Digest, ImageTag};
use futures_util::future::{BoxFuture, Shared};

use super::session::Session;
use crate::build::git::WorkingTree;
use crate::build::image::ImageBuilder;
use crate::build::method::{BuildMethod, BuildMethods};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::shell::Shell;
use crate::config::desired::{BaseMirrors, Service};
use crate::config::tag_template::{InvalidTag, Revision, TagTemplate, TagValues};
use crate::scan::Gate;
use crate::signing::RequiredProfile;

mod build;
mod compilation;
mod connect;
mod deliver;
mod difference;
mod engine;
mod engine_push;
mod existing;
mod finish;
mod gate;
mod local;
mod mount;
mod outcome;
mod owner;
mod prepare;
mod references;
mod remote;
mod repositories;
mod results;
mod signing;
mod since;
mod tree;
mod upload;

use compilation::Compilation;
use connect::{Connected, RegistryPush, connect};
use finish::{FinishedPush, finish};
use outcome::{ServiceResult, report};
use prepare::{Destination, Prepared, prepare};
use results::Results;
use since::Since;

/// Builds and pushes the selected services. A service that fails does not stop the others.
pub async fn run(flags: &flags::Push, shell: &Shell) -> Result<Exit, Failure> {
    if !flags.merge_refs.is_empty() {
        return references::merge(flags, shell);
    }
    shell.has_no_effect_yet("no image was pushed");
    let Prepared { push, jobs, mut done, destination, gate, references, compilation } =
        prepare(flags, shell).await?;
    if flags.list {
        return since::list(shell, &jobs, push.since, destination).await;
    }
    let connected = match destination {
        Destination::Registry(connection, workspace) => {
            let connected = connect(&push, *connection, *workspace, jobs, &mut done).await?;
            done.iter().for_each(|it| report(shell, it));
            Some(connected)
        }
        other => {
            done.iter().for_each(|it| report(shell, it));
            let jobs = since::split_dry(&push, jobs, &mut done).await?;
            done.extend(locally(&push, jobs, other).await?);
            None
        }
    };
    if let Some(Connected { session, registry_push: Some(registry_push), .. }) = &connected {
        done.extend(to_registry(&push, session, registry_push, compilation, gate.as_ref()).await);
    }
    finish(FinishedPush { shell, connected: connected.as_ref(), done }, references)
}

/// Builds the images of services without a registry.
async fn locally(
    push: &Push<'_>,
    jobs: Vec<Job>,
    destination: Destination,
) -> Result<Vec<ServiceResult>, Failure> {
    let results = Results::new("interrupted: it may be incomplete");
    let step = async {
        match destination {
            Destination::Layout { folder, engine } => {
                local::write_layout(push, &jobs, folder, engine, &results).await;
                Ok(())
            }
            Destination::Engine(engine) => local::load(push, &jobs, engine, &results).await,
            Destination::DryRun | Destination::Registry(..) => local::dry_run(push, &jobs, &results).await,
        }
    };
    push.shell.until_interrupted(step).await.transpose()?;
    Ok(results.of_all(push.shell, &jobs))
}

/// Builds and pushes the images of services whose repositories exist.
async fn to_registry(
    push: &Push<'_>,
    session: &Session<'_>,
    RegistryPush { registry, jobs }: &RegistryPush,
    compilation: Option<Compilation>,
    gate: Option<&Gate>,
) -> Vec<ServiceResult> {
    let results = Results::new("interrupted: whether its tags were pushed is unknown");
    let step = async {
        let jobs = since::split(push, session, registry, jobs, &results).await;
        let (jobs, skipped) = existing::skip_existing(push, session, registry, &jobs).await;
        skipped.into_iter().for_each(|it| results.add(push.shell, it));
        let built = build::build(push, &registry.bases, &jobs, compilation);
        let existing = existing::look_up(push, session, registry, &jobs);
        let auditable = deliver::deliver(push, session, registry, built, existing, &results).await;
        push.builder.tend_caches();
        auditable
    };
    let auditable = push.shell.until_interrupted(step).await.unwrap_or_default();
    let mut done = results.of_all(push.shell, jobs.iter().map(|it| &it.job));
    if let Some(gate) = gate {
        let step = gate::apply(session, gate, &push.flags.gate, &auditable, &mut done);
        if push.shell.until_interrupted(step).await.is_none() {
            done.iter_mut().for_each(ServiceResult::interrupt_gate);
        }
    }
    if let Some(profile) = &push.flags.require_signed {
        let (required, timeout) = (RequiredProfile::new(profile), push.flags.gate.timeout);
        let step = signing::apply(session, &required, timeout, &mut done);
        if push.shell.until_interrupted(step).await.is_none() {
            done.iter_mut().for_each(ServiceResult::interrupt_signing_gate);
        }
    }
    done
}

/// The state that all stages share.
struct Push<'a> {
    flags: &'a flags::Push,
    shell: &'a Shell,
    builder: Arc<ImageBuilder>,
    methods: Arc<BuildMethods>,
    /// Where base images are pulled from.
    mirrors: BaseMirrors,
    /// What services are compared with; `None` without `--since`.
    since: Option<Arc<Since>>,
    /// The git working tree of the workspace; `None` if it is not in one.
    tree: Option<WorkingTree>,
    /// The commit, branch and pull request in tags.
    revision: Revision,
    preparation: Preparation,
}

/// What the builds need and no server is asked for. It begins before a server is asked, and each build waits for its end.
type Preparation = Shared<BoxFuture<'static, ()>>;

/// A service to push.
#[derive(Debug, Clone)]
struct Job {
    /// The position of the service in the output.
    index: usize,
    service: Service,
    tags: Vec<TagTemplate>,
    method: BuildMethod,
}

impl Push<'_> {
    /// The tags of a job. `digest` is the digest of its image; `None` before the image is built.
    fn tags(&self, job: &Job, digest: Option<&Digest>) -> Result<Vec<ImageTag>, InvalidTag> {
        let values = TagValues { version: &job.service.package.version, revision: &self.revision, digest };
        job.tags.iter().map(|it| it.render(&values)).collect()
    }
}
