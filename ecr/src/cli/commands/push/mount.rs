//! Blobs that can be mounted from another repository instead of being uploaded again.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ecr_oci::image::bundle::Blob;
use ecr_oci::registry::{RegistryClient, RegistryError, RegistryErrorKind};
use ecr_types::{Digest, RepositoryName, lock};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::watch;

/// Repositories from which blobs can be mounted. ECR mounts a blob only if a manifest in the source
/// repository lists it.
#[derive(Debug, Default)]
pub(super) struct MountSources {
    known: Mutex<BTreeMap<Digest, RepositoryName>>,
    /// The repositories of the workspace, to which earlier runs may have pushed.
    others: Vec<RepositoryName>,
    /// Whether the registry has uploaded a blob instead of mounting it.
    is_search_stopped: AtomicBool,
    /// The end of the push of the first image with a blob.
    turns: Mutex<BTreeMap<Digest, watch::Receiver<()>>>,
}

/// The maximum number of concurrent requests for one blob.
const CONCURRENCY: usize = 8;
/// The maximum number of repositories that are searched for a blob: more requests would take longer than the
/// upload.
const MAX_SEARCHED: usize = 16;
/// The minimum size in bytes of a shared blob for which other images wait until it is uploaded once.
const MIN_SHARED_SIZE: u64 = 1_000_000;

impl MountSources {
    /// `others` are repositories whose blobs are unknown.
    pub(super) fn new(others: Vec<RepositoryName>) -> Self {
        Self { others, ..Self::default() }
    }

    /// The repository from which a blob can be mounted. Only blobs of base images (`is_inherited`) are
    /// searched for, because the other blobs of an image are rarely in another repository.
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
        if !is_inherited || self.is_search_stopped.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let others = self.others.iter().filter(|it| *it != own).take(MAX_SEARCHED);
        let answers = others.map(|it| async move {
            match client.has_blob(it, digest).await {
                // A repository that may not be looked into is none to mount from.
                Err(error) if error.kind() == RegistryErrorKind::Denied => Ok(None),
                found => Ok(found?.then(|| it.clone())),
            }
        });
        let found: Vec<_> = stream::iter(answers).buffered(CONCURRENCY).try_collect().await?;
        Ok(found.into_iter().flatten().next())
    }

    /// Records that a manifest in the repository `name` lists these blobs.
    pub(super) fn add<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>, name: &RepositoryName) {
        let mut known = lock(&self.known);
        for digest in digests {
            known.entry(digest.clone()).or_insert_with(|| name.clone());
        }
    }

    /// Stops the search, because the registry has uploaded a blob instead of mounting it.
    pub(super) fn stop_search(&self) {
        self.is_search_stopped.store(true, Ordering::Relaxed);
    }

    fn known(&self, digest: &Digest) -> Option<RepositoryName> {
        lock(&self.known).get(digest).cloned()
    }
}

impl MountSources {
    /// Begins the push of an image with these blobs. The large ones are left to it by the images that follow, which mount them
    /// from its repository, as long as the result is held.
    pub(super) fn begin(&self, blobs: &[Blob]) -> Turn {
        let (ends, end) = watch::channel(());
        let mut earlier = BTreeMap::new();
        let mut turns = lock(&self.turns);
        for blob in blobs.iter().filter(|it| it.size >= MIN_SHARED_SIZE) {
            match turns.entry(blob.digest.clone()) {
                Entry::Vacant(first) => drop(first.insert(end.clone())),
                Entry::Occupied(first) => drop(earlier.insert(blob.digest.clone(), first.get().clone())),
            }
        }
        Turn { earlier, _ends: ends }
    }
}

/// The push of an image among others that share blobs with it. It only waits for images whose push has begun before its own, so
/// that no two wait for each other.
pub(super) struct Turn {
    /// The blobs that an earlier image uploads, each with the end of that image's push.
    earlier: BTreeMap<Digest, watch::Receiver<()>>,
    /// Dropped at the end, which the others notice.
    _ends: watch::Sender<()>,
}

impl Turn {
    /// Waits until the image that uploads a blob has been pushed, or has failed. If that has to be waited for anyway, small blobs
    /// wait, too: the earlier image may have them as well.
    pub(super) async fn wait_for(&self, blob: &Blob) {
        let is_small = blob.size < MIN_SHARED_SIZE;
        for (_, end) in self.earlier.iter().filter(|(digest, _)| is_small || **digest == blob.digest) {
            // Nothing is ever sent: the error is the end.
            let _ = end.clone().changed().await;
        }
    }
}
