//! Blobs that another repository has, to be mounted from there instead of being sent once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ecr_oci::registry::{RegistryClient, RegistryError};
use ecr_types::{Digest, RepositoryName, lock};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::build::{Built, BuiltImage, Product};

/// Which repository has a blob, and a manifest that names it, as ECR wants it before it mounts.
#[derive(Debug, Default)]
pub(super) struct MountSources {
    known: Mutex<BTreeMap<Digest, RepositoryName>>,
    /// The workspace's repositories, where earlier runs may have pushed.
    others: Vec<RepositoryName>,
    /// The registry was asked to mount, and does not.
    has_refused: AtomicBool,
}

/// Repositories that are asked for a blob, side by side, and at most: more would take longer than to send it.
const PARALLEL: usize = 8;
const ASKED: usize = 16;
/// Bytes from which on a shared blob is worth a wait for the service that sends it.
const MUCH: u64 = 1_000_000;

impl MountSources {
    /// Of these repositories nothing is known yet.
    pub(super) fn among(others: Vec<RepositoryName>) -> Self {
        Self { others, ..Self::default() }
    }

    /// Where a blob can be mounted from. Only a blob of a base is looked for: what a service is made of itself is in no
    /// other repository.
    pub(super) async fn find(
        &self,
        client: &RegistryClient,
        digest: &Digest,
        own: &RepositoryName,
        is_inherited: bool,
    ) -> Result<Option<RepositoryName>, RegistryError> {
        if let Some(name) = self.known(digest).filter(|it| it != own) {
            return Ok(Some(name));
        }
        if !is_inherited || self.has_refused.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let others = self.others.iter().filter(|it| *it != own).take(ASKED);
        let answers =
            others.map(|it| async move { Ok(client.has_blob(it, digest).await?.then(|| it.clone())) });
        let found: Vec<_> = stream::iter(answers).buffered(PARALLEL).try_collect().await?;
        Ok(found.into_iter().flatten().next())
    }

    /// The registry has a manifest in `name` that names these blobs.
    pub(super) fn add<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>, name: &RepositoryName) {
        let mut known = lock(&self.known);
        for digest in digests {
            known.entry(digest.clone()).or_insert_with(|| name.clone());
        }
    }

    /// A mount became an upload: nobody else need be asked for blobs.
    pub(super) fn give_up(&self) {
        self.has_refused.store(true, Ordering::Relaxed);
    }

    fn known(&self, digest: &Digest) -> Option<RepositoryName> {
        lock(&self.known).get(digest).cloned()
    }
}

/// The services that are pushed first: a blob that several of them share is uploaded once, and mounted into the
/// repositories of the others.
pub(super) fn uploads_first(built: &[Built<'_>]) -> BTreeSet<usize> {
    let mut holders: BTreeMap<&Digest, Vec<usize>> = BTreeMap::new();
    for (n, (_, product)) in built.iter().enumerate() {
        let Ok(Product::Image(BuiltImage::Native(image))) = product else { continue };
        for blob in image.blobs.iter().filter(|it| it.size >= MUCH) {
            holders.entry(&blob.digest).or_default().push(n);
        }
    }
    holders.into_values().filter(|it| it.len() > 1).filter_map(|it| it.first().copied()).collect()
}
