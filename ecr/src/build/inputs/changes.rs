//! What has changed since a commit, as git tells, with both sides of the root manifest and of the lock file.

use std::path::Path;

use anyhow::Result;

use crate::affected::{Changes, Lock, LockChange, ManifestChange};
use crate::build::git::Repository;

/// The changes between a commit and the working tree. `root` is the folder of the workspace.
///
/// # Errors
/// git cannot be run, or fails.
pub fn changes(repository: &Repository, base: &str, root: &Path) -> Result<Changes> {
    let files = repository.changes(base)?;
    let before = |name: &str| repository.file_at(base, &format!("{}{name}", repository.prefix()));
    let now = |name: &str| std::fs::read_to_string(root.join(name)).ok();
    let manifest = ManifestChange::between(
        &before("Cargo.toml")?.unwrap_or_default(),
        &now("Cargo.toml").unwrap_or_default(),
    );
    let lock = lock_change(before("Cargo.lock")?.as_deref(), now("Cargo.lock").as_deref());
    Ok(Changes { files, manifest, lock })
}

fn lock_change(before: Option<&str>, now: Option<&str>) -> Option<LockChange> {
    let (Some(before), Some(now)) = (before, now) else {
        return Some(LockChange::Unknown("it is not in git on both sides".to_owned()));
    };
    if before == now {
        return None;
    }
    Some(match (Lock::parse(before), Lock::parse(now)) {
        (Ok(base), Ok(now)) => LockChange::Known { base, now },
        _ => LockChange::Unknown("it is not a lock file of cargo".to_owned()),
    })
}
