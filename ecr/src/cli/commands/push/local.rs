//! Images that are not pushed to a registry: `--oci-layout`, `--load` and `--dry-run`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use ecr_oci::bases::BaseImages;
use ecr_oci::layout;
use ecr_types::{ImageTag, Platform};
use futures_util::stream::{self, StreamExt};

use super::build::{BuiltImage, image, native_images};
use super::deliver::native_entry;
use super::engine::{self, ReadyJobs, Recipe};
use super::outcome::{ServiceResult, entry};
use super::results::Results;
use super::{Job, Push};
use crate::build::bases::Bases;
use crate::build::docker::Engine;
use crate::build::image::NativeImage;
use crate::build::method::BuildMethod;
use crate::cli::commands::session::http_client;
use crate::cli::error::Failure;
use crate::cli::report::{PushEntry, PushOutcome};

/// Builds images and writes them to an OCI layout. Also loads them into `engine`, if given.
pub(super) async fn write_layout(
    push: &Push<'_>,
    jobs: &[Job],
    folder: PathBuf,
    engine: Option<Engine>,
    results: &Results,
) {
    let (native, others): (Vec<_>, Vec<_>) = jobs.iter().partition(|it| it.method == BuildMethod::Native);
    for job in others {
        let error = anyhow::anyhow!("images that docker builds cannot be written to an OCI layout");
        let help = "load the image with --load, or exclude the service with --exclude".to_owned();
        results.add(push.shell, ServiceResult { help: Some(help), ..ServiceResult::failed(job, &error) });
    }
    let bases = bases(push);
    let mut built = std::pin::pin!(native_images(push, &bases, native, None));
    while let Some((job, image)) = built.next().await {
        results.begin(job);
        let targets = ExportTargets { layout: Some(folder.clone()), engine: engine.clone() };
        let result = match image {
            Ok(image) => export(push, job, &image, targets).await,
            Err(error) => ServiceResult::failed(job, &error),
        };
        results.add(push.shell, result);
    }
    push.builder.tend_caches();
}

/// Builds images and loads them into an engine. Images that the engine built are only tagged.
pub(super) async fn load(
    push: &Push<'_>,
    jobs: &[Job],
    engine: Engine,
    results: &Results,
) -> Result<(), Failure> {
    build_each(push, jobs, results, async |job, image| match image {
        BuiltImage::Native(image) => {
            export(push, job, &image, ExportTargets { layout: None, engine: Some(engine.clone()) }).await
        }
        BuiltImage::Engine(image) => {
            let tags = match push.tags(job, Some(&image.id)) {
                Ok(tags) => tags,
                Err(error) => return ServiceResult::failed(job, &error.into()),
            };
            let names = names(job, &tags);
            let (session, wanted) = (image.session, names.clone());
            let named = tokio::task::spawn_blocking(move || {
                wanted.iter().try_for_each(|name| session.tag(&image.id, name))
            });
            match named.await.context("tagging the image was interrupted").and_then(|it| it) {
                Ok(()) => ServiceResult::succeeded(job, exported(engine_entry(push, job, tags), names)),
                Err(error) => ServiceResult::failed(job, &error),
            }
        }
    })
    .await
}

/// Builds images without writing them anywhere.
pub(super) async fn dry_run(push: &Push<'_>, jobs: &[Job], results: &Results) -> Result<(), Failure> {
    build_each(push, jobs, results, async |job, image| {
        let (tags, entry) = match &image {
            BuiltImage::Native(image) => (push.tags(job, Some(image.digest())), native_entry(job, image)),
            BuiltImage::Engine(image) => {
                (push.tags(job, Some(&image.id)), engine_entry(push, job, Vec::new()))
            }
        };
        match tags {
            Ok(tags) => ServiceResult::succeeded(job, PushEntry { tags, ..entry }),
            Err(error) => ServiceResult::failed(job, &error.into()),
        }
    })
    .await
}

