//! The first stage: finds the services, their builder and the destination of the images from the flags and
//! the workspace.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use ecr_oci::bases::BaseCache;
use ecr_oci::cache::{LayerCache, OnRead};
use ecr_oci::image::compression::Compression;
use ecr_oci::trees::TreeCache;
use ecr_types::{Digest, Platform, human};
use futures_util::future::FutureExt;

use super::compilation::Compilation;
use super::outcome::ServiceResult;
use super::since::Since;
use super::{Job, Preparation, Push, engine, references, tree};
use crate::aws;
use crate::build::compile::prebuilt::{self, PrebuiltError};
use crate::build::compile::{self, ExecutableCache, Toolchain};
use crate::build::docker::Engine;
use crate::build::git::{self, GitQuery};
use crate::build::image::ImageBuilder;
use crate::build::inputs::outside_folders;
use crate::build::method::{BuildMethod, BuildMethods, ChosenBuilder};
use crate::cli::commands::scan;
use crate::cli::commands::session::{Connection, load_workspace};
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::shell::{OutputFile, Shell};
use crate::config::desired::Service;
use crate::config::workspace::{LoadError, Workspace};
use crate::process::Patience;
use crate::scan::Gate;

/// A push before any request to a server.
pub(super) struct Prepared<'a> {
    pub push: Push<'a>,
    pub jobs: Vec<Job>,
    /// The results of services that cannot be built.
    pub done: Vec<ServiceResult>,
    pub destination: Destination,
    pub gate: Option<Gate>,
    /// The file of `--image-refs`.
    pub references: Option<OutputFile>,
    /// Compiles the services while the next stage waits for servers.
    pub compilation: Option<Compilation>,
}

/// The destination of the images.
pub(super) enum Destination {
    Registry(Box<Connection>, Box<Workspace>),
    /// An OCI layout and, with `--load`, an engine.
    Layout {
        folder: PathBuf,
        engine: Option<Engine>,
    },
    Engine(Engine),
    DryRun,
}

/// Loads the workspace and makes all checks that need no server. Slow steps run concurrently.
pub(super) async fn prepare<'a>(flags: &'a flags::Push, shell: &'a Shell) -> Result<Prepared<'a>, Failure> {
    let manifest = flags.common.workspace.manifest_path.as_deref();
    // The parent of `Cargo.toml` has no name, and no program runs in a folder without one.
    let folder = manifest.and_then(Path::parent).filter(|it| !it.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).to_owned();
    tokio::task::spawn_blocking(aws::preload);
    let patience = shell.patience(flags.common.registry.network_timeout);
    let tree = GitQuery::start(&folder, flags.image_refs.as_deref(), patience.clone());
    let toolchain = tokio::task::spawn_blocking(move || Toolchain::find(&folder, &patience));
    let workspace = load_workspace(shell, &flags.common).await?;
    let services = services(flags, shell, &workspace)?;
    let toolchain = toolchain.await.context("failed to query rustc")??;
    let commit_time =
        commit_time(shell.patience(flags.common.registry.network_timeout), &services, &workspace);
    let builder = Arc::new(builder(flags, shell, &workspace, (toolchain, commit_time.await?))?);
    let methods = Arc::new(methods(flags, &workspace)?);
    check_binaries(shell, &services, &builder, &methods)?;
    let gate = scan::gate(&flags.gate, &workspace)?;
    let (root, mirrors) = (workspace.root.clone(), workspace.desired.base_mirrors.clone());
    let (jobs, done) = jobs(flags, services, &builder, &methods);
    check_files(&builder, &jobs)?;
    let since = Since::open(flags, shell, &workspace, (&builder, &methods), &jobs).await?;
    let preparation = prepare_builds(flags, &builder, &jobs);
    let outside = outside_folders(&workspace.path_packages);
    let destination = destination(flags, shell, workspace).await?;
    let mut tree = tree.result(&root).await?;
    if !flags.list {
        let limit = flags.common.registry.network_timeout;
        tree::add_outside(tree.as_mut(), outside, shell.patience(limit)).await?;
        tree::require_clean(flags, shell, tree.as_ref())?;
    }
    let references = flags.image_refs.as_deref().map(references::open).transpose()?;
    let revision = git::revision(tree.as_ref());
    let push = Push { flags, shell, builder, methods, mirrors, since, tree, revision, preparation };
    let (jobs, untagged) = with_tags(&push, jobs);
    let done = done.into_iter().chain(untagged).collect();
    let compilation = begin_compilation(&push, &jobs, &destination);
    Ok(Prepared { push, jobs, done, destination, gate, references, compilation })
}

