//! How a service is linked, and a cache of the linkage that succeeded last.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ecr_oci::files;
use ecr_types::Digest;
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

#[derive(Serialize, Deserialize)]
struct CachedLinkage {
    inputs: Digest,
    linkage: Linkage,
    reason: Option<String>,
}

impl LinkageCache {
    /// The cache for a service and a platform.
    pub(super) fn of(options: &Options, service: &Service, target: &BuildTarget) -> Self {
        let manifest = options.root.join(&service.package.folder).join("Cargo.toml");
        let architecture = target.platform.to_string().replace('/', "-");
        let title = format!("{}-{architecture}", service.name);
        Self::new(&options.target, &options.root, &manifest, &title)
    }

    /// The cache for `package`. A change of the manifests or the lock file invalidates it, because another linkage may
    /// succeed with other dependencies.
    fn new(target: &Path, root: &Path, manifest: &Path, package: &str) -> Self {
        let files = [root.join("Cargo.lock"), root.join("Cargo.toml"), manifest.to_owned()];
        let bytes = files.map(|it| fs::read(it).unwrap_or_default()).concat();
        let file = target.join("xtask-ecr/linkage").join(format!("{package}.json"));
        Self { file, inputs: Digest::of(&bytes) }
    }

    /// The linkage that succeeded, and why the ones before it failed.
    pub(super) fn read(&self) -> Option<(Linkage, Option<String>)> {
        let entry: CachedLinkage = serde_json::from_slice(&fs::read(&self.file).ok()?).ok()?;
        (entry.inputs == self.inputs).then_some((entry.linkage, entry.reason))
    }

    /// Stores a linkage that succeeded, and why the ones before it failed.
    pub(super) fn write(&self, linkage: &Linkage, reason: Option<&str>) -> Result<()> {
        let known = self.read();
        if known.is_some_and(|(known, why)| known == *linkage && why.as_deref() == reason) {
            return Ok(());
        }
        let entry = CachedLinkage {
            inputs: self.inputs.clone(),
            linkage: linkage.clone(),
            reason: reason.map(str::to_owned),
        };
        files::write(&self.file, &serde_json::to_vec(&entry)?)?;
        Ok(())
    }
}
