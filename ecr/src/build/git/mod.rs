//! The state of the git working tree: its commit and its uncommitted changes.

mod changes;
mod command;
mod history;
mod revision;

pub use changes::{NoBase, Repository};
pub use history::changed_since_line;
pub use revision::revision;

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use tokio::task::JoinHandle;

use crate::process::{self, Patience, ProcessError};
use command::{LAST, git, is_no_repository};

/// The state of a working tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkingTree {
    /// The commit in 40 hexadecimal digits. `None` before the first commit.
    pub commit: Option<String>,
    /// The branch; `None` if a commit is checked out without one.
    pub branch: Option<String>,
    /// Changed and untracked files, in the format of `git status --porcelain`.
    pub changes: Vec<String>,
}

/// The state of the working tree that contains `folder`, without the file `written`, which this run writes. `None` if git is not
/// installed or there is no repository.
///
/// # Errors
/// git refuses to read the working tree, or does not end.
pub fn working_tree(
    folder: &Path,
    written: Option<&Path>,
    patience: &Patience,
) -> Result<Option<WorkingTree>> {
    let mut git = git(folder);
    git.args(["status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", "."]);
    if let Some(written) = written.and_then(|it| it.strip_prefix(folder).ok()) {
        // gitglossary(7), "pathspec".
        let mut but = OsString::from(":(exclude,literal)");
        but.push(written);
        git.arg(but);
    }
    let output = match process::output(&mut git, &[], patience) {
        Ok(output) => output,
        Err(ProcessError::NotRun { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        // Any other error, such as a folder with another owner in a CI container, must not be treated as a clean tree.
        anyhow::ensure!(is_no_repository(&stderr), "git cannot read this working tree: {stderr}");
        return Ok(None);
    }
    Ok(Some(WorkingTree::parse(&String::from_utf8_lossy(&output.stdout))))
}

/// The uncommitted changes in folders, each as [`WorkingTree::changes`] has it. A folder in no repository has none.
///
/// # Errors
/// Those of [`working_tree`].
pub fn changes_in(folders: &[PathBuf], patience: &Patience) -> Result<Vec<String>> {
    let mut changes = Vec::new();
    for folder in folders {
        changes.extend(working_tree(folder, None, patience)?.unwrap_or_default().changes);
    }
    Ok(changes)
}

/// The time of the last commit, in seconds since 1970; `None` without one.
///
/// # Errors
/// git does not end.
pub fn commit_time(folder: &Path, patience: &Patience) -> Result<Option<u64>> {
    match process::output(git(folder).args(LAST).arg("--format=%ct"), &[], patience) {
        Ok(output) => Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok()),
        Err(ProcessError::NotRun { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl WorkingTree {
    /// Parses the output of `git status` (git-status(1), "Porcelain Format Version 2").
    fn parse(status: &str) -> Self {
        let mut tree = Self::default();
        for line in status.lines() {
            match line.split_once(' ') {
                Some(("#", header)) => {
                    let commit = header.strip_prefix("branch.oid ").filter(|it| *it != "(initial)");
                    tree.commit = commit.map(str::to_owned).or(tree.commit.take());
                    let branch = header.strip_prefix("branch.head ").filter(|it| *it != "(detached)");
                    tree.branch = branch.map(str::to_owned).or(tree.branch.take());
                }
                Some(("?", path)) => tree.changes.push(format!("?? {path}")),
                // Seven fields precede the path: state, submodule, three modes and two hashes. A rename also has a
                // score, and the old path after a tab.
                Some(("1", entry)) => tree.changes.extend(change(entry, 7)),
                Some(("2", entry)) => tree.changes.extend(change(entry, 8)),
                Some(("u", entry)) => tree.changes.extend(change(entry, 9)),
                _ => {}
            }
        }
        tree
    }
}

/// An entry in the format of `git status --short`, `XY path`, with a space instead of the dot for "unchanged".
fn change(entry: &str, fields_before_path: usize) -> Option<String> {
    let (state, _) = entry.split_once(' ')?;
    let path = entry.splitn(fields_before_path + 1, ' ').last()?;
    let path = path.split('\t').next()?;
    Some(format!("{} {path}", state.replace('.', " ")))
}

/// A `git status` that runs concurrently with `cargo metadata`, because both are slow in a large tree.
pub struct GitQuery {
    root: PathBuf,
    written: Option<PathBuf>,
    patience: Patience,
    task: JoinHandle<Result<Option<WorkingTree>>>,
}

impl GitQuery {
    /// Starts the query for the probable root of the workspace: the nearest ancestor of `folder` with a `Cargo.lock`. The file
    /// `written` does not count.
    pub fn start(folder: &Path, written: Option<&Path>, patience: Patience) -> Self {
        let current = std::env::current_dir().unwrap_or_default();
        let (folder, written) =
            (lexical(&current.join(folder)), written.map(|it| lexical(&current.join(it))));
        let root = folder.ancestors().find(|it| it.join("Cargo.lock").is_file()).unwrap_or(&folder);
        Self::start_in(root.to_owned(), written, patience)
    }

    fn start_in(root: PathBuf, written: Option<PathBuf>, patience: Patience) -> Self {
        let (folder, but, asked) = (root.clone(), written.clone(), patience.clone());
        let task = tokio::task::spawn_blocking(move || working_tree(&folder, but.as_deref(), &asked));
        Self { root, written, patience, task }
    }

    /// The result for the workspace. If `root` is not the folder that was assumed, the query is repeated.
    ///
    /// # Errors
    /// git refuses to read the working tree, or does not end.
    pub async fn result(self, root: &Path) -> Result<Option<WorkingTree>> {
        let query = if self.root == root {
            self
        } else {
            Self::start_in(root.to_owned(), self.written, self.patience)
        };
        query.task.await.context("failed to run git")?
    }
}

/// The path without `..`, resolved by its text as cargo does, without following symbolic links.
pub fn lexical(path: &Path) -> PathBuf {
    let mut folder = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(folder.pop()),
            part => folder.push(part),
        }
    }
    folder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_tree_is_parsed_from_git_status() {
        let hash = "0123456789012345678901234567890123456789";
        let modes = "N... 100644 100644 100644";
        let text = format!(
            "# branch.oid {hash}\n# branch.head main\n1 .M {modes} {hash} {hash} app/src/a file.rs\n\
             2 R. {modes} {hash} {hash} R100 new.rs\told.rs\n\
             u UU {modes} 100644 {hash} {hash} {hash} both.rs\n? new.txt\n"
        );
        let tree = WorkingTree::parse(&text);
        assert_eq!(tree.commit.as_deref(), Some(hash));
        assert_eq!(tree.branch.as_deref(), Some("main"));
        assert_eq!(tree.changes, [" M app/src/a file.rs", "R  new.rs", "UU both.rs", "?? new.txt"]);
        let detached = format!("# branch.oid {hash}\n# branch.head (detached)\n");
        assert_eq!(WorkingTree::parse(&detached).branch, None);
        assert_eq!(WorkingTree::parse("# branch.oid (initial)\n# branch.head main\n").commit, None);
    }
}
