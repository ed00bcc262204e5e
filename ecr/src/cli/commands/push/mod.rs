//! `push`: builds the image of each service and pushes it, in stages.
//!
//! [`prepare`] reads the workspace and checks what can be known without asking a server. [`connect`] finds the account, the
//! repositories and the engine. [`build`] makes images, and [`deliver`] pushes them. [`local`] takes the place of the last
//! three where images do not go to a registry. A service that fails leaves the stages with its [`Done`]; the others go on.

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

use connect::{Connected, Open, connect};
use finish::{Finish, finish};
use outcome::{Done, report};
use prepare::{Destination, Prepared, prepare};

/// Builds and pushes the selected services. One that fails does not stop the others.
pub async fn run(flags: &flags::Push, shell: &Shell) -> Result<Exit, Failure> {
    let Prepared { push, jobs, mut done, destination, gate, references, warming } =
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
        Destination::Nowhere => {
            done.extend(local::dry_run(&push, jobs).await?);
            None
        }
    };
    done.iter().for_each(|it| report(shell, it));
    warming.await.context("the work on given binaries was interrupted")?;
    if let Some(Connected { session, open: Some(open), .. }) = &connected {
        done.extend(to_registry(&push, session, open, gate.as_ref()).await);
    }
    finish(Finish { shell, connected: connected.as_ref(), done }, references)
}

/// Builds and pushes the images of services whose repositories are there.
async fn to_registry(
    push: &Push<'_>,
    session: &Session<'_>,
    Open { registry, jobs }: &Open,
    gate: Option<&Gate>,
) -> Vec<Done> {
    let (jobs, mut done) = existing_tags::skip_existing(push, session, registry, jobs).await;
    done.iter().for_each(|it| report(push.shell, it));
    let (built, existing) =
        tokio::join!(build::build(push, registry, &jobs), existing_tags::look_up(push, registry, &jobs));
    let auditable = build::auditable(&built);
    done.extend(deliver::deliver(push, session, registry, built, existing).await);
    if let Some(gate) = gate {
        gate::pass(session, gate, &push.flags.gate, &auditable, &mut done).await;
    }
    done
}

/// What every stage needs of a push.
struct Push<'a> {
    flags: &'a flags::Push,
    shell: &'a Shell,
    builder: Arc<ImageBuilder>,
    methods: Arc<BuildMethods>,
    /// What git says of the workspace; `None` outside of git.
    tree: Option<WorkingTree>,
}

/// A service that is to be pushed.
#[derive(Debug, Clone)]
struct Job {
    /// Where the service is in the order of the output.
    index: usize,
    service: Service,
    tags: Vec<TagTemplate>,
    method: BuildMethod,
}

impl Push<'_> {
    /// The tags of a job. `digest` is that of its image, once it is built.
    fn tags(&self, job: &Job, digest: Option<&Digest>) -> Result<Vec<ImageTag>, InvalidTag> {
        let values = TagValues {
            version: &job.service.package.version,
            git_sha: self.tree.as_ref().and_then(|it| it.commit.as_deref()),
            digest,
        };
        job.tags.iter().map(|it| it.render(&values)).collect()
    }
}
