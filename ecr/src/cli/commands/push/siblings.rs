//! Blobs that are in another repository already, and can be mounted from there instead of being sent once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ecr_oci::registry::{RegistryClient, RegistryError};
use ecr_types::{Digest, RepositoryName};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::{Job, Stage};

/// Which repository has a blob, and a manifest that names it, as ECR wants it before it mounts.
#[derive(Debug, Default)]
pub(super) struct Siblings {
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

impl Siblings {
    /// Of these repositories nothing is known yet.
    pub(super) fn among(others: Vec<RepositoryName>) -> Self {
        Self { others, ..Self::default() }
    }

    /// Where a blob can be mounted from. Only one that comes with a base is looked for: what a service is made of itself is
    /// nowhere else.
    pub(super) async fn of(
        &self,
        registry: &RegistryClient,
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
        let asked =
            others.map(|it| async move { Ok(registry.has_blob(it, digest).await?.then(|| it.clone())) });
        let found: Vec<_> = stream::iter(asked).buffered(PARALLEL).try_collect().await?;
        Ok(found.into_iter().flatten().next())
    }

    /// The registry has a manifest in `name` that names these blobs.
    pub(super) fn add<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>, name: &RepositoryName) {
        let mut known = self.known.lock().unwrap_or_else(|it| it.into_inner());
        for digest in digests {
            known.entry(digest.clone()).or_insert_with(|| name.clone());
        }
    }

    /// A mount became an upload: nobody else need be asked for blobs.
    pub(super) fn give_up(&self) {
        self.has_refused.store(true, Ordering::Relaxed);
    }

    fn known(&self, digest: &Digest) -> Option<RepositoryName> {
        self.known.lock().unwrap_or_else(|it| it.into_inner()).get(digest).cloned()
    }
}

/// The services that go first: what several of them share goes up whole once, and is mounted into the others' repositories.
pub(super) fn leaders(jobs: &[Job]) -> BTreeSet<usize> {
    let mut holders: BTreeMap<&Digest, Vec<usize>> = BTreeMap::new();
    for (n, job) in jobs.iter().enumerate() {
        let Stage::Built(_, built) = &job.stage else { continue };
        for blob in built.blobs.iter().filter(|it| it.size >= MUCH) {
            holders.entry(&blob.digest).or_default().push(n);
        }
    }
    holders.into_values().filter(|it| it.len() > 1).map(|it| it[0]).collect()
}
