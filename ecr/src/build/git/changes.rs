//! What has changed in a repository since a commit.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use thiserror::Error;

use super::command::{git, is_no_repository};
use crate::affected::{Change, ChangeKind};
use crate::process::{self, Output, Patience, ProcessError};

/// A git repository, seen from a folder in it.
#[derive(Clone)]
pub struct Repository {
    /// The folder that git runs in.
    folder: PathBuf,
    /// The path from the top of the repository to the folder: empty, or with a slash at its end.
    prefix: String,
    patience: Patience,
}

/// Why the changes since a commit are not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoBase {
    #[error("`{0}` is in no git repository, so that it is not known what has changed")]
    NoRepository(String),
    #[error("REF is empty")]
    Empty,
    #[error("`{0}` is not a commit of this repository")]
    NotACommit(String),
    #[error("`{0}` and HEAD have no common commit in this clone, which is shallow")]
    Shallow(String),
    #[error("`{0}` and HEAD have no common commit")]
    Unrelated(String),
}

impl NoBase {
    /// What the user can do about the error.
    pub fn help(&self) -> String {
        match self {
            Self::NoRepository(_) => "leave out --since".to_owned(),
            Self::Empty => "pass a branch, a tag or a commit, or `--since published`".to_owned(),
            Self::NotACommit(_) => {
                "fetch it (`git fetch origin`, in a shallow clone `git fetch --unshallow`; on GitHub \
                                    Actions, set `fetch-depth: 0`), or pass `--since published`"
                    .to_owned()
            }
            Self::Shallow(_) => {
                "fetch more commits: `git fetch --deepen=100`, or `fetch-depth: 0` on GitHub Actions"
                    .to_owned()
            }
            Self::Unrelated(_) => "pass a commit of this branch, or `--since published`".to_owned(),
        }
    }
}

impl Repository {
    /// Finds the repository of a folder.
    ///
    /// # Errors
    /// The folder is in no repository, git is not installed, or it refuses to read the repository.
    pub fn find(folder: &Path, patience: &Patience) -> Result<Self> {
        let found = Self { folder: folder.to_owned(), prefix: String::new(), patience: patience.clone() };
        let output = match found.git(&["rev-parse", "--show-prefix"]) {
            Ok(output) => output,
            Err(ProcessError::NotRun { .. }) => bail!(NoBase::NoRepository(folder.display().to_string())),
            Err(error) => return Err(error.into()),
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            if is_no_repository(&said) {
                bail!(NoBase::NoRepository(folder.display().to_string()));
            }
            bail!("git cannot read this repository: {said}");
        }
        let prefix = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
        Ok(Self { prefix, ..found })
    }

    /// The path from the top of the repository to the folder: empty, or with a slash at its end.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The last commit that `reference` and HEAD have in common.
    ///
    /// # Errors
    /// [`NoBase`], or git cannot be run.
    pub fn merge_base(&self, reference: &str) -> Result<String> {
        let commit = self.commit(reference)?.ok_or_else(|| NoBase::NotACommit(reference.to_owned()))?;
        let output = self.git(&["merge-base", &commit, "HEAD"])?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let shallow = self.text(&["rev-parse", "--is-shallow-repository"])?;
        let name = reference.to_owned();
        bail!(if shallow.trim() == "true" { NoBase::Shallow(name) } else { NoBase::Unrelated(name) })
    }

    /// The commit that a name stands for; `None` if this clone has none.
    ///
    /// # Errors
    /// git cannot be run.
    pub fn commit(&self, name: &str) -> Result<Option<String>> {
        let output = self.git(&[
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &format!("{name}^{{commit}}"),
        ])?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok((output.status.success() && !text.is_empty()).then_some(text))
    }

    /// The files that differ between a commit and the working tree, those that are neither tracked nor ignored among them.
    ///
    /// # Errors
    /// git cannot be run, or fails.
    pub fn changes(&self, base: &str) -> Result<Vec<Change>> {
        let options = ["--no-renames", "--no-relative", "--no-ext-diff", "--ignore-submodules=none"];
        let diff =
            self.text(&[&["diff", "--name-status", "-z"], options.as_slice(), &[base, "--"]].concat())?;
        let others = self.text(&["ls-files", "-z", "--others", "--exclude-standard", "--full-name", ":/"])?;
        let mut changes = parse_changes(&diff);
        let untracked = others.split('\0').filter(|it| !it.is_empty());
        changes.extend(untracked.map(|it| Change { path: it.to_owned(), kind: ChangeKind::Added }));
        Ok(changes)
    }

    /// The text of a file at a commit; `None` if it is not there. The path is one from the top of the repository.
    ///
    /// # Errors
    /// git cannot be run.
    pub fn file_at(&self, commit: &str, path: &str) -> Result<Option<String>> {
        let output = self.git(&["cat-file", "blob", &format!("{commit}:{path}")])?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// The last commit of a branch that was there at a time, in seconds since 1970; `None` if all are younger.
    ///
    /// # Errors
    /// git cannot be run, or fails.
    pub fn commit_before(&self, branch: &str, seconds: i64) -> Result<Option<String>> {
        let age = format!("--min-age={seconds}");
        let text = self.text(&["rev-list", "-1", "--first-parent", &age, branch, "--"])?;
        Ok(Some(text.trim().to_owned()).filter(|it| !it.is_empty()))
    }

    fn text(&self, args: &[&str]) -> Result<String> {
        let output = self.git(args)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            bail!("`git {}` failed: {said}", args.first().copied().unwrap_or_default());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn git(&self, args: &[&str]) -> Result<Output, ProcessError> {
        process::output(git(&self.folder).args(args), &[], &self.patience)
    }
}

/// Parses the output of `git diff --name-status -z`: states and paths in turn (git-diff(1), "-z").
fn parse_changes(text: &str) -> Vec<Change> {
    let mut fields = text.split('\0').filter(|it| !it.is_empty());
    let mut changes = Vec::new();
    while let (Some(state), Some(path)) = (fields.next(), fields.next()) {
        let kind = match state {
            "A" => ChangeKind::Added,
            "D" => ChangeKind::Deleted,
            _ => ChangeKind::Modified,
        };
        changes.push(Change { path: path.to_owned(), kind });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_parsed_from_git_diff() {
        let changes = parse_changes("M\0app/src/a file.rs\0A\0new.rs\0D\0old.rs\0T\0link\0");
        let shown: Vec<_> = changes.iter().map(|it| format!("{:?} {}", it.kind, it.path)).collect();
        assert_eq!(shown, ["Modified app/src/a file.rs", "Added new.rs", "Deleted old.rs", "Modified link"]);
        assert!(parse_changes("").is_empty());
    }
}
