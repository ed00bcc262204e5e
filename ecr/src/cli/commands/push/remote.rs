//! Services that a builder of buildx builds and pushes, in one: on another machine, or in Kubernetes.

use std::sync::Arc;

use anyhow::{Context, Result};
use ecr_oci::registry::RegistryClient;
use ecr_types::{Digest, ImageTag};

use super::outcome::{Done, entry, failed};
use super::repositories::Place;
use super::{Job, Push, upload};
use crate::build::advice::advice;
use crate::build::docker::{Build, Workshop};
use crate::cli::error::Exit;
use crate::cli::report::{PushEntry, PushOutcome};

impl Push<'_> {
    /// Has a builder of buildx build and push.
    pub(super) async fn push_remote(&self, job: &Job, place: &Place, build: &Build) -> Done {
        let tags = match self.tags(job, None) {
            Ok(tags) => tags,
            Err(reason) => return failed(&job.service, &anyhow::anyhow!(reason)),
        };
        let (Some(workshop), Some(registry), Some(host), Some(builder)) =
            (self.workshop.as_ref(), &self.registry, &self.host, &self.flags.engine_builder)
        else {
            return failed(&job.service, &anyhow::anyhow!("docker is not ready"));
        };
        let platforms = self.builder.platforms(&job.service).iter().map(ToString::to_string).collect();
        let entry = PushEntry { tags: tags.clone(), platforms, ..entry(&job.service, PushOutcome::Failed) };
        let (workshop, build) = (workshop.share(), build.clone());
        let remote = RemoteBuild { registry, workshop, host, job, place, builder, build, tags: &tags };
        let mut done = remote.run(entry, upload::advice_about(job)).await;
        done.entry.reference = done.entry.digest.as_ref().and_then(|it| self.reference(&job.service, it));
        done
    }
}

/// An image that a builder of buildx builds and pushes, in one.
struct RemoteBuild<'a> {
    registry: &'a RegistryClient,
    workshop: Arc<Workshop>,
    host: &'a str,
    job: &'a Job,
    place: &'a Place,
    builder: &'a str,
    build: Build,
    tags: &'a [ImageTag],
}

impl RemoteBuild<'_> {
    /// Builds and pushes, unless a tag is taken: what would be built cannot be compared beforehand.
    async fn run(self, mut entry: PushEntry, on_conflict: String) -> Done {
        let (outcome, exit, error, help) = match self.push().await {
            Ok(Ok(digest)) => {
                entry.digest = Some(digest);
                (PushOutcome::Pushed, self.place.exit(), None, None)
            }
            Ok(Err(reason)) => (PushOutcome::Conflict, Exit::Conflict, Some(reason), Some(on_conflict)),
            Err(error) => {
                let text = format!("{error:#}");
                let help = advice(&text).map(str::to_owned);
                (PushOutcome::Failed, Exit::Failed, Some(text), help)
            }
        };
        Done { entry: PushEntry { outcome, error, ..entry }, exit, help }
    }

    async fn push(&self) -> Result<std::result::Result<Digest, String>> {
        let name = &self.job.service.repository;
        for tag in self.tags.iter().filter(|it| self.place.protects(it.as_str())) {
            if let Some(digest) = self.registry.digest(name, tag.as_str()).await? {
                return Ok(Err(format!(
                    "tag `{tag}` is immutable and holds {digest}; buildx pushes while it builds, so that nothing can \
                     be compared with it (--skip-existing takes it for done)"
                )));
            }
        }
        let names: Vec<_> = self.tags.iter().map(|tag| format!("{}/{name}:{tag}", self.host)).collect();
        let (workshop, builder, build) = (self.workshop.clone(), self.builder.to_owned(), self.build.clone());
        let built = tokio::task::spawn_blocking(move || workshop.build_and_push(&builder, &build, &names));
        built.await.context("the build was interrupted")?.map(Ok)
    }
}