/// The selected services. A part may be empty.
fn services(flags: &flags::Push, shell: &Shell, workspace: &Workspace) -> Result<Vec<Service>, Failure> {
    let services = flags.common.selection.services(&workspace.desired)?;
    if services.is_empty() {
        return Err(Failure::new("there is no service to push").with_help(
            "to make a package a service, add an empty table [package.metadata.ecr] to its Cargo.toml",
        ));
    }
    let is_wanted = |it: &&Service| flags.partition.is_none_or(|part| part.contains(&it.name));
    let count = services.len();
    let services: Vec<_> = services.into_iter().filter(is_wanted).cloned().collect();
    if let Some(part) = flags.partition {
        shell.note(format!(
            "part {part} has {} of {}",
            services.len(),
            human::count(count as u64, "service")
        ));
    }
    Ok(services)
}

/// The time of the commit, if a service wants it.
async fn commit_time(
    patience: Patience,
    services: &[Service],
    workspace: &Workspace,
) -> Result<Option<u64>, Failure> {
    if services.iter().all(|it| it.image.source_date_epoch.is_none()) {
        return Ok(None);
    }
    let root = workspace.root.clone();
    let asked = tokio::task::spawn_blocking(move || git::commit_time(&root, &patience));
    Ok(asked.await.context("failed to run git")??)
}

/// The builder of all images.
fn builder(
    flags: &flags::Push,
    shell: &Shell,
    workspace: &Workspace,
    (toolchain, commit_time): (Toolchain, Option<u64>),
) -> Result<ImageBuilder, Failure> {
    let given = flags.binary.iter().map(|it| (it.platform.clone(), it.path.clone()));
    let binaries = prebuilt::by_platform(given).map_err(|it| wrong_binaries(&[it]))?;
    let options = compile::Options {
        root: workspace.root.clone(),
        target: workspace.target.clone(),
        build: workspace.build.clone(),
        profile: flags.cargo.profile.clone(),
        flags: cargo_flags(flags, shell),
        toolchain: toolchain.sysroot().to_owned(),
        commit_time,
        scripts: Arc::default(),
        executables: ExecutableCache::new(&workspace.target),
        agreements: Arc::default(),
        linkages: Arc::default(),
        manifests: workspace.manifests.clone(),
        outside: workspace.outside.clone(),
    };
    let layers = LayerCache::new(&workspace.target).with_observer(on_read(shell, "Compressing"));
    let bases = BaseCache::new(workspace.target.join("xtask-ecr/bases"));
    Ok(ImageBuilder {
        options,
        toolchain,
        layers: match flags.cargo.jobs.and_then(|it| NonZero::new(usize::try_from(it).ok()?)) {
            Some(jobs) => layers.with_threads(jobs),
            None => layers,
        },
        on_read: on_read(shell, "Hashing"),
        trees: TreeCache::new(bases.clone(), workspace.target.join("xtask-ecr/trees")),
        bases,
        platforms: flags.platform.clone(),
        binaries,
        // An engine unpacks layers and does not keep their bytes, so it gets the compression that every
        // version supports.
        compression: (flags.load && flags.oci_layout.is_none()).then_some(Compression::Gzip.into()),
        prebuilt: Mutex::default(),
        compiled: Mutex::default(),
        cargo: Mutex::default(),
    })
}

/// Shows what is read and takes a while, with a verb such as `Compressing`.
fn on_read(shell: &Shell, verb: &'static str) -> OnRead {
    let bars = shell.bars();
    Arc::new(move |size| match size >= LARGE {
        true => {
            let bar = bars(verb, size);
            Box::new(move |bytes| bar.advance(bytes))
        }
        false => Box::new(|_| ()),
    })
}

