//! `push`: builds the image of each service and pushes it, in stages.
//!
//! [`prepare`] loads the workspace and makes all checks that need no server. [`connect`] finds the account,
//! the repositories and the engine. [`build`] builds the images, and [`deliver`] pushes them. [`local`]
//! replaces the last three stages if the images are not pushed to a registry. A service that fails skips the
//! other stages with its [`ServiceResult`]; the other services continue.

use std::sync::Arc;

use anyhow::Context;
use ecr_types::{Digest, ImageTag};

use super::session::Session;
use crate::build::git::WorkingTree;
use crate::build::image::ImageBuilder;
use crate::build::method::{BuildMethod, BuildMethods};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::shell::Shell;
use crate::config::desired::Service;
use crate::config::tag_template::{InvalidTag, TagTemplate, TagValues};
use crate::scan::Gate;

mod build;
mod connect;
mod deliver;
mod engine;
mod engine_push;
mod existing_tags;
mod finish;
mod gate;
mod local;
mod mount;
mod outcome;
mod prepare;
mod remote;
mod repositories;
mod tree;
mod upload;

use connect::{Connected, RegistryPush, connect};
use finish::{FinishedPush, finish};
use outcome::{ServiceResult, report};
use prepare::{Destination, Prepared, prepare};

/// Builds and pushes the selected services. A service that fails does not stop the others.
pub async fn run(flags: &flags::Push, shell: &Shell) -> Result<Exit, Failure> {
    let Prepared { push, jobs, mut done, destination, gate, references, layer_preparation } =
        prepare(flags, shell).await?;
    let connected = match destination {
        Destination::Registry(connection, workspace) => {
            Some(connect(&push, *connection, *workspace, jobs, &mut done).await?)
        }
        Destination::Layout { folder, engine } => {
            done.extend(local::write_layout(&push, jobs, folder, engine).await);
            None
        }
        Destination::Engine(engine) => {
            done.extend(local::load(&push, jobs, engine).await?);
            None
        }
        Destination::DryRun => {
            done.extend(local::dry_run(&push, jobs).await?);
            None
        }
    };
    done.iter().for_each(|it| report(shell, it));
    layer_preparation.await.context("the compression of the binaries was interrupted")?;
    if let Some(Connected { session, registry_push: Some(registry_push), .. }) = &connected {
        done.extend(to_registry(&push, session, registry_push, gate.as_ref()).await);
    }
    finish(FinishedPush { shell, connected: connected.as_ref(), done }, references)
}

/// Builds and pushes the images of services whose repositories exist.
async fn to_registry(
    push: &Push<'_>,
    session: &Session<'_>,
    RegistryPush { registry, jobs }: &RegistryPush,
    gate: Option<&Gate>,
) -> Vec<ServiceResult> {
    let (jobs, mut done) = existing_tags::skip_existing(push, session, registry, jobs).await;
    done.iter().for_each(|it| report(push.shell, it));
    let (built, existing) =
        tokio::join!(build::build(push, registry, &jobs), existing_tags::look_up(push, registry, &jobs));
    let auditable = build::auditable_packages(&built);
    done.extend(deliver::deliver(push, session, registry, built, existing).await);
    if let Some(gate) = gate {
        gate::apply(session, gate, &push.flags.gate, &auditable, &mut done).await;
    }
    done
}

/// The state that all stages share.
struct Push<'a> {
    flags: &'a flags::Push,
    shell: &'a Shell,
    builder: Arc<ImageBuilder>,
    methods: Arc<BuildMethods>,
    /// The git working tree of the workspace; `None` if it is not in one.
    tree: Option<WorkingTree>,
}

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
        let values = TagValues {
            version: &job.service.package.version,
            git_sha: self.tree.as_ref().and_then(|it| it.commit.as_deref()),
            digest,
        };
        job.tags.iter().map(|it| it.render(&values)).collect()
    }
}
