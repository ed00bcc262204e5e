//! What the repositories have before the push: the images that tags point to and, where one is to be written, the project that the
//! repository belongs to. It is looked up during the build, so that the push need not wait for the responses, nor for a connection.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ecr_oci::registry::RegistryClient;
use ecr_types::{Digest, ImageTag, RepositoryName};
use futures_util::stream::{self, StreamExt};

use super::Push;
use super::connect::{AuthorizedRegistry, RegistryJob};
use super::deliver::reference;
use super::outcome::{ServiceResult, entry};
use super::owner;
use super::repositories::Refusal;
use crate::cli::commands::session::Session;
use crate::cli::report::{PushEntry, PushOutcome};
use crate::config::tag_template::TagTemplate;

/// What was found. What is missing is looked up by the push, such as a tag whose lookup failed.
#[derive(Debug, Default)]
pub(super) struct Existing {
    tags: BTreeMap<(RepositoryName, ImageTag), FoundTag>,
    /// Whether the repository may be written to.
    owners: BTreeMap<RepositoryName, Result<(), Refusal>>,
}

impl Existing {
    /// What a tag of a repository points to.
    pub(super) fn tag(&self, name: &RepositoryName, tag: &ImageTag) -> Option<&FoundTag> {
        self.tags.get(&(name.clone(), tag.clone()))
    }

    /// Refuses the repository of another project.
    pub(super) async fn require_own(&self, session: &Session<'_>, it: &RegistryJob) -> Result<(), Refusal> {
        match self.owners.get(&it.job.service.repository) {
            Some(known) => known.clone(),
            None => owner::require_own(session, it).await,
        }
    }
}

/// What a tag pointed to when it was looked up.
#[derive(Debug, Clone)]
pub(super) struct FoundTag {
    /// `None` if the tag did not exist.
    pub digest: Option<Digest>,
    at: Instant,
}

impl FoundTag {
    /// Whether it may be another image by now, if the tag can be moved.
    pub(super) fn is_old(&self) -> bool {
        self.at.elapsed() > Duration::from_secs(1)
    }
}

/// Looks up the tags that do not depend on the digest of the image, and the owners of the repositories in which one is missing.
pub(super) async fn look_up(
    push: &Push<'_>,
    session: &Session<'_>,
    registry: &AuthorizedRegistry,
    jobs: &[RegistryJob],
) -> Existing {
    let answers = jobs.iter().map(|it| of_service(push, session, registry, it));
    let mut answers = stream::iter(answers).buffer_unordered(session.aws_concurrency());
    let mut existing = Existing::default();
    while let Some(found) = answers.next().await {
        existing.tags.extend(found.tags);
        existing.owners.extend(found.owners);
    }
    existing
}

async fn of_service(
    push: &Push<'_>,
    session: &Session<'_>,
    registry: &AuthorizedRegistry,
    it: &RegistryJob,
) -> Existing {
    let name = &it.job.service.repository;
    let mut existing = Existing::default();
    for tag in known_tags(push, it).unwrap_or_default() {
        if let Ok(digest) = registry.client.digest(name, tag.as_str()).await {
            existing.tags.insert((name.clone(), tag), FoundTag { digest, at: Instant::now() });
        }
    }
    if existing.tags.values().any(|it| it.digest.is_none()) {
        existing.owners.insert(name.clone(), owner::require_own(session, it).await);
    }
    existing
}

/// The tags of a service; `None` if they are not known before its image is built.
fn known_tags(push: &Push<'_>, it: &RegistryJob) -> Option<Vec<ImageTag>> {
    let needs_digest = it.job.tags.iter().any(TagTemplate::needs_digest);
    if needs_digest { None } else { push.tags(&it.job, None).ok() }
}

/// With `--skip-existing`, services whose tags all exist are not built. Returns the jobs of the others, and
/// the results of the skipped services.
pub(super) async fn skip_existing(
    push: &Push<'_>,
    session: &Session<'_>,
    registry: &AuthorizedRegistry,
    jobs: &[RegistryJob],
) -> (Vec<RegistryJob>, Vec<ServiceResult>) {
    if !push.flags.skip_existing {
        return (jobs.to_vec(), Vec::new());
    }
    let (mut wanted, mut done) = (Vec::new(), Vec::new());
    for it in jobs {
        match existing_image(push, &registry.client, it).await {
            Some((tags, digest)) => {
                let reference = Some(reference(session, registry, &it.job, &digest));
                let entry = entry(&it.job.service, PushOutcome::Unchanged);
                let digest = Some(digest);
                done.push(ServiceResult::succeeded(&it.job, PushEntry { tags, reference, digest, ..entry }));
            }
            None => wanted.push(it.clone()),
        }
    }
    (wanted, done)
}

/// The image that all tags of a service point to; `None` if a tag does not exist or cannot be looked up, or
/// if the tags point to different images.
async fn existing_image(
    push: &Push<'_>,
    client: &RegistryClient,
    it: &RegistryJob,
) -> Option<(Vec<ImageTag>, Digest)> {
    let tags = known_tags(push, it)?;
    let mut digests = BTreeSet::new();
    for tag in &tags {
        let found = client.digest(&it.job.service.repository, tag.as_str()).await;
        digests.insert(found.unwrap_or_default());
    }
    match (digests.len(), digests.pop_first().flatten()) {
        (1, Some(digest)) => Some((tags, digest)),
        _ => None,
    }
}
