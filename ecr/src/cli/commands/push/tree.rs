//! The check that the working tree is clean.

use std::path::PathBuf;

use anyhow::Context;
use ecr_types::human::count;

use crate::build::git::{self, WorkingTree};
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::shell::Shell;
use crate::process::Patience;

/// Adds the uncommitted changes of packages outside of the workspace from which services are built.
pub(super) async fn add_outside(
    tree: Option<&mut WorkingTree>,
    folders: Vec<PathBuf>,
    patience: Patience,
) -> Result<(), Failure> {
    let Some(tree) = tree.filter(|_| !folders.is_empty()) else { return Ok(()) };
    let changes = tokio::task::spawn_blocking(move || git::changes_in(&folders, &patience));
    tree.changes.extend(changes.await.context("failed to run git")??);
    Ok(())
}

/// Refuses a working tree with uncommitted changes, because the image's version and revision would not
/// describe its content. With `--local` and `--load`, only warns.
pub(super) fn require_clean(
    flags: &flags::Push,
    shell: &Shell,
    tree: Option<&WorkingTree>,
) -> Result<(), Failure> {
    let changes = tree.map(|it| it.changes.as_slice()).unwrap_or_default();
    if changes.is_empty() || flags.allow_dirty {
        return Ok(());
    }
    let changed = count(changes.len() as u64, "uncommitted change");
    if flags.common.registry.local || flags.load {
        shell.warn(format!("the working tree has {changed}"));
        return Ok(());
    }
    let details = changes.iter().take(10).cloned().collect();
    let failure = Failure::refused(format!("the working tree has {changed}")).with_details(details);
    Err(failure.with_help("commit the changes, or pass --allow-dirty"))
}
