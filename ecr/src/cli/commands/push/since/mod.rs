//! `push --since`: which services have changed since a commit. The others are not built, and get their references and tags from
//! the images that they have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use ecr_types::error::one_line;
use futures_util::stream::{self, StreamExt};

use super::connect::{AuthorizedRegistry, RegistryJob};
use super::outcome::{ServiceResult, entry, report};
use super::results::Results;
use super::{Job, Push};
use crate::affected::{Changes, Crate, Inputs, Layout, LockChange, Reason, reasons};
use crate::build::compile;
use crate::build::git::{NoBase, Repository, lexical};
use crate::build::image::ImageBuilder;
use crate::build::inputs::{InputReader, changes};
use crate::build::method::BuildMethods;
use crate::cli::commands::session::Session;
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::report::PushOutcome;
use crate::cli::shell::Shell;
use crate::config::desired::Service;
use crate::config::workspace::Workspace;

mod images;
mod list;
mod retag;

use images::{FoundImage, Verdict, verdicts};
pub(super) use list::list;
use retag::retag;

/// What services are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    /// There is nothing before: the first push of a branch.
    Nothing,
    /// The last common commit of HEAD and what the user has named.
    Commit { name: String, commit: String },
    /// The commit of each service's published image.
    Published,
}

/// The services of a push, and what they are made of.
pub(super) struct Since {
    pub base: Base,
    pub repository: Repository,
    layout: Layout,
    /// By the index of the job. The error says why it is not known what a service is made of.
    inputs: BTreeMap<usize, Result<Inputs, String>>,
    services: BTreeMap<usize, Service>,
    root: PathBuf,
    builder: Arc<ImageBuilder>,
    /// The file of `--image-refs`, from the top of the repository. It is written by pushes.
    output: Option<String>,
}

/// Why each service is affected, by the index of its job. Empty for one that is not.
pub(super) type Affected = BTreeMap<usize, Vec<Reason>>;

impl Since {
    /// Finds the commit that `--since` names, and what the services are made of. `None` without the flag.
    pub(super) async fn open(
        flags: &flags::Push,
        shell: &Shell,
        workspace: &Workspace,
        builders: (&Arc<ImageBuilder>, &Arc<BuildMethods>),
        jobs: &[Job],
    ) -> Result<Option<Arc<Self>>, Failure> {
        let Some(name) = flags.since.clone() else { return Ok(None) };
        let patience = shell.patience(flags.common.registry.network_timeout);
        let (root, jobs) = (workspace.root.clone(), jobs.to_vec());
        let (packages, policies) = (workspace.path_packages.clone(), workspace.policies.clone());
        let (builder, methods) = (builders.0.clone(), builders.1.clone());
        let output = flags.image_refs.as_ref().and_then(|it| std::path::absolute(it).ok());
        let opened = tokio::task::spawn_blocking(move || {
            let repository = Repository::find(&root, &patience)?;
            let base = base(&repository, name)?;
            let reader = InputReader::new(&builder, &methods, &packages, repository.prefix());
            let inputs =
                |it: &Job| reader.inputs(&it.service, &it.method).map_err(|it| one_line(it.as_ref()));
            let inputs: BTreeMap<_, _> = jobs.iter().map(|it| (it.index, inputs(it))).collect();
            let layout = reader.layout(&policies, inputs.values().filter_map(|it| it.as_ref().ok()));
            let services = jobs.into_iter().map(|it| (it.index, it.service)).collect();
            let output = output.and_then(|it| reader.relative(&lexical(&it)));
            anyhow::Ok(Self {
                base,
                repository,
                layout,
                inputs,
                services,
                root,
                builder: builder.clone(),
                output,
            })
        });
        match opened.await.context("git was interrupted")? {
            Ok(opened) => Ok(Some(Arc::new(opened))),
            Err(error) => {
                let help = error.downcast_ref::<NoBase>().map(NoBase::help);
                let failure = Failure::from(error.context("--since: failed to find what has changed"));
                Err(match help {
                    Some(help) => failure.with_help(help),
                    None => failure,
                })
            }
        }
    }

    /// Why each service is affected by what has changed since a commit.
    pub(super) async fn affected(self: &Arc<Self>, commit: String) -> Result<Affected> {
        let own = self.clone();
        let found = tokio::task::spawn_blocking(move || own.compare(&commit));
        found.await.context("git was interrupted")?
    }

    fn compare(&self, commit: &str) -> Result<Affected> {
        let mut changes = changes(&self.repository, commit, &self.root)?;
        changes.files.retain(|it| Some(&it.path) != self.output.as_ref());
        let crates = match &changes.lock {
            Some(LockChange::Known { .. }) => self.crates(),
            _ => BTreeMap::new(),
        };
        let each = self.inputs.iter().map(|(index, inputs)| {
            let crates = crates.get(index).cloned();
            (*index, self.reasons(*index, inputs, crates, &changes))
        });
        Ok(each.collect())
    }