/// The size of what is shown, in bytes: a tenth of a second of work.
const LARGE: u64 = 16_000_000;

/// Refuses prebuilt binaries of which one would go into the images of several services. Warns of those that no service
/// uses.
fn check_binaries(
    shell: &Shell,
    services: &[Service],
    builder: &ImageBuilder,
    methods: &BuildMethods,
) -> Result<(), Failure> {
    let mut errors = Vec::new();
    for (platform, path) in &builder.binaries {
        let users = services.iter().filter(|it| compiles_for(it, platform, builder, methods));
        let users: Vec<_> = users.filter_map(|it| compile::prebuilt_user(it).ok()).collect();
        if users.is_empty() {
            let path = path.display();
            shell.warn(format!(
                "--binary {platform}={path} is not used: no service is compiled for {platform}"
            ));
        }
        errors.extend(prebuilt::collisions(platform, path, &users));
    }
    if errors.is_empty() { Ok(()) } else { Err(wrong_binaries(&errors)) }
}

/// Whether the image of a service has a binary for `platform` that this tool puts there.
fn compiles_for(
    service: &Service,
    platform: &Platform,
    builder: &ImageBuilder,
    methods: &BuildMethods,
) -> bool {
    let platforms = builder.platforms(service);
    match methods.method_for(service) {
        Ok(BuildMethod::Native) => platforms.iter().any(|it| it == platform),
        Ok(BuildMethod::Wrapped) => platforms.first.0 == *platform,
        Ok(BuildMethod::Dockerfile(_)) | Err(_) => false,
    }
}

fn wrong_binaries(errors: &[PrebuiltError]) -> Failure {
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let failure = Failure::new(texts.join("; "));
    match errors.iter().find_map(PrebuiltError::help) {
        Some(help) => failure.with_help(help),
        None => failure,
    }
}

fn cargo_flags(flags: &flags::Push, shell: &Shell) -> Vec<String> {
    let cargo = &flags.cargo;
    let switches = [(cargo.locked, "--locked"), (cargo.offline, "--offline"), (cargo.frozen, "--frozen")];
    let switches = switches.into_iter().filter(|(is_on, _)| *is_on).map(|(_, flag)| flag.to_owned());
    let jobs = cargo.jobs.map(|it| format!("--jobs={it}"));
    switches.chain(jobs).chain(shell.cargo_flags()).collect()
}

fn methods(flags: &flags::Push, workspace: &Workspace) -> Result<BuildMethods, Failure> {
    let is_docker = flags.builder == Some(flags::BuilderKind::Docker);
    if is_docker && flags.platform.len() > 1 && flags.engine_builder.is_none() {
        let failure = Failure::new("docker builds for only one platform at a time");
        return Err(failure.with_help(
            "pass --builder native, one --platform, or a buildx builder with --engine-builder NAME",
        ));
    }
    let state = flags.common.registry.data.clone();
    let excluded = [workspace.target.clone(), workspace.root.join("target"), workspace.root.join(".git")];
    let platforms: Vec<_> = flags.platform.iter().map(ToString::to_string).collect();
    Ok(BuildMethods {
        root: workspace.root.clone(),
        builder: flags.builder.map(|it| match it {
            flags::BuilderKind::Native => ChosenBuilder::Native,
            flags::BuilderKind::Docker => ChosenBuilder::Docker,
        }),
        excluded: excluded.into_iter().chain(state).collect(),
        args: flags.engine_args.clone(),
        platform: (!platforms.is_empty()).then(|| platforms.join(",")),
    })
}

