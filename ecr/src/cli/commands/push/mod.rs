//! `push`: builds the image of each service and pushes it. Asks first, builds then.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use ecr_oci::registry::RegistryClient;
use ecr_types::{Digest, ImageTag, RepositoryName};
use tokio::task::JoinHandle;

use super::scan;
use super::session::{Connection, Observation, Session};
use crate::aws::{self, AuthorizationToken, Aws, ServiceError};
use crate::build::compile::Toolchain;
use crate::build::docker::{Build, Open};
use crate::build::git::Tree;
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::github;
use crate::cli::report::{PushEntry, PushOutcome, PushReport, ScannedImage};
use crate::cli::shell::Shell;
use crate::config::desired::{Desired, DesiredRepository, Service};
use crate::config::tag_template::{TagTemplate, TagValues};
use crate::config::workspace::Workspace;

mod bases;
mod build;
mod deliver;
mod docker;
mod export;
mod gate;
mod lookups;
mod make;
mod options;
mod outcome;
mod remote;
mod repositories;
mod siblings;
mod token;
mod tree;
mod upload;

use build::{Builder, Built};
use export::Export;
use options::{builder, create_file, services, tags};
use outcome::{Done, entry, failed, summary};
use repositories::Place;
use token::renew;

/// Builds and pushes the selected services. One that fails does not stop the others.
pub async fn run(flags: &flags::Push, shell: &Shell) -> Result<Exit, Failure> {
    let began = Instant::now();
    // Whatever takes a moment goes on beside what need not wait for it.
    let manifest = flags.common.workspace.manifest_path.clone();
    let folder = manifest.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
    tokio::task::spawn_blocking(aws::warm);
    let workspace = tokio::task::spawn_blocking(move || Workspace::load(manifest.as_deref()));
    let tree = tree::Asked::below(&folder);
    let toolchain = tokio::task::spawn_blocking(move || Toolchain::find(&folder));
    let workspace = workspace.await.context("failed to read the workspace")??;
    let services = services(flags, &workspace)?;
    let toolchain = toolchain.await.context("failed to ask rustc")??;
    let builder = Arc::new(builder(flags, shell, &workspace, &services, toolchain)?);
    let warming = warm(&builder, &services);
    let gate = scan::gate(&flags.gate, &workspace)?;
    let export = Export::new(flags, builder.toolchain.platform())?;
    let connection = match flags.dry_run || export.is_some() {
        true => None,
        false => Some(Connection::open(shell, &flags.common, &workspace).await?),
    };
    let tree = tree.answer(&workspace.root).await?;
    tree::guard(flags, shell, tree.as_ref())?;
    let references = flags.image_refs.as_deref().map(create_file).transpose()?;
    let mut push = Push::new(flags, shell, services, tree, builder, export);
    match connection {
        Some(connection) => push.begin(connection, workspace).await?,
        None => push.open_workshop(None).await?,
    }
    push.skip_existing().await?;
    warming.await.context("the work on given binaries was interrupted")?;
    let held = push.make().await;
    let auditable = push.auditable();
    let mut done = push.upload(held).await;
    if let (Some(gate), Some(session)) = (&gate, &push.session) {
        gate::pass(session, gate, &flags.gate, &auditable, &mut done).await;
    }
    push.finish(done, began, references)
}

/// One service on its way.
struct Job {
    service: Service,
    tags: Vec<TagTemplate>,
    stage: Stage,
}

impl Job {
    fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done(_))
    }
}

enum Stage {
    /// Its repository is there.
    Ready(Place),
    /// Its image is built.
    Built(Place, Box<Built>),
    /// docker has built its image, which has this ID.
    Docker(Place, Digest),
    /// A builder of buildx is to build and push it.
    Remote(Place, Box<Build>),
    /// It went no further.
    Done(Box<Done>),
}

struct Push<'a> {
    flags: &'a flags::Push,
    shell: &'a Shell,
    /// `None` where nothing goes to a registry: nobody is asked then.
    session: Option<Session<'a>>,
    /// Where images go instead; `None` in a dry run, too.
    export: Option<Export>,
    registry: Option<Arc<RegistryClient>>,
    host: Option<String>,
    /// The registry's first token, which opens bases that lie in it, too.
    token: Option<AuthorizationToken>,
    builder: Arc<Builder>,
    /// docker or podman, logged in; only where a service needs it.
    workshop: Option<Open>,
    tree: Option<Tree>,
    jobs: Vec<Job>,
}

