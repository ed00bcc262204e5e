//! An image that a builder of buildx builds and pushes in one: on another machine, or in Kubernetes.

use std::sync::Arc;

use anyhow::{Context, Result};
use ecr_types::{Digest, ImageTag};

use super::connect::{OpenRegistry, RegistryJob};
use super::outcome::Done;
use crate::build::docker::{EngineBuild, EngineSession};
use crate::cli::report::{PushEntry, PushOutcome};

/// A build on a builder of buildx.
pub(super) struct RemoteBuild<'a> {
    pub registry: &'a OpenRegistry,
    pub session: Arc<EngineSession>,
    pub builder: String,
    pub build: Box<EngineBuild>,
    pub job: &'a RegistryJob,
}

impl RemoteBuild<'_> {
    /// Builds and pushes, unless a tag is taken: what would be built cannot be compared beforehand.
    pub(super) async fn run(self, tags: &[ImageTag], entry: PushEntry) -> Done {
        let (job, exit) = (&self.job.job, self.job.repository.exit());
        match self.taken(tags).await {
            Ok(Some(reason)) => return Done::conflict(job, entry, reason),
            Ok(None) => {}
            Err(error) => return Done::failed_with(job, entry, &error),
        }
        let it = self.job;
        match self.push(tags).await {
            Ok(digest) => {
                let entry = PushEntry { outcome: PushOutcome::Pushed, digest: Some(digest), ..entry };
                Done { exit, ..Done::good(&it.job, entry) }
            }
            Err(error) => Done::failed_with(&it.job, entry, &error),
        }
    }

    /// Why a tag may not be written, if there is one that exists and may not be moved.
    async fn taken(&self, tags: &[ImageTag]) -> Result<Option<String>> {
        let name = &self.job.job.service.repository;
        for tag in tags.iter().filter(|it| self.job.repository.protects(it)) {
            if let Some(digest) = self.registry.client.digest(name, tag.as_str()).await? {
                return Ok(Some(format!(
                    "tag `{tag}` is immutable and holds {digest}; buildx pushes while it builds, so that nothing can \
                     be compared with it (--skip-existing takes it for done)"
                )));
            }
        }
        Ok(None)
    }

    async fn push(self, tags: &[ImageTag]) -> Result<Digest> {
        let name = &self.job.job.service.repository;
        let names: Vec<_> = tags.iter().map(|tag| format!("{}/{name}:{tag}", self.registry.host)).collect();
        let Self { session, builder, build, .. } = self;
        let pushed = tokio::task::spawn_blocking(move || session.build_and_push(&builder, &build, &names));
        pushed.await.context("the build was interrupted")?
    }
}
