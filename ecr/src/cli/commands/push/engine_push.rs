//! An image that an engine has built -> the registry.

use anyhow::{Context, Result};
use ecr_oci::registry::RegistryErrorKind;
use ecr_types::{Digest, ImageTag};

use super::build::EngineImage;
use super::connect::{OpenRegistry, RegistryJob};
use super::outcome::Done;
use crate::cli::report::{PushEntry, PushOutcome};

/// The push of an image that an engine has.
pub(super) struct EnginePush<'a> {
    pub registry: &'a OpenRegistry,
    pub image: EngineImage,
    pub it: &'a RegistryJob,
    pub tags: &'a [ImageTag],
}

/// How a push ended that did not fail.
enum Pushed {
    Done(PushOutcome),
    Conflict(String),
}

impl EnginePush<'_> {
    /// Compares tags, pushes what is missing, and fills in `entry`.
    pub(super) async fn run(&self, mut entry: PushEntry) -> Done {
        match self.push(&mut entry).await {
            Ok(Pushed::Done(outcome)) => {
                let done = Done::good(&self.it.job, PushEntry { outcome, ..entry });
                Done { exit: self.it.repository.exit(), ..done }
            }
            Ok(Pushed::Conflict(reason)) => Done::conflict(&self.it.job, entry, reason),
            Err(error) => Done::failed_with(&self.it.job, entry, &error),
        }
    }

    async fn push(&self, entry: &mut PushEntry) -> Result<Pushed> {
        let (name, id) = (&self.it.job.service.repository, &self.image.id);
        let mut missing = Vec::new();
        for tag in self.tags {
            match self.registry.client.image(name, tag.as_str()).await {
                // The ID is the digest of the config, or of the manifest where Docker keeps images as containerd does.
                Ok(Some(found)) if found.config.as_ref() == Some(id) || found.digest == *id => {
                    entry.digest = Some(found.digest);
                }
                Ok(Some(found)) if self.it.repository.protects(tag) => {
                    return Ok(Pushed::Conflict(format!(
                        "tag `{tag}` is immutable and holds {}; docker has built another image, {id}",
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
        let repository = &self.it.job.service.repository;
        let name = format!("{}/{repository}:{tag}", self.registry.host);
        let (session, id) = (self.image.session.clone(), self.image.id.clone());
        let pushing = tokio::task::spawn_blocking(move || {
            session.tag(&id, &name)?;
            session.push(&name)
        });
        let told = pushing.await.context("the push was interrupted")??;
        let found = match told {
            Some(digest) => Some(digest),
            None => self.registry.client.digest(repository, tag.as_str()).await?,
        };
        found.context("the registry does not have the tag that was pushed")
    }
}
