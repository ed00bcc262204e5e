//! What tags hold, asked while images are built: the answers, and a connection that stands, are there when they are needed.

use std::collections::BTreeMap;

use ecr_oci::registry::RegistryClient;
use ecr_types::{Digest, ImageTag, RepositoryName};
use futures_util::stream::{self, StreamExt};

/// A tag of a repository.
pub(super) type Tag = (RepositoryName, ImageTag);

/// What was found; `None` for a tag that nobody has. What could not be asked is not in it, and is asked anew.
pub(super) type Answers = BTreeMap<Tag, Option<Digest>>;

/// Questions side by side.
const PARALLEL: usize = 4;

/// Asks for the tags.
pub(super) async fn look_up(registry: &RegistryClient, wanted: Vec<Tag>) -> Answers {
    let asked = wanted.into_iter().map(async |(name, tag)| {
        let found = registry.digest(&name, tag.as_str()).await.ok()?;
        Some(((name, tag), found))
    });
    stream::iter(asked).buffer_unordered(PARALLEL).filter_map(async |it| it).collect().await
}
