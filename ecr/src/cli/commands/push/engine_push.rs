//! Pushes an image that an engine built to the registry.

use anyhow::{Context, Result, bail};
use ecr_oci::registry::{RegistryClient, RegistryErrorKind};
use ecr_types::{Digest, ImageTag, RepositoryName};

use super::build::EngineImage;
use super::connect::{AuthorizedRegistry, RegistryJob};
use super::outcome::ServiceResult;
use crate::cli::report::{PushEntry, PushOutcome};

/// The push of an image that is stored in an engine.
pub(super) struct EnginePush<'a> {
    pub registry: &'a AuthorizedRegistry,
    pub image: EngineImage,
    pub job: &'a RegistryJob,
    pub tags: &'a [ImageTag],
}

/// The result of a push that did not fail.
enum Pushed {
    Done(PushOutcome),
    Conflict(String),
}

impl EnginePush<'_> {
    /// Pushes the tags that do not point to the image yet, and completes `entry`.
    pub(super) async fn run(&self, mut entry: PushEntry) -> ServiceResult {
        match self.push(&mut entry).await {
            Ok(Pushed::Done(outcome)) => {
                let done = ServiceResult::succeeded(&self.job.job, PushEntry { outcome, ..entry });
                ServiceResult { exit: self.job.repository.exit(), ..done }
            }
            Ok(Pushed::Conflict(reason)) => ServiceResult::conflict(&self.job.job, entry, reason),
            Err(error) => ServiceResult::failed_with(&self.job.job, entry, &error),
        }
    }

    async fn push(&self, entry: &mut PushEntry) -> Result<Pushed> {
        let (name, id) = (&self.job.job.service.repository, &self.image.id);
        let mut missing = Vec::new();
        for tag in self.tags {
            match self.registry.client.image(name, tag.as_str()).await {
                // The ID is the digest of the config or, with the containerd image store, of the manifest.
                Ok(Some(found)) if found.config.as_ref() == Some(id) || found.digest == *id => {
                    entry.digest = Some(found.digest);
                }
                Ok(Some(found)) if self.job.repository.protects(tag) => {
                    return Ok(Pushed::Conflict(format!(
                        "tag `{tag}` is immutable and points to {}; docker built another image, {id}",
                        found.digest
                    )));
                }
                Ok(_) => missing.push(tag),
                Err(error) if error.kind() == RegistryErrorKind::Denied => missing.push(tag),
                Err(error) => return Err(error.into()),
            }
        }
        for tag in &missing {
            entry.digest = Some(self.push_tag(tag).await?);
        }
        Ok(Pushed::Done(if missing.is_empty() { PushOutcome::Unchanged } else { PushOutcome::Pushed }))
    }

    async fn push_tag(&self, tag: &ImageTag) -> Result<Digest> {
        let repository = &self.job.job.service.repository;
        let name = format!("{}/{repository}:{tag}", self.registry.connection);
        let (session, id) = (self.image.session.clone(), self.image.id.clone());
        let pushing = tokio::task::spawn_blocking(move || {
            session.tag(&id, &name)?;
            session.push(&name)
        });
        let pushed = pushing.await.context("the push was interrupted")??;
        confirm(&self.registry.client, repository, tag, pushed).await
    }
}

/// Asks the registry for a tag that an engine has pushed, and returns the digest of the image. `reported` is the digest that
/// the engine has printed.
///
/// # Errors
/// The registry has neither the tag nor the digest, or another image under the tag and no image with the digest.
pub(super) async fn confirm(
    registry: &RegistryClient,
    repository: &RepositoryName,
    tag: &ImageTag,
    reported: Option<Digest>,
) -> Result<Digest> {
    let found = match registry.digest(repository, tag.as_str()).await {
        Ok(found) => found.with_context(|| format!("the registry does not have the pushed tag `{tag}`"))?,
        // The engine has read the registry's answer to its own request, which is all that can be known.
        Err(error) if error.kind() == RegistryErrorKind::Denied => {
            return reported.ok_or_else(|| error.into());
        }
        Err(error) => return Err(error.into()),
    };
    match reported {
        None => Ok(found),
        Some(reported) if reported == found => Ok(found),
        // A mutable tag, which another push has moved in the meantime.
        Some(reported) if registry.digest(repository, reported.as_str()).await?.is_some() => Ok(reported),
        Some(reported) => {
            bail!("the registry does not have the pushed image {reported}: the tag `{tag}` points to {found}")
        }
    }
}
