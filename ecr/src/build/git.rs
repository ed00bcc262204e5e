//! git: is the tree clean, and which commit is it?

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use xshell::{Shell, cmd};

/// What git says of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkingTree {
    /// The commit, 40 hexadecimal digits; `None` before the first one.
    pub commit: Option<String>,
    /// Tracked files that differ from it, and files neither tracked nor ignored; as `git status --porcelain`
    /// prints them.
    pub changes: Vec<String>,
}

/// The state of the tree that `folder` is in; `None` where there is no git or no repository.
pub fn working_tree(folder: &Path) -> Result<Option<WorkingTree>> {
    let sh = Shell::new().context("failed to find the current directory")?;
    sh.change_dir(folder);
    // Nobody's own git may fail because this one holds the index to refresh it (git(1), "--no-optional-locks").
    let git = cmd!(sh, "git --no-optional-locks");
    let status = git.args(["status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", "."]);
    let Ok(output) = status.quiet().ignore_status().output() else { return Ok(None) };
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        // Any other refusal, such as a folder of another owner in a CI container, must not look like a clean tree.
        anyhow::ensure!(
            stderr.contains("not a git repository"),
            "git cannot read this working tree: {stderr}"
        );
        return Ok(None);
    }
    Ok(Some(WorkingTree::parse(&String::from_utf8_lossy(&output.stdout))))
}

impl WorkingTree {
    /// Reads git-status(1), "Porcelain Format Version 2".
    fn parse(status: &str) -> Self {
        let mut tree = Self::default();
        for line in status.lines() {
            match line.split_once(' ') {
                Some(("#", header)) => {
                    let commit = header.strip_prefix("branch.oid ").filter(|it| *it != "(initial)");
                    tree.commit = commit.map(str::to_owned).or(tree.commit.take());
                }
                Some(("?", path)) => tree.changes.push(format!("?? {path}")),
                // State, submodule, three modes and two hashes stand before the path; a rename also has a score, and its
                // old name after a tab.
                Some(("1", entry)) => tree.changes.extend(change(entry, 7)),
                Some(("2", entry)) => tree.changes.extend(change(entry, 8)),
                Some(("u", entry)) => tree.changes.extend(change(entry, 9)),
                _ => {}
            }
        }
        tree
    }
}

/// `XY path`, as people know it of `git status --short`: a dot stands for no change.
fn change(entry: &str, fields_before_path: usize) -> Option<String> {
    let (state, _) = entry.split_once(' ')?;
    let path = entry.splitn(fields_before_path + 1, ' ').last()?;
    let path = path.split('\t').next()?;
    Some(format!("{} {path}", state.replace('.', " ")))
}

/// A question to git that is asked while cargo still reads the manifests: in a large tree both take their time.
pub struct GitQuery {
    root: PathBuf,
    answer: JoinHandle<Result<Option<WorkingTree>>>,
}

impl GitQuery {
    /// Asks about what is very likely the workspace: the first folder upward from `folder` that has a lock file.
    pub fn start(folder: &Path) -> Self {
        let folder = lexical(&std::env::current_dir().unwrap_or_default().join(folder));
        let root = folder.ancestors().find(|it| it.join("Cargo.lock").is_file()).unwrap_or(&folder);
        Self::start_in(root.to_owned())
    }

    fn start_in(root: PathBuf) -> Self {
        let folder = root.clone();
        Self { root, answer: tokio::task::spawn_blocking(move || working_tree(&folder)) }
    }

    /// The answer for the workspace. git is asked again if the workspace is elsewhere.
    ///
    /// # Errors
    /// git refuses to read the tree.
    pub async fn answer(self, root: &Path) -> Result<Option<WorkingTree>> {
        let query = if self.root == root { self } else { Self::start_in(root.to_owned()) };
        query.answer.await.context("failed to run git")?
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_the_commit_and_the_changes() {
        let hash = "0123456789012345678901234567890123456789";
        let modes = "N... 100644 100644 100644";
        let text = format!(
            "# branch.oid {hash}\n# branch.head main\n1 .M {modes} {hash} {hash} app/src/a file.rs\n\
             2 R. {modes} {hash} {hash} R100 new.rs\told.rs\n\
             u UU {modes} 100644 {hash} {hash} {hash} both.rs\n? new.txt\n"
        );
        let tree = WorkingTree::parse(&text);
        assert_eq!(tree.commit.as_deref(), Some(hash));
        assert_eq!(tree.changes, [" M app/src/a file.rs", "R  new.rs", "UU both.rs", "?? new.txt"]);
        assert_eq!(
            WorkingTree::parse("# branch.oid (initial)\n# branch.head main\n"),
            WorkingTree::default()
        );
    }
}
