//! Whether the working tree is clean.

use ecr_types::human::count;

use crate::build::git::WorkingTree;
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::shell::Shell;

/// An image says which version it is; from an unclean tree that would not be true.
pub(super) fn guard(flags: &flags::Push, shell: &Shell, tree: Option<&WorkingTree>) -> Result<(), Failure> {
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
    Err(failure.with_help("commit them, or pass --allow-dirty"))
}
