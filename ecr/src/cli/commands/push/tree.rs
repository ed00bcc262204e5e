//! What git says of the workspace.

use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use ecr_types::human::count;
use tokio::task::JoinHandle;

use crate::build::git::{self, Tree};
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::shell::Shell;

/// A question to git, put while cargo is still telling where the workspace begins: in a large tree both take their time.
pub(super) struct Asked {
    root: PathBuf,
    answer: JoinHandle<anyhow::Result<Option<Tree>>>,
}

impl Asked {
    /// Asks about what is very likely the workspace: the first folder upward that has a lock file.
    pub(super) fn below(folder: &Path) -> Self {
        let folder = lexical(&std::env::current_dir().unwrap_or_default().join(folder));
        let root = folder.ancestors().find(|it| it.join("Cargo.lock").is_file()).unwrap_or(&folder);
        Self::about(root.to_owned())
    }

    fn about(root: PathBuf) -> Self {
        let folder = root.clone();
        Self { root, answer: tokio::task::spawn_blocking(move || git::tree(&folder)) }
    }

    /// The answer for the workspace, which is asked for again if it is elsewhere.
    pub(super) async fn answer(self, root: &Path) -> Result<Option<Tree>, Failure> {
        let asked = if self.root == root { self } else { Self::about(root.to_owned()) };
        Ok(asked.answer.await.context("failed to ask git")??)
    }
}

/// The path without `..`, as cargo has it: by its text.
fn lexical(path: &Path) -> PathBuf {
    let mut folder = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(folder.pop()),
            part => folder.push(part),
        }
    }
    folder
}

/// An image says which version it is; from an unclean tree that would not be true.
pub(super) fn guard(flags: &flags::Push, shell: &Shell, tree: Option<&Tree>) -> Result<(), Failure> {
    let changes = tree.map(|it| it.changes.as_slice()).unwrap_or_default();
    if changes.is_empty() || flags.allow_dirty {
        return Ok(());
    }
    let changed = count(changes.len() as u64, "uncommitted change");
    if flags.common.registry.local || flags.load {
        shell.warn(format!("the working tree has {changed}"));
        return Ok(());
    }
    let shown = changes.iter().take(10).cloned().collect();
    Err(Failure { causes: shown, ..Failure::refused(format!("the working tree has {changed}")) }
        .with_help("commit them, or pass --allow-dirty"))
}
