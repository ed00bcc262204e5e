//! What tags hold already. They are asked for while images are built, so that the answers, and a connection, are there when
//! they are needed.

use std::collections::{BTreeMap, BTreeSet};

use ecr_oci::registry::RegistryClient;
use ecr_types::{Digest, ImageTag, RepositoryName};
use futures_util::stream::{self, StreamExt};

use super::Push;
use super::connect::{OpenRegistry, RegistryJob};
use super::deliver::reference;
use super::outcome::{Done, entry};
use crate::cli::commands::session::Session;
use crate::cli::report::{PushEntry, PushOutcome};
use crate::config::tag_template::TagTemplate;

/// What tags of repositories hold; `None` for a tag that does not exist. A tag that could not be asked for is missing, and
/// is asked for again.
pub(super) type ExistingTags = BTreeMap<(RepositoryName, ImageTag), Option<Digest>>;

/// Requests side by side.
const PARALLEL: usize = 4;

/// Asks for those tags that do not depend on what is built, and that may not be moved. Others are asked for when they are
/// about to be written.
pub(super) async fn look_up(push: &Push<'_>, registry: &OpenRegistry, jobs: &[RegistryJob]) -> ExistingTags {
    let wanted = jobs.iter().flat_map(|it| protected_tags(push, it));
    let answers = wanted.map(async |(name, tag)| {
        let found = registry.client.digest(&name, tag.as_str()).await.ok()?;
        Some(((name, tag), found))
    });
    stream::iter(answers).buffer_unordered(PARALLEL).filter_map(async |it| it).collect().await
}

fn protected_tags(push: &Push<'_>, it: &RegistryJob) -> Vec<(RepositoryName, ImageTag)> {
    let name = &it.job.service.repository;
    let tags = known_tags(push, it).unwrap_or_default().into_iter();
    tags.filter(|tag| it.repository.protects(tag)).map(|tag| (name.clone(), tag)).collect()
}

/// The tags of a service, if they are known before its image is built.
fn known_tags(push: &Push<'_>, it: &RegistryJob) -> Option<Vec<ImageTag>> {
    let needs_digest = it.job.tags.iter().any(TagTemplate::needs_digest);
    if needs_digest { None } else { push.tags(&it.job, None).ok() }
}

/// With `--skip-existing`, the services whose tags all exist are not built. Gives the others, and those that are done.
pub(super) async fn skip_existing(
    push: &Push<'_>,
    session: &Session<'_>,
    registry: &OpenRegistry,
    jobs: &[RegistryJob],
) -> (Vec<RegistryJob>, Vec<Done>) {
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
                done.push(Done::good(&it.job, PushEntry { tags, reference, digest, ..entry }));
            }
            None => wanted.push(it.clone()),
        }
    }
    (wanted, done)
}

/// The one image that all tags of a service hold. Tags that hold different images are a matter for the push, and so is
/// what may not be asked for.
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