/// Builds the image of each job and passes it to `end`, which returns the result of the job.
async fn build_each(
    push: &Push<'_>,
    jobs: &[Job],
    results: &Results,
    end: impl AsyncFn(&Job, BuiltImage) -> ServiceResult,
) -> Result<(), Failure> {
    let jobs = jobs.iter().map(|it| (it.clone(), ())).collect();
    let ReadyJobs { jobs, failed, guard: _guard } = engine::open(push, jobs, None).await?;
    failed.into_iter().for_each(|it| results.add(push.shell, it));
    let bases = bases(push);
    let (native, others): (Vec<_>, Vec<_>) =
        jobs.iter().partition(|(_, (), recipe)| matches!(recipe, Recipe::Native));
    let native = native_images(push, &bases, native.into_iter().map(|(job, ..)| job).collect(), None);
    let native = native.map(|(job, image)| (job, image.map(|it| BuiltImage::Native(Box::new(it)))));
    let engine = async |(job, (), recipe): &(Job, (), Recipe)| image(push, &bases, job, recipe).await;
    let others = stream::iter(others).then(async |it| (&it.0, engine(it).await));
    let mut built = std::pin::pin!(native.chain(others));
    while let Some((job, image)) = built.next().await {
        let result = match image {
            Ok(image) => end(job, image).await,
            Err(error) => ServiceResult::failed(job, &error),
        };
        results.add(push.shell, result);
    }
    push.builder.tend_caches();
    Ok(())
}

fn bases(push: &Push<'_>) -> Bases {
    let http = http_client(push.shell, push.flags.common.registry.limits());
    let images = BaseImages::new(push.builder.bases.clone(), http, None);
    let mirrors = push.mirrors.clone();
    Bases::new(images.with_source(Box::new(move |it| mirrors.source(it))))
}

struct ExportTargets {
    layout: Option<PathBuf>,
    engine: Option<Engine>,
}

async fn export(push: &Push<'_>, job: &Job, image: &NativeImage, targets: ExportTargets) -> ServiceResult {
    let tags = match push.tags(job, Some(image.digest())) {
        Ok(tags) => tags,
        Err(error) => return ServiceResult::failed(job, &error.into()),
    };
    let bundle = image.bundle(names(job, &tags));
    // The platform that the engine runs.
    let host = push.builder.toolchain.platform().clone();
    let written = tokio::task::spawn_blocking(move || targets.write(&bundle, &host));
    match written.await.context("the export was interrupted").and_then(|it| it) {
        Ok(names) => {
            let entry = PushEntry { tags, ..native_entry(job, image) };
            ServiceResult::succeeded(job, exported(entry, names))
        }
        Err(error) => ServiceResult::failed(job, &error),
    }
}

impl ExportTargets {
    /// Writes an image and returns its names: `oci:DIR:NAME` in a layout, as skopeo accepts it, and `NAME` in
    /// an engine.
    fn write(&self, bundle: &ecr_oci::image::bundle::Bundle, host: &Platform) -> Result<Vec<String>> {
        let mut names = Vec::new();
        if let Some(folder) = &self.layout {
            layout::write(folder, bundle)?;
            names.extend(bundle.names.iter().map(|it| format!("oci:{}:{it}", folder.display())));
        }
        if let Some(engine) = &self.engine {
            let load = engine.load(|output| layout::archive(output, bundle, host));
            load.with_context(|| format!("failed to load the image into {}", engine.name()))?;
            names.extend(bundle.names.iter().cloned());
        }
        Ok(names)
    }
}

/// The names of an image on this machine, such as `my-app:1.0.0`.
fn names(job: &Job, tags: &[ImageTag]) -> Vec<String> {
    tags.iter().map(|tag| format!("{}:{tag}", job.service.repository)).collect()
}

fn exported(entry: PushEntry, names: Vec<String>) -> PushEntry {
    PushEntry { outcome: PushOutcome::Exported, names: Some(names), ..entry }
}

/// The report entry of an image that is stored in an engine.
fn engine_entry(push: &Push<'_>, job: &Job, tags: Vec<ImageTag>) -> PushEntry {
    let platforms = vec![push.builder.platforms(&job.service).first.0.to_string()];
    PushEntry { tags, platforms, ..entry(&job.service, PushOutcome::DryRun) }
}
