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
    let Ok(inside) = cmd!(sh, "git rev-parse --is-inside-work-tree").quiet().ignore_status().output() else {
        return Ok(None);
    };
    if !inside.status.success() {
        let said = String::from_utf8_lossy(&inside.stderr).trim().to_owned();
        // Any other refusal, such as a folder of another owner in a CI container, must not look like a clean tree.
        anyhow::ensure!(said.contains("not a git repository"), "git cannot read this working tree: {said}");
        return Ok(None);
    }
    let commit = cmd!(sh, "git rev-parse --verify --quiet HEAD").quiet().ignore_stderr().read().ok();
    let status = cmd!(sh, "git status --porcelain --untracked-files=normal -- .").quiet().read();
    let status = status.context("failed to ask git for changes")?;
    let changes = status.lines().map(str::to_owned).collect();
    Ok(Some(Tree { commit, changes }))
}