impl<'a> Push<'a> {
    /// The services, checked as far as nobody has to be asked.
    fn new(
        flags: &'a flags::Push,
        shell: &'a Shell,
        services: Vec<Service>,
        tree: Option<Tree>,
        builder: Arc<Builder>,
        export: Option<Export>,
    ) -> Self {
        let job = |service: Service| Job {
            tags: tags(flags, &service),
            stage: checked(&service, &builder),
            service,
        };
        let jobs = services.into_iter().map(job).collect();
        let (session, registry, host, token, workshop) = (None, None, None, None, None);
        Self { flags, shell, session, export, registry, host, token, builder, workshop, tree, jobs }
    }

    /// Asks who we are, and looks for (or creates) the repositories of the services.
    async fn begin(&mut self, connection: Connection, workspace: Workspace) -> Result<(), Failure> {
        let desired = wanted(&self.jobs, &workspace.desired);
        let project = workspace.desired.project.clone();
        let read = async |aws: &Aws| {
            let token =
                async { if desired.is_empty() { None } else { Some(aws.authorization_token().await) } };
            tokio::join!(repositories::observe(aws, &desired, project.as_deref(), self.flags), token)
        };
        let (session, (observed, first)) =
            Session::identify_and(self.shell, workspace, connection, read).await?;
        self.host = find_repositories(&session, self.flags, &desired, observed?, &mut self.jobs).await?;
        self.session = Some(session);
        match first {
            Some(first) => self.log_in(first).await,
            None => Ok(()),
        }
    }

    /// Takes a token before the build, if there is still anything to push, so that a missing permission is told early. The
    /// client renews it when it runs out.
    async fn log_in(&mut self, first: Result<AuthorizationToken, ServiceError>) -> Result<(), Failure> {
        let (Some(session), Some(host)) = (&self.session, &self.host) else { return Ok(()) };
        if !self.jobs.iter().all(Job::is_done) {
            let first = first.context("failed to get a token")?;
            let http = session.aws.http().clone();
            let registry = RegistryClient::new(http, host, first.authorization(), renew(session.aws.clone()));
            self.registry = Some(Arc::new(registry));
            self.open_workshop(Some(&first)).await?;
            self.token = Some(first);
        }
        Ok(())
    }

    /// With `--skip-existing`, a service whose tags all exist is not built.
    async fn skip_existing(&mut self) -> Result<(), Failure> {
        let Some(registry) = self.registry.clone().filter(|_| self.flags.skip_existing) else {
            return Ok(());
        };
        for n in 0..self.jobs.len() {
            let job = &self.jobs[n];
            if !matches!(job.stage, Stage::Ready(_)) || job.tags.iter().any(TagTemplate::needs_digest) {
                continue;
            }
            let Ok(tags) = self.tags(job, None) else { continue };
            let mut digests = BTreeSet::new();
            for tag in &tags {
                // Where that may not be asked, the service is built, and the push finds out.
                digests
                    .insert(registry.digest(&job.service.repository, tag.as_str()).await.unwrap_or_default());
            }
            // Tags that hold different images are a matter for the push.
            if let (1, Some(Some(digest))) = (digests.len(), digests.pop_first()) {
                let entry = PushEntry {
                    tags,
                    reference: self.reference(&job.service, &digest),
                    digest: Some(digest),
                    ..entry(&job.service, PushOutcome::Unchanged)
                };
                let done = Done { entry, exit: Exit::Done, help: None };
                self.jobs[n].stage = Stage::Done(Box::new(done));
            }
        }
        Ok(())
    }

    /// The packages whose binaries carry the list of their crates.
    fn auditable(&self) -> BTreeSet<String> {
        let is_auditable = |it: &&Job| matches!(&it.stage, Stage::Built(_, built) if built.is_auditable());
        self.jobs.iter().filter(is_auditable).map(|it| it.service.package.name.clone()).collect()
    }

    fn tags(&self, job: &Job, digest: Option<&Digest>) -> Result<Vec<ImageTag>, String> {
        let values = TagValues {
            version: &job.service.package.version,
            git_sha: self.tree.as_ref().and_then(|it| it.commit.as_deref()),
            digest,
        };
        job.tags.iter().map(|it| it.render(&values)).collect()
    }

