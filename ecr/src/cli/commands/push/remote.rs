//! An image that a buildx builder builds and pushes in one step, for example on another machine or in
//! Kubernetes.

use std::sync::Arc;

use anyhow::{Context, Result};
use ecr_types::{Digest, ImageTag};

use super::connect::{AuthorizedRegistry, RegistryJob};
use super::engine_push::confirm;
use super::outcome::ServiceResult;
use crate::build::docker::{EngineBuild, EngineSession};
use crate::cli::report::{PushEntry, PushOutcome};

/// A build on a buildx builder.
pub(super) struct RemoteBuild<'a> {
    pub registry: &'a AuthorizedRegistry,
    pub session: Arc<EngineSession>,
    pub builder: String,
    pub build: Box<EngineBuild>,
    pub job: &'a RegistryJob,
}

impl RemoteBuild<'_> {
    /// Builds and pushes. An immutable tag that exists is a conflict: the digest of the image is not known
    /// before it is pushed.
    pub(super) async fn run(self, tags: &[ImageTag], entry: PushEntry) -> ServiceResult {
        let (job, exit) = (&self.job.job, self.job.repository.exit());
        match self.conflict(tags).await {
            Ok(Some(reason)) => return ServiceResult::conflict(job, entry, reason),
            Ok(None) => {}
            Err(error) => return ServiceResult::failed_with(job, entry, &error),
        }
        match self.push(tags).await {
            Ok(digest) => {
                let entry = PushEntry { outcome: PushOutcome::Pushed, digest: Some(digest), ..entry };
                ServiceResult { exit, ..ServiceResult::succeeded(job, entry) }
            }
            Err(error) => ServiceResult::failed_with(job, entry, &error),
        }
    }

    /// The reason if an immutable tag exists.
    async fn conflict(&self, tags: &[ImageTag]) -> Result<Option<String>> {
        let name = &self.job.job.service.repository;
        for tag in tags.iter().filter(|it| self.job.repository.protects(it)) {
            if let Some(digest) = self.registry.client.digest(name, tag.as_str()).await? {
                return Ok(Some(format!(
                    "tag `{tag}` is immutable and points to {digest}; buildx pushes while it builds, so the \
                     images cannot be compared before the push (--skip-existing skips the service)"
                )));
            }
        }
        Ok(None)
    }

    async fn push(self, tags: &[ImageTag]) -> Result<Digest> {
        let name = &self.job.job.service.repository;
        let names: Vec<_> =
            tags.iter().map(|tag| format!("{}/{name}:{tag}", self.registry.connection)).collect();
        let Self { session, builder, build, registry, .. } = self;
        let pushed = tokio::task::spawn_blocking(move || session.build_and_push(&builder, &build, &names));
        let reported = pushed.await.context("the build was interrupted")??;
        for tag in tags {
            confirm(&registry.client, name, tag, Some(reported.clone())).await?;
        }
        Ok(reported)
    }
}
