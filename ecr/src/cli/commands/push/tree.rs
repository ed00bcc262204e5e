//! The check that the working tree is clean.

use ecr_types::human::count;

use crate::build::git::WorkingTree;
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::shell::Shell;

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
