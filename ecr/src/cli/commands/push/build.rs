//! The third stage: builds the image of each service.
//!
//! cargo compiles the services, as many as possible in one invocation, and each image is built as soon as its executables and
//! its base are there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use ecr_oci::bases::PullEvent;
use ecr_oci::image::base::BaseImage;
use ecr_oci::reference::Reference;
use ecr_types::{Digest, Platform, human, lock};
use futures_util::future::FutureExt;
use futures_util::stream::{self, Stream, StreamExt};

use super::compilation::Compilation;
use super::connect::{RegistryJob, RegistryRecipe};
use super::engine::{EngineRecipe, EngineSource, Recipe};
use super::outcome::ServiceResult;
use super::{Job, Push};
use crate::build::bases::Bases;
use crate::build::compile::Binary;
use crate::build::docker::{ContextFolder, EngineBuild, EngineSession, Frontend};
use crate::build::image::{NativeImage, Platforms, base_of};
use crate::cli::shell::{Bar, Shell};
use crate::config::desired::Service;

/// An image on this machine.
pub(super) enum BuiltImage {
    /// Built by the built-in builder.
    Native(Box<NativeImage>),
    /// Built by docker or podman, and stored there.
    Engine(EngineImage),
}

/// An image that is stored in docker or podman.
pub(super) struct EngineImage {
    pub session: Arc<EngineSession>,
    /// The image ID, as the engine prints it.
    pub id: Digest,
}

/// The input of the delivery to a registry.
pub(super) enum Product {
    Image(BuiltImage),
    /// A build on a buildx builder, which builds and pushes in one step.
    Remote {
        session: Arc<EngineSession>,
        builder: String,
        build: Box<EngineBuild>,
    },
}

/// A job with its product, or with the result of a build that failed.
pub(super) type BuiltJob<'a> = (&'a RegistryJob, Result<Product, ServiceResult>);

/// Builds the images that are pushed to a registry. Each comes as soon as it is built, while cargo compiles the others.
pub(super) fn build<'a>(
    push: &'a Push<'_>,
    bases: &'a Bases,
    jobs: &'a [RegistryJob],
    compilation: Option<Compilation>,
) -> impl Stream<Item = BuiltJob<'a>> + 'a {
    let is_native = |it: &&RegistryJob| matches!(it.recipe, RegistryRecipe::Local(Recipe::Native));
    let (native, others): (Vec<_>, Vec<_>) = jobs.iter().partition(is_native);
    let by_index: BTreeMap<usize, &RegistryJob> = native.iter().map(|it| (it.job.index, *it)).collect();
    let native = native_images(push, bases, native.iter().map(|it| &it.job).collect(), compilation);
    let native = native.map(move |(job, image)| {
        let image = image.map(|it| Product::Image(BuiltImage::Native(Box::new(it))));
        built(by_index[&job.index], image)
    });
    // docker and podman use all cores themselves.
    let others =
        stream::iter(others).then(move |it| async move { built(it, product(push, bases, it).await) });
    native.chain(others)
}

fn built(job: &RegistryJob, product: Result<Product>) -> BuiltJob<'_> {
    (job, product.map_err(|error| ServiceResult::failed(&job.job, &error)))
}

/// Builds the images of services with the built-in builder. Each comes as soon as it is built, while cargo compiles the others.
/// `compilation` is one that has begun.
pub(super) fn native_images<'a>(
    push: &'a Push<'_>,
    bases: &'a Bases,
    jobs: Vec<&'a Job>,
    compilation: Option<Compilation>,
) -> impl Stream<Item = (&'a Job, Result<NativeImage>)> + 'a {
    let images = async move {
        tokio::join!(fetch_bases(push, bases, jobs.iter().copied()), push.preparation.clone());
        let image = move |job: &'a Job| async move { (job, native_image(push, bases, job).await) };
        let compilation = Compilation::of(push, &jobs, compilation);
        compilation.ready(push.shell).map(move |n| image(jobs[n])).buffered(push.builder.parallelism())
    };
    images.flatten_stream()
}

async fn product(push: &Push<'_>, bases: &Bases, it: &RegistryJob) -> Result<Product> {
    match &it.recipe {
        RegistryRecipe::Local(recipe) => Ok(Product::Image(image(push, bases, &it.job, recipe).await?)),
        RegistryRecipe::Remote { engine, builder } => {
            let (session, builder) = (engine.session.clone(), builder.clone());
            let build = engine_build(push, &it.job, engine, Frontend::BuildKit).await?;
            Ok(Product::Remote { session, builder, build: Box::new(build) })
        }
    }
}

/// Fetches the base images of all services before anything is compiled. Errors are reported later, by the
/// builds.
pub(super) async fn fetch_bases(push: &Push<'_>, bases: &Bases, jobs: impl Iterator<Item = &Job>) {
    for job in jobs {
        // The build of the service repeats the request and reports the error.
        let _ = with_bases(push, bases, &job.service).await;
    }
}

/// Builds the image of one service.
pub(super) async fn image(push: &Push<'_>, bases: &Bases, job: &Job, recipe: &Recipe) -> Result<BuiltImage> {
    match recipe {
        Recipe::Native => Ok(BuiltImage::Native(Box::new(native_image(push, bases, job).await?))),
        Recipe::Engine(recipe) => {
            let session = &recipe.session;
            let build = engine_build(push, job, recipe, session.frontend()).await?;
            let engine = session.clone();
            let id = tokio::task::spawn_blocking(move || engine.build(&build));
            let id = id.await.context("the build was interrupted")??;
            Ok(BuiltImage::Engine(EngineImage { session: session.clone(), id }))
        }
    }
}

/// Builds the image of one service with the built-in builder.
pub(super) async fn native_image(push: &Push<'_>, bases: &Bases, job: &Job) -> Result<NativeImage> {
    let platforms = with_bases(push, bases, &job.service).await?;
    let (builder, service) = (push.builder.clone(), job.service.clone());
    let built = tokio::task::spawn_blocking(move || builder.build(&service, platforms));
    let image = built.await.context("the build was interrupted")??;
    report(push.shell, &job.service, &image);
    Ok(image)
}

/// The platforms of a service, each with its base image.
async fn with_bases(
    push: &Push<'_>,
    bases: &Bases,
    service: &Service,
) -> Result<Platforms<Option<Arc<BaseImage>>>> {
    let name = base_of(service);
    let reference = match name {
        "scratch" => None,
        name => Some(name.parse::<Reference>().map_err(anyhow::Error::msg)?),
    };
    let base = async |platform: &Platform| match &reference {
        None => anyhow::Ok(None),
        Some(reference) => {
            let report = PullReport { shell: push.shell, base: name, bars: Mutex::default() };
            let on_event = |event: PullEvent<'_>| report.event(event);
            Ok(Some(bases.get(reference, platform, &on_event).await?))
        }
    };
    let Platforms { first: (first, ()), others } = push.builder.platforms(service);
    let mut with_bases = Platforms { first: (first.clone(), base(&first).await?), others: Vec::new() };
    for (platform, ()) in others {
        let found = base(&platform).await?;
        with_bases.others.push((platform, found));
    }
    Ok(with_bases)
}

/// What is shown of the pull of a base.
struct PullReport<'a> {
    shell: &'a Shell,
    base: &'a str,
    /// A bar for each blob. They end with the pull.
    bars: Mutex<Vec<Bar>>,
}

