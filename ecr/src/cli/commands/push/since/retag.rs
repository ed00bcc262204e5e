//! The tags of a service that is not built: they are put on the image that it has, without a byte of it being sent.

use ecr_oci::image::bundle::RawManifest;
use ecr_oci::registry::RegistryErrorKind;
use ecr_types::{ImageTag, media_type};

use super::FoundImage;
use crate::cli::commands::push::Push;
use crate::cli::commands::push::connect::{AuthorizedRegistry, RegistryJob};
use crate::cli::commands::push::deliver::reference;
use crate::cli::commands::push::outcome::{ServiceResult, entry};
use crate::cli::commands::push::owner;
use crate::cli::commands::push::repositories::Refusal;
use crate::cli::commands::session::Session;
use crate::cli::report::{PushEntry, PushOutcome};

/// Puts the tags of a service on an image of its repository.
pub(super) async fn retag(
    push: &Push<'_>,
    session: &Session<'_>,
    registry: &AuthorizedRegistry,
    it: &RegistryJob,
    image: &FoundImage,
) -> ServiceResult {
    let tags = match push.tags(&it.job, Some(&image.digest)) {
        Ok(tags) => tags,
        Err(error) => return ServiceResult::failed(&it.job, &error.into()),
    };
    let entry = PushEntry {
        tags: tags.clone(),
        digest: Some(image.digest.clone()),
        reference: Some(reference(session, registry, &it.job, &image.digest)),
        ..entry(&it.job.service, PushOutcome::Unaffected)
    };
    let retag = Retag { session, registry, it, image };
    match retag.run(&tags).await {
        Err(RetagError::Refused(refusal)) => refusal.result(&it.job),
        Ok(None) => ServiceResult { exit: it.repository.exit(), ..ServiceResult::succeeded(&it.job, entry) },
        Ok(Some(conflict)) => ServiceResult::conflict(&it.job, entry, conflict),
        Err(RetagError::Failed(error)) => ServiceResult::failed_with(&it.job, entry, &error),
    }
}

/// Why tags were not put on an image.
enum RetagError {
    Failed(anyhow::Error),
    /// The repository must not be written to.
    Refused(Refusal),
}

impl<E: Into<anyhow::Error>> From<E> for RetagError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

struct Retag<'a> {
    session: &'a Session<'a>,
    registry: &'a AuthorizedRegistry,
    it: &'a RegistryJob,
    image: &'a FoundImage,
}

impl Retag<'_> {
    /// Returns the conflict, if an immutable tag points to another image. Then no tag was written before it.
    async fn run(&self, tags: &[ImageTag]) -> Result<Option<String>, RetagError> {
        let (client, name) = (&self.registry.client, &self.it.job.service.repository);
        let mut missing = Vec::new();
        for tag in tags {
            match client.digest(name, tag.as_str()).await? {
                Some(found) if found == self.image.digest => {}
                Some(found) if self.it.repository.protects(tag) => {
                    return Ok(Some(self.conflict(tag, found.as_str())));
                }
                _ => missing.push(tag),
            }
        }
        if missing.is_empty() {
            return Ok(None);
        }
        owner::require_own(self.session, self.it).await.map_err(RetagError::Refused)?;
        let text = self.session.aws.manifest(name, &self.image.digest).await?;
        let media_type = self.media_type(&text)?;
        let manifest = RawManifest { media_type, bytes: text.into_bytes() };
        for tag in missing {
            match client.put_manifest(name, tag.as_str(), &manifest).await {
                Ok(()) => {}
                // Another run may have put it there.
                Err(error) if error.kind() == RegistryErrorKind::ImmutableTag => {
                    match client.digest(name, tag.as_str()).await? {
                        Some(found) if found == self.image.digest => {}
                        found => {
                            let found = found.map_or("another image".to_owned(), |it| it.to_string());
                            return Ok(Some(self.conflict(tag, &found)));
                        }
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    fn media_type(&self, text: &str) -> anyhow::Result<&'static str> {
        let manifest: serde_json::Value = serde_json::from_str(text)?;
        let named = manifest["mediaType"].as_str().or(self.image.media_type.as_deref()).unwrap_or_default();
        let known = media_type::MANIFESTS.into_iter().find(|it| *it == named);
        known.ok_or_else(|| {
            anyhow::anyhow!("the image {} has the unknown media type `{named}`", self.image.digest)
        })
    }

    fn conflict(&self, tag: &ImageTag, theirs: &str) -> String {
        let ours = &self.image.digest;
        format!("tag `{tag}` is immutable and points to {theirs}; the image of this service is {ours}")
    }
}
