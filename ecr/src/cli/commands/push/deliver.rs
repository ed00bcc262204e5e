//! The last stage: pushes the images to the registry.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use ecr_oci::reference::Reference;
use ecr_types::{Digest, lock};
use futures_util::future::{FutureExt, LocalBoxFuture, Shared};
use futures_util::stream::{Stream, StreamExt};

use super::build::{BuiltImage, BuiltJob, EngineImage, Product};
use super::connect::{AuthorizedRegistry, RegistryJob};
use super::engine_push::EnginePush;
use super::existing::Existing;
use super::mount::MountSources;
use super::outcome::{ServiceResult, entry};
use super::remote::RemoteBuild;
use super::results::Results;
use super::upload::Upload;
use super::{Job, Push, difference};
use crate::build::image::{NativeImage, base_of};
use crate::cli::commands::session::Session;
use crate::cli::report::{PushEntry, PushOutcome};
use crate::config::tag_template::{Revision, TagValues};

/// The maximum number of images that are pushed concurrently.
const CONCURRENCY: usize = 4;

struct Delivery<'a> {
    push: &'a Push<'a>,
    session: &'a Session<'a>,
    registry: &'a AuthorizedRegistry,
    sources: MountSources,
    existing: Shared<LocalBoxFuture<'a, Arc<Existing>>>,
    results: &'a Results,
    /// The packages whose binaries contain the data of `cargo auditable`.
    auditable: Mutex<BTreeSet<String>>,
}

/// Pushes images as they are built. What their repositories have is looked up meanwhile, by `existing`. Returns the packages
/// whose binaries contain the data of `cargo auditable`.
pub(super) async fn deliver<'a>(
    push: &'a Push<'a>,
    session: &'a Session<'a>,
    registry: &'a AuthorizedRegistry,
    built: impl Stream<Item = BuiltJob<'a>>,
    existing: impl Future<Output = Existing> + 'a,
    results: &'a Results,
) -> BTreeSet<String> {
    let names = session.desired().repositories.iter().map(|it| it.name.clone());
    let sources = MountSources::new(names.collect());
    let existing = existing.map(Arc::new).boxed_local().shared();
    let looking_up = existing.clone();
    let delivery =
        Delivery { push, session, registry, sources, existing, results, auditable: Mutex::default() };
    let delivering = built.for_each_concurrent(CONCURRENCY, |(job, product)| delivery.deliver(job, product));
    // The tags are looked up at once, and not when the first image is there. cargo is started before.
    tokio::join!(delivering, looking_up);
    delivery.auditable.into_inner().unwrap_or_default()
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

    /// The repository of a base image in the same registry has the blobs that are inherited from it.
    fn add_source(&self, job: &Job, image: &NativeImage) {
        let base = base_of(&job.service).parse::<Reference>().ok();
        let base = base.map(|it| self.session.desired().base_mirrors.source(&it));
        let base = base.filter(|it| it.host == self.registry.host);
        if let Some(name) = base.and_then(|it| it.name.parse().ok()) {
            self.sources.add(&image.inherited, &name);
        }
    }

    async fn upload(&self, it: &RegistryJob, image: &NativeImage) -> ServiceResult {
        let job = &it.job;
        self.add_source(job, image);
        if image.is_auditable() {
            lock(&self.auditable).insert(job.service.package.name.clone());
        }
        let tags = match self.push.tags(job, Some(image.digest())) {
            Ok(tags) => tags,
            Err(error) => return ServiceResult::failed(job, &error.into()),
        };
        let entry = PushEntry {
            tags: tags.clone(),
            reference: Some(reference(self.session, self.registry, job, image.digest())),
            ..native_entry(job, image)
        };
        let existing = self.existing.clone().await;
        let upload = Upload {
            client: &self.registry.client,
            session: self.session,
            job: it,
            image,
            tags: &tags,
            sources: &self.sources,
            existing: &existing,
        };
        let done = upload.run(entry).await;
        if done.entry.outcome == PushOutcome::Conflict {
            self.explain(job, image).await;
        }
        done
    }

    /// Says what is known of the difference, if the tag of a commit holds another image of it.
    async fn explain(&self, job: &Job, image: &NativeImage) {
        let tree = self.push.tree.as_ref().filter(|it| it.changes.is_empty());
        let commit = tree.and_then(|it| it.commit.as_deref());
        let revision = Revision::of_commit(commit);
        let values = TagValues { version: &job.service.package.version, revision: &revision, digest: None };
        let of_commit = job.tags.iter().filter(|it| it.needs_git()).find_map(|it| it.render(&values).ok());
        let (Some(_), Some(tag)) = (commit, of_commit) else { return };
        let name = &job.service.repository;
        // What cannot be read cannot be explained, and the conflict is told anyway.
        let Ok(Some(theirs)) = self.registry.client.digest(name, tag.as_str()).await else { return };
        if let (true, Ok(manifest)) =
            (theirs != *image.digest(), self.session.aws.manifest(name, &theirs).await)
        {
            difference::explain(self.push, &job.service, image, &manifest);
        }
    }

    async fn push_from_engine(&self, it: &RegistryJob, image: EngineImage) -> ServiceResult {
        if let Err(refusal) = self.existing.clone().await.require_own(self.session, it).await {
            return refusal.result(&it.job);
        }
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
        if let Err(refusal) = self.existing.clone().await.require_own(self.session, it).await {
            return refusal.result(&it.job);
        }
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
