//! How a service is linked, and a cache of the linkage that succeeded last.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use anyhow::Result;
use ecr_oci::files;
use ecr_types::{Digest, Platform, lock};
use serde::{Deserialize, Serialize};

use super::{BuildTarget, Options};
use crate::config::desired::Service;

/// A target, and whether libraries are linked statically.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Linkage {
    /// The target triple.
    pub triple: String,
    /// Whether all libraries, including the C library, are linked statically.
    pub is_static: bool,
}

impl Linkage {
    /// The target folder for cargo. Static and dynamic builds need separate folders: with remapped paths, cargo does
    /// not include rustflags in file names, so that each build would overwrite the other one.
    pub(super) fn target_folder(&self, target: &Path) -> PathBuf {
        if self.is_static { target.to_owned() } else { target.join("xtask-ecr/dynamic") }
    }
}

/// The cached linkage of a service, so that linkages that fail are not tried again on every push.
#[derive(Debug)]
pub(super) struct LinkageCache {
    file: PathBuf,
    inputs: Digest,
}

/// The lock file and the root manifest, as a digest. They are large, and the same for all services.
#[derive(Debug)]
pub(super) struct WorkspaceFiles(Digest);

impl WorkspaceFiles {
    pub(super) fn read(root: &Path) -> Self {
        let files = ["Cargo.lock", "Cargo.toml"].map(|it| fs::read(root.join(it)).unwrap_or_default());
        Self(Digest::of(&files.concat()))
    }
}

/// What is known of how a service is linked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownLinkage {
    /// The linkage that succeeded.
    pub linkage: Linkage,
    /// Why the ones before it failed.
    pub reason: Option<String>,
}

/// What the cache said when this run read it first: what prepares a build of many services reads it while the registry is
/// asked, and the build does not read it again.
#[derive(Debug, Default)]
pub struct KnownLinkages {
    workspace: OnceLock<WorkspaceFiles>,
    read: Mutex<BTreeMap<(String, Platform), Option<KnownLinkage>>>,
}

impl KnownLinkages {
    pub(super) fn of(
        &self,
        options: &Options,
        service: &Service,
        target: &BuildTarget,
    ) -> Option<KnownLinkage> {
        let key = (service.name.clone(), target.platform.clone());
        if let Some(known) = lock(&self.read).get(&key) {
            return known.clone();
        }
        let workspace = self.workspace.get_or_init(|| WorkspaceFiles::read(&options.root));
        let known = LinkageCache::of(options, workspace, service, target).read(target);
        lock(&self.read).insert(key, known.clone());
        known
    }
}

#[derive(Serialize, Deserialize)]
struct CachedLinkage {
    inputs: Digest,
    known: KnownLinkage,
}

impl LinkageCache {
    /// The cache for a service and a platform. A change of its manifest invalidates it, and one of the files of the workspace:
    /// another linkage may succeed with other dependencies.
    pub(super) fn of(
        options: &Options,
        workspace: &WorkspaceFiles,
        service: &Service,
        target: &BuildTarget,
    ) -> Self {
        let manifest = options.root.join(&service.package.folder).join("Cargo.toml");
        let manifest = fs::read(manifest).unwrap_or_default();
        let architecture = target.platform.to_string().replace('/', "-");
        let file = format!("{}-{architecture}.json", service.name);
        Self {
            file: options.target.join("xtask-ecr/linkage").join(file),
            inputs: Digest::of(&[workspace.0.as_str().as_bytes(), &manifest].concat()),
        }
    }

    /// What is known, and holds for a target.
    pub(super) fn read(&self, target: &BuildTarget) -> Option<KnownLinkage> {
        // The linkage may need a target that is no longer installed.
        Some(self.entry()?.known).filter(|it| target.linkages().contains(&it.linkage))
    }

    fn entry(&self) -> Option<CachedLinkage> {
        let entry: CachedLinkage = serde_json::from_slice(&fs::read(&self.file).ok()?).ok()?;
        (entry.inputs == self.inputs).then_some(entry)
    }

    /// Stores what is known now.
    pub(super) fn write(self, known: KnownLinkage) -> Result<()> {
        if self.entry().is_some_and(|it| it.known == known) {
            return Ok(());
        }
        let entry = CachedLinkage { inputs: self.inputs, known };
        files::write(&self.file, &serde_json::to_vec(&entry)?)?;
        Ok(())
    }
}