    fn reasons(
        &self,
        index: usize,
        inputs: &Result<Inputs, String>,
        crates: Option<Result<BTreeSet<Crate>, String>>,
        changes: &Changes,
    ) -> Vec<Reason> {
        let mut inputs = match inputs {
            Ok(inputs) => inputs.clone(),
            Err(error) => return vec![Reason::Other(error.clone())],
        };
        let platforms = self.builder.platforms(&self.services[&index]);
        if let Some(given) = platforms.iter().find(|it| self.builder.binaries.contains_key(*it)) {
            let text = format!("--binary: it is not known what the binary for {given} is made of");
            return vec![Reason::Other(text)];
        }
        if let (Some(compiled), Some(crates)) = (&mut inputs.compiled, crates) {
            compiled.crates = crates;
        }
        reasons(&self.layout, &inputs, changes)
    }

    /// The crates of the services that cargo builds.
    fn crates(&self) -> BTreeMap<usize, Result<BTreeSet<Crate>, String>> {
        let is_compiled = |index: &usize| self.inputs[index].as_ref().is_ok_and(|it| it.compiled.is_some());
        let (indexes, services): (Vec<_>, Vec<_>) =
            self.services.iter().filter(|it| is_compiled(it.0)).unzip();
        let targets = |service: &Service| {
            let platforms = self.builder.platforms(service);
            platforms.iter().filter_map(|it| self.builder.toolchain.target(it).ok()).collect()
        };
        let services: Vec<_> = services.into_iter().map(|it| (it, targets(it))).collect();
        let found = compile::crates(&self.builder.options, &services);
        indexes.into_iter().copied().zip(found).collect()
    }
}

/// Gives services that are not affected the tags of this push, and returns the others.
pub(super) async fn split(
    push: &Push<'_>,
    session: &Session<'_>,
    registry: &AuthorizedRegistry,
    jobs: &[RegistryJob],
    results: &Results,
) -> Vec<RegistryJob> {
    let Some(since) = &push.since else { return jobs.to_vec() };
    let all: Vec<_> = jobs.iter().map(|it| &it.job).collect();
    let verdicts = match verdicts(since, &session.aws, &all, session.aws_concurrency()).await {
        Ok(verdicts) => verdicts,
        Err(error) => {
            push.shell.warn(format!("--since: every service is built: {}", one_line(error.as_ref())));
            BTreeMap::new()
        }
    };
    let (mut affected, mut others) = (Vec::new(), Vec::new());
    for it in jobs {
        match verdicts.get(&it.job.index) {
            Some(Verdict::Unaffected(image)) => others.push((it, image)),
            Some(Verdict::Affected(reasons)) => {
                explain(push, &it.job, reasons);
                affected.push(it.clone());
            }
            None => affected.push(it.clone()),
        }
    }
    let retag = async |(it, image): (&RegistryJob, &FoundImage)| {
        results.add(push.shell, retag(push, session, registry, it, image).await);
    };
    stream::iter(others).for_each_concurrent(session.aws_concurrency(), retag).await;
    affected
}

/// The services that a dry run builds. No registry is asked which images the others have.
pub(super) async fn split_dry(
    push: &Push<'_>,
    jobs: Vec<Job>,
    done: &mut Vec<ServiceResult>,
) -> Result<Vec<Job>, Failure> {
    let Some(since) = &push.since else { return Ok(jobs) };
    let affected = match &since.base {
        Base::Nothing => return Ok(jobs),
        Base::Commit { commit, .. } => since.affected(commit.clone()).await?,
        Base::Published => {
            return Err(Failure::new("--since published asks the registry, and --dry-run does not")
                .with_help("pass a commit, or see with --list what would be built"));
        }
    };
    let (jobs, others) = jobs.into_iter().partition::<Vec<_>, _>(|it| {
        let reasons = affected.get(&it.index).map(Vec::as_slice).unwrap_or_default();
        explain(push, it, reasons);
        !reasons.is_empty()
    });
    for job in others {
        let result = ServiceResult::succeeded(&job, entry(&job.service, PushOutcome::Unaffected));
        report(push.shell, &result);
        done.push(result);
    }
    Ok(jobs)
}

/// With `--explain`, says why a service is built.
fn explain(push: &Push<'_>, job: &Job, reasons: &[Reason]) {
    let Some(first) = reasons.first().filter(|_| push.flags.explain) else { return };
    let more = match reasons.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    push.shell.status("Affected", format!("{}: {first}{more}", job.service.name));
}

fn base(repository: &Repository, name: String) -> Result<Base> {
    if name == "published" {
        return Ok(Base::Published);
    }
    // What CI systems give as the commit before the first push of a branch.
    if name.len() >= 7 && name.bytes().all(|it| it == b'0') {
        return Ok(Base::Nothing);
    }
    if name.is_empty() {
        return Err(NoBase::Empty.into());
    }
    let commit = repository.merge_base(&name)?;
    Ok(Base::Commit { name, commit })
}