impl PullReport<'_> {
    fn event(&self, event: PullEvent<'_>) {
        let Self { shell, base, bars } = self;
        match event {
            PullEvent::Fetching(blob) => {
                shell.status("Pulling", format!("{} of base {base}", blob.digest.short()));
                lock(bars).push(shell.bar("Pulling", blob.size));
            }
            // All bars are one line.
            PullEvent::Received(bytes) => lock(bars).iter().take(1).for_each(|it| it.advance(bytes)),
            PullEvent::WaitingForHelper => {
                shell.status("Waiting", format!("for the credential helper of the registry of base {base}"));
            }
            PullEvent::Problem(problem) => shell.warn(problem),
        }
    }
}

/// The input of an engine's build. Compiles the service if it has no Dockerfile.
async fn engine_build(
    push: &Push<'_>,
    job: &Job,
    recipe: &EngineRecipe,
    frontend: Frontend,
) -> Result<EngineBuild> {
    push.preparation.clone().await;
    let (builder, methods) = (push.builder.clone(), push.methods.clone());
    let (service, source) = (job.service.clone(), recipe.source.clone());
    let build = tokio::task::spawn_blocking(move || match source {
        EngineSource::Dockerfile(build) => methods.dockerfile_build(&build, frontend),
        EngineSource::Wrapped => {
            let wrapped = builder.wrap(&service)?;
            Ok(methods.wrapped_build(&wrapped.base, wrapped.layers, &wrapped.settings))
        }
    });
    let build = build.await.context("the build was interrupted")??;
    report_engine(push, job, recipe, &build);
    Ok(build)
}

/// Says why docker builds a service, and what this tool leaves out of the build context.
fn report_engine(push: &Push<'_>, job: &Job, recipe: &EngineRecipe, build: &EngineBuild) {
    let (name, engine) = (&job.service.name, recipe.session.name());
    let text = match (&recipe.source, push.flags.builder) {
        (EngineSource::Dockerfile(build), None) => {
            let path = build.dockerfile.strip_prefix(&push.methods.root).unwrap_or(&build.dockerfile);
            format!(
                "{name} with {engine}, because of {} (--builder native builds without it)",
                path.display()
            )
        }
        _ => format!("{name} with {engine}"),
    };
    push.shell.status("Building", text);
    if let Some(context) = build.context() {
        report_left_out(push.shell, name, context);
    }
}

fn report_left_out(shell: &Shell, name: &str, context: &ContextFolder) {
    let left_out = context.left_out();
    if let Some(last) = left_out.last() {
        let names: Vec<_> = left_out.iter().map(|it| format!("`{it}`")).collect();
        let file = context.ignore_file();
        shell.note(format!(
            "the build context of `{name}` is without {} (a line such as `!{last}/NAME` in `{file}` adds a path)",
            names.join(", "),
        ));
    }
}

/// Prints the diagnostics and notes of a build.
fn report(shell: &Shell, service: &Service, image: &NativeImage) {
    image.binaries.iter().for_each(|it| report_binary(shell, service, it));
    let name = &service.name;
    if let Some(base) = &image.converted_base {
        shell.warn(format!(
            "base `{base}` uses Docker media types, which do not support zstd: the image of `{name}` uses \
             OCI media types"
        ));
    }
    shell.verbose("Assembled", format!("{name} {} ({})", image.digest(), human::size(image.size())));
}

fn report_binary(shell: &Shell, service: &Service, binary: &Binary) {
    if !binary.diagnostics.is_empty() {
        shell.program_output(binary.diagnostics.trim_end());
    }
    if let Some(reason) = &binary.why_dynamic {
        let names: Vec<_> = binary.libraries.iter().filter_map(|it| it.path.rsplit('/').next()).collect();
        let found = match names.is_empty() {
            true => "its image uses the libraries of the base image".to_owned(),
            false => format!("its image contains {}", names.join(", ")),
        };
        shell.note(format!("`{}` cannot be linked statically ({reason}); {found}", service.name));
    }
}
