//! How a service can be linked: which ways there are, and which one worked last time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ecr_oci::files;
use ecr_types::Digest;
use serde::{Deserialize, Serialize};

/// A way to link: the target, and whether everything goes into the binary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Linkage {
    /// The target triple.
    pub triple: String,
    /// Whether the C library, and every other, is linked statically.
    pub is_static: bool,
}

impl Linkage {
    /// Where cargo builds for it. The two ways share file names, as cargo leaves rustflags out of them where paths
    /// are remapped: in one folder each build would throw the other's away.
    pub(super) fn target_folder(&self, target: &Path) -> PathBuf {
        if self.is_static { target.to_owned() } else { target.join("xtask-ecr/dynamic") }
    }
}

/// What worked for a service, so that ways that cannot work are not tried on every push.
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
    /// The memory of `package`. It holds while its manifest and the lock file are as they were: with other
    /// dependencies, another way may work.
    pub(super) fn new(target: &Path, root: &Path, manifest: &Path, package: &str) -> Self {
        let files = [root.join("Cargo.lock"), root.join("Cargo.toml"), manifest.to_owned()];
        let bytes = files.map(|it| fs::read(it).unwrap_or_default()).concat();
        let file = target.join("xtask-ecr/linkage").join(format!("{package}.json"));
        Self { file, inputs: Digest::of(&bytes) }
    }

    /// The way that worked, and why the ones before it did not.
    pub(super) fn read(&self) -> Option<(Linkage, Option<String>)> {
        let memory: CachedLinkage = serde_json::from_slice(&fs::read(&self.file).ok()?).ok()?;
        (memory.inputs == self.inputs).then_some((memory.linkage, memory.reason))
    }

    /// Remembers a way that worked.
    pub(super) fn write(&self, linkage: &Linkage, reason: Option<&str>) -> Result<()> {
        let known = self.read();
        if known.is_some_and(|(known, why)| known == *linkage && why.as_deref() == reason) {
            return Ok(());
        }
        let memory = CachedLinkage {
            inputs: self.inputs.clone(),
            linkage: linkage.clone(),
            reason: reason.map(str::to_owned),
        };
        files::write(&self.file, &serde_json::to_vec(&memory)?)?;
        Ok(())
    }
}