    fn reference(&self, service: &Service, digest: &Digest) -> Option<String> {
        let reference = format!("{}/{}@{digest}", self.host.as_ref()?, service.repository);
        Some(self.session.as_ref()?.shown(&reference))
    }

    fn finish(&self, done: Vec<Done>, began: Instant, file: Option<File>) -> Result<Exit, Failure> {
        // What the gate did not let through is in the registry, and is not handed on from here.
        let present = |it: &&Done| {
            matches!(it.entry.outcome, PushOutcome::Pushed | PushOutcome::Unchanged)
                && it.entry.scans.iter().flatten().all(ScannedImage::is_through)
        };
        let references: Vec<_> =
            done.iter().filter(present).filter_map(|it| it.entry.reference.clone()).collect();
        references.iter().for_each(|it| self.shell.print(it));
        done.iter().flat_map(|it| it.entry.names.iter().flatten()).for_each(|it| self.shell.print(it));
        self.session.iter().for_each(Session::warn_of_denials);
        let text: String = references.iter().map(|it| format!("{it}\n")).collect();
        let written = file.map_or(Ok(()), |mut it| it.write_all(text.as_bytes()));
        let written =
            written.inspect_err(|it| self.shell.bad_status("Failed", format!("to write references: {it}")));
        summary(self.shell, &done, began);
        if let Some(session) =
            self.session.as_ref().filter(|it| it.ends_with_command() && !references.is_empty())
        {
            let data = session.data_flag();
            self.shell
                .help(format!("the embedded ECR listens there while `cargo xtask ecr serve{data}` runs"));
        }
        let of_file = if written.is_ok() { Exit::Done } else { Exit::Failed };
        let exit = Exit::of_parts(done.iter().map(|it| it.exit).chain([of_file]));
        let registry =
            self.host.as_ref().zip(self.session.as_ref()).map(|(host, session)| session.shown(host));
        let report = PushReport { registry, images: done.into_iter().map(|it| it.entry).collect() };
        let told = github::output("references", text.trim_end())
            .and_then(|()| github::output("images", &serde_json::to_string(&report.images)?))
            .and_then(|()| github::summary(&report.markdown()));
        if let Err(error) = told {
            self.shell.warn(format!("failed to write the outputs of this step of GitHub Actions: {error}"));
        }
        self.shell.json(&report);
        Ok(exit)
    }
}

/// Compresses the binaries that are given while everybody else is asked: nothing has to be compiled for that. The build finds
/// the layers in the cache, and tells what is wrong with a binary.
fn warm(builder: &Arc<Builder>, services: &[Service]) -> JoinHandle<()> {
    let (builder, services) = (builder.clone(), services.to_vec());
    tokio::task::spawn_blocking(move || services.iter().for_each(|it| builder.warm(it)))
}

/// What cannot be built needs no repository, so that is found out first.
fn checked(service: &Service, builder: &Builder) -> Stage {
    match build::check(service, builder) {
        Ok(()) => Stage::Ready(Place::unknown()),
        Err(error) => Stage::Done(Box::new(failed(service, &error))),
    }
}

/// The repositories of the services that can be built.
fn wanted(jobs: &[Job], desired: &Desired) -> Vec<DesiredRepository> {
    let is_wanted = |name: &RepositoryName| {
        jobs.iter().any(|it| matches!(it.stage, Stage::Ready(_)) && it.service.repository == *name)
    };
    desired.repositories.iter().filter(|it| is_wanted(&it.name)).cloned().collect()
}

/// Gives each service its repository (created, if that is wanted), and returns the registry's host.
async fn find_repositories(
    session: &Session<'_>,
    flags: &flags::Push,
    desired: &[DesiredRepository],
    observation: Observation,
    jobs: &mut [Job],
) -> Result<Option<String>, Failure> {
    let (places, host) = repositories::places(session, desired, flags, observation).await?;
    for job in jobs.iter_mut().filter(|it| matches!(it.stage, Stage::Ready(_))) {
        job.stage = match places.get(&job.service.repository) {
            Some(Ok(place)) => Stage::Ready(place.clone()),
            Some(Err(refusal)) => Stage::Done(Box::new(refusal.done(&job.service))),
            None => Stage::Done(Box::new(repositories::missing(session, &job.service))),
        };
    }
    Ok(host)
}
