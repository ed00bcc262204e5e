//! Blobs that can be mounted from another repository instead of being uploaded again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ecr_oci::registry::{RegistryClient, RegistryError, RegistryErrorKind};
use ecr_types::{Digest, RepositoryName, lock};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::build::{BuiltImage, BuiltJob, Product};

/// Repositories from which blobs can be mounted. ECR mounts a blob only if a manifest in the source
/// repository lists it.
#[derive(Debug, Default)]
pub(super) struct MountSources {
    known: Mutex<BTreeMap<Digest, RepositoryName>>,
    /// The repositories of the workspace, to which earlier runs may have pushed.
    others: Vec<RepositoryName>,
    /// Whether the registry has uploaded a blob instead of mounting it.
    is_search_stopped: AtomicBool,
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

/// The indices of the images that are pushed first, so that a blob that several images share is uploaded once
/// and mounted into the other repositories.
pub(super) fn uploads_first(built: &[BuiltJob<'_>]) -> BTreeSet<usize> {
    let mut images: BTreeMap<&Digest, Vec<usize>> = BTreeMap::new();
    for (n, (_, product)) in built.iter().enumerate() {
        let Ok(Product::Image(BuiltImage::Native(image))) = product else { continue };
        for blob in image.blobs.iter().filter(|it| it.size >= MIN_SHARED_SIZE) {
            images.entry(&blob.digest).or_default().push(n);
        }
    }
    images.into_values().filter(|it| it.len() > 1).filter_map(|it| it.first().copied()).collect()
}