/// The jobs of services that can be built, and the results of those that cannot.
fn jobs(
    flags: &flags::Push,
    services: Vec<Service>,
    builder: &ImageBuilder,
    methods: &BuildMethods,
) -> (Vec<Job>, Vec<ServiceResult>) {
    let (mut jobs, mut done) = (Vec::new(), Vec::new());
    for (index, service) in services.into_iter().enumerate() {
        let tags = if flags.tag.is_empty() { service.tag_templates() } else { flags.tag.clone() };
        let method = methods.method_for(&service).and_then(|method| {
            if !matches!(method, BuildMethod::Dockerfile(_)) {
                builder.check(&service)?;
            }
            Ok(method)
        });
        match method {
            Ok(method) => jobs.push(Job { index, service, tags, method }),
            Err(error) => {
                let job = Job { index, service, tags, method: BuildMethod::Native };
                done.push(ServiceResult::failed(&job, &error));
            }
        }
    }
    (jobs, done)
}

/// The jobs whose tags have values for their placeholders. What is missing for the others is told before they are compiled.
fn with_tags(push: &Push<'_>, jobs: Vec<Job>) -> (Vec<Job>, Vec<ServiceResult>) {
    let (mut good, mut failed) = (Vec::new(), Vec::new());
    for job in jobs {
        // Any digest will do.
        match push.tags(&job, Some(&Digest::of(b""))) {
            Ok(_) => good.push(job),
            Err(error) => failed.push(ServiceResult::failed(&job, &error.into())),
        }
    }
    (good, failed)
}

/// Reports all files of all services that cannot be copied, as other problems of the configuration.
fn check_files(builder: &ImageBuilder, jobs: &[Job]) -> Result<(), Failure> {
    let jobs = jobs.iter().filter(|it| !matches!(it.method, BuildMethod::Dockerfile(_)));
    let problems: Vec<_> = jobs.flat_map(|it| builder.file_problems(&it.service)).collect();
    if problems.is_empty() { Ok(()) } else { Err(LoadError::Problems(problems).into()) }
}

/// Does in the background what the builds need and no server is asked for: compresses prebuilt binaries, and finds out what
/// cargo may compile together, if all services are compiled. The builds find the results in the caches.
fn prepare_builds(flags: &flags::Push, builder: &Arc<ImageBuilder>, jobs: &[Job]) -> Preparation {
    let native = jobs.iter().filter(|it| it.method == BuildMethod::Native);
    let services: Vec<_> = native.map(|it| it.service.clone()).collect();
    let builder = builder.clone();
    let compiles_all = compiles_all(flags);
    let preparation = tokio::task::spawn_blocking(move || {
        if compiles_all {
            builder.prepare_compilation(&services);
        }
        services.iter().for_each(|it| builder.prepare_layers(it));
    });
    // The builds do again what was not done, and report the error.
    preparation.map(|_| ()).boxed().shared()
}

/// Compiles the services while the registry answers, if they were compiled before. A question about repositories is not asked
/// beside cargo's lines.
fn begin_compilation(push: &Push<'_>, jobs: &[Job], destination: &Destination) -> Option<Compilation> {
    let is_for_registry = matches!(destination, Destination::Registry(..));
    let begins = is_for_registry && compiles_all(push.flags) && !push.flags.create;
    let native: Vec<_> = jobs.iter().filter(|it| it.method == BuildMethod::Native).collect();
    begins.then(|| Compilation::start(push, &native))
}

/// Whether it is known before the registry is asked that all services are compiled.
fn compiles_all(flags: &flags::Push) -> bool {
    !flags.list && flags.since.is_none() && !flags.skip_existing
}

/// Whether the services are only listed, and no registry is asked about them.
fn is_offline_list(flags: &flags::Push) -> bool {
    flags.list && flags.since.as_deref() != Some("published")
}

async fn destination(
    flags: &flags::Push,
    shell: &Shell,
    workspace: Workspace,
) -> Result<Destination, Failure> {
    let engine = if flags.load { Some(engine::find(flags)?) } else { None };
    Ok(match (flags.oci_layout.clone(), engine) {
        _ if flags.dry_run || is_offline_list(flags) => Destination::DryRun,
        (Some(folder), engine) => Destination::Layout { folder, engine },
        (None, Some(engine)) => Destination::Engine(engine),
        (None, None) => {
            let connection = Connection::open(shell, &flags.common, &workspace).await?;
            Destination::Registry(Box::new(connection), Box::new(workspace))
        }
    })
}
