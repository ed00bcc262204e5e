//! What has happened to a file since it got a line.

use std::path::Path;

use anyhow::Result;

use super::command;
use crate::process::{self, Patience, ProcessError};

/// Whether commits have changed a folder after the one that gave a file of it a text; `None` if no commit did, or git is not
/// installed.
///
/// # Errors
/// git does not end.
pub fn changed_since_line(
    folder: &Path,
    file: &str,
    text: &str,
    patience: &Patience,
) -> Result<Option<bool>> {
    let git = |args: &[&str]| -> Result<Option<String>> {
        match process::output(command::git(folder).args(args), &[], patience) {
            Ok(output) if output.status.success() => {
                Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
            }
            Ok(_) | Err(ProcessError::NotRun { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    let search = format!("-S{text}");
    let commit = git(&["log", "-1", "--format=%H", &search, "--", file])?.filter(|it| !it.is_empty());
    let Some(commit) = commit else { return Ok(None) };
    let count = git(&["rev-list", "--count", &format!("{commit}..HEAD"), "--", "."])?;
    Ok(count.map(|it| it != "0"))
}
