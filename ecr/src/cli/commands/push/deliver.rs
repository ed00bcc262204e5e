//! The last stage: pushes the images to the registry.

use ecr_oci::reference::Reference;
use ecr_types::Digest;
use futures_util::stream::{self, StreamExt};

use super::build::{BuiltImage, BuiltJob, EngineImage, Product};
use super::connect::{AuthorizedRegistry, RegistryJob};
use super::engine_push::EnginePush;
use super::existing_tags::ExistingTags;
use super::mount::{MountSources, uploads_first};
use super::outcome::{ServiceResult, entry};
use super::remote::RemoteBuild;
use super::results::Results;
use super::upload::Upload;
use super::{Job, Push};
use crate::build::image::{NativeImage, base_of};
use crate::cli::commands::session::Session;
use crate::cli::report::{PushEntry, PushOutcome};

/// The maximum number of images that are pushed concurrently.
const CONCURRENCY: usize = 4;

struct Delivery<'a> {
    push: &'a Push<'a>,
    session: &'a Session<'a>,
    registry: &'a AuthorizedRegistry,
    sources: MountSources,
    existing: ExistingTags,
    results: &'a Results,
}

/// Pushes the images concurrently. Images with blobs that others share are pushed first.
pub(super) async fn deliver(
    push: &Push<'_>,
    session: &Session<'_>,
    registry: &AuthorizedRegistry,
    built: Vec<BuiltJob<'_>>,
    existing: ExistingTags,
    results: &Results,
) {
    let sources = sources(session, registry, &built);
    let delivery = &Delivery { push, session, registry, sources, existing, results };
    let first = uploads_first(&built);
    let (first, then): (Vec<_>, Vec<_>) = built.into_iter().enumerate().partition(|(n, _)| first.contains(n));
    let deliver = |(_, (job, product))| delivery.deliver(job, product);
    for jobs in [first, then] {
        stream::iter(jobs.into_iter().map(deliver)).buffer_unordered(CONCURRENCY).collect::<()>().await;
    }
}

/// The digest reference of an image, as printed.
pub(super) fn reference(
    session: &Session<'_>,
    registry: &AuthorizedRegistry,
    job: &Job,
    digest: &Digest,
) -> String {
    session.display_reference(&format!("{}/{}@{digest}", registry.host, job.service.repository))
}

/// The repositories from which blobs may be mounted. Repositories of base images in the same registry have
/// the inherited blobs.
fn sources(session: &Session<'_>, registry: &AuthorizedRegistry, built: &[BuiltJob<'_>]) -> MountSources {
    let names = session.desired().repositories.iter().map(|it| it.name.clone());
    let sources = MountSources::new(names.collect());
    for (it, product) in built {
        let Ok(Product::Image(BuiltImage::Native(image))) = product else { continue };
        let base = base_of(&it.job.service).parse::<Reference>().ok();
        let base = base.map(|it| session.desired().base_mirrors.source(&it));
        let base = base.filter(|it| it.host == registry.host);
        if let Some(name) = base.and_then(|it| it.name.parse().ok()) {
            sources.add(&image.inherited, &name);
        }
    }
    sources
}

impl Delivery<'_> {
    async fn deliver(&self, job: &RegistryJob, product: Result<Product, ServiceResult>) {
        self.results.begin(&job.job);
        let done = match product {
            Err(done) => done,
            Ok(Product::Image(BuiltImage::Native(image))) => self.upload(job, &image).await,
            Ok(Product::Image(BuiltImage::Engine(image))) => self.push_from_engine(job, image).await,
            Ok(Product::Remote { session, builder, build }) => {
                let remote = RemoteBuild { registry: self.registry, session, builder, build, job };
                self.build_remotely(job, remote).await
            }
        };
        self.results.add(self.push.shell, done);
    }

    async fn upload(&self, it: &RegistryJob, image: &NativeImage) -> ServiceResult {
        let job = &it.job;
        let tags = match self.push.tags(job, Some(image.digest())) {
            Ok(tags) => tags,
            Err(error) => return ServiceResult::failed(job, &error.into()),
        };
        let entry = PushEntry {
            tags: tags.clone(),
            reference: Some(reference(self.session, self.registry, job, image.digest())),
            ..native_entry(job, image)
        };
        let upload = Upload {
            client: &self.registry.client,
            shell: self.push.shell,
            denials: self.session.aws.denials(),
            job,
            repository: &it.repository,
            image,
            tags: &tags,
            sources: &self.sources,
            existing: &self.existing,
        };
        upload.run(entry).await
    }

    async fn push_from_engine(&self, it: &RegistryJob, image: EngineImage) -> ServiceResult {
        let tags = match self.push.tags(&it.job, Some(&image.id)) {
            Ok(tags) => tags,
            Err(error) => return ServiceResult::failed(&it.job, &error.into()),
        };
        let platform = self.push.builder.platforms(&it.job.service).first.0.to_string();
        let entry = PushEntry {
            tags: tags.clone(),
            platforms: vec![platform],
            ..entry(&it.job.service, PushOutcome::Failed)
        };
        let push = EnginePush { registry: self.registry, image, job: it, tags: &tags };
        self.with_reference(&it.job, push.run(entry).await)
    }

    async fn build_remotely(&self, it: &RegistryJob, remote: RemoteBuild<'_>) -> ServiceResult {
        let tags = match self.push.tags(&it.job, None) {
            Ok(tags) => tags,
            Err(error) => return ServiceResult::failed(&it.job, &error.into()),
        };
        let platforms = self.push.builder.platforms(&it.job.service);
        let entry = PushEntry {
            tags: tags.clone(),
            platforms: platforms.iter().map(ToString::to_string).collect(),
            ..entry(&it.job.service, PushOutcome::Failed)
        };
        self.with_reference(&it.job, remote.run(&tags, entry).await)
    }

    fn with_reference(&self, job: &Job, mut done: ServiceResult) -> ServiceResult {
        let digest = done.entry.digest.as_ref();
        done.entry.reference = digest.map(|it| reference(self.session, self.registry, job, it));
        done
    }
}

/// The report entry of an image before it is delivered.
pub(super) fn native_entry(job: &Job, image: &NativeImage) -> PushEntry {
    PushEntry {
        digest: Some(image.digest().clone()),
        platforms: image.images().map(|(platform, _)| platform.to_string()).collect(),
        compressed_bytes: image.size(),
        ..entry(&job.service, PushOutcome::DryRun)
    }
}
