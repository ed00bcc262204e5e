//! git: is the tree clean, and which commit is it?

use std::path::Path;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

/// What git says of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// The commit, 40 hexadecimal digits; `None` before the first one.
    pub commit: Option<String>,
    /// Tracked files that differ from it, and files neither tracked nor ignored; as `git status --porcelain`
    /// prints them.
    pub changes: Vec<String>,
}

/// The state of the tree that `folder` is in; `None` where there is no git or no repository.
pub fn tree(folder: &Path) -> Result<Option<Tree>> {
    let sh = Shell::new().context("failed to find the current directory")?;
    sh.change_dir(folder);
    // Nobody's own git may fail because this one holds the index to refresh it (git(1), "--no-optional-locks").
    let git = cmd!(sh, "git --no-optional-locks");
    let status = git.args(["status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", "."]);
    let Ok(output) = status.quiet().ignore_status().output() else { return Ok(None) };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        // Any other refusal, such as a folder of another owner in a CI container, must not look like a clean tree.
        anyhow::ensure!(said.contains("not a git repository"), "git cannot read this working tree: {said}");
        return Ok(None);
    }
    Ok(Some(Tree::parse(&String::from_utf8_lossy(&output.stdout))))
}

impl Tree {
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
        let tree = Tree::parse(&text);
        assert_eq!(tree.commit.as_deref(), Some(hash));
        assert_eq!(tree.changes, [" M app/src/a file.rs", "R  new.rs", "UU both.rs", "?? new.txt"]);
        assert_eq!(Tree::parse("# branch.oid (initial)\n# branch.head main\n"), Tree::default());
    }
}
