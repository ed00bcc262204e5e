//! What has happened to a file since it got a line.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::Result;

use super::command;
use crate::process::{self, Patience, ProcessError};

/// Whether commits have changed a folder after the last one that changed a line of a file; `None` if no commit did, or git is not
/// installed. The line is an extended regular expression.
///
/// # Errors
/// git does not end.
pub fn changed_since_line(
    folder: &Path,
    file: &Path,
    line: &str,
    patience: &Patience,
) -> Result<Option<bool>> {
    let git = |args: &[&OsStr]| -> Result<Option<String>> {
        match process::output(command::git(folder).args(args), &[], patience) {
            Ok(output) if output.status.success() => {
                Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
            }
            Ok(_) | Err(ProcessError::NotRun { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    let search = format!("-G{line}");
    let last = [command::LAST.as_slice(), &["--format=%H", &search, "--"]].concat();
    let last = last.into_iter().map(OsStr::new).chain([file.as_os_str()]);
    let commit = git(&last.collect::<Vec<_>>())?.filter(|it| !it.is_empty());
    let Some(commit) = commit else { return Ok(None) };
    let range = format!("{commit}..HEAD");
    let count = git(&["rev-list", "--count", &range, "--", "."].map(OsStr::new))?;
    Ok(count.map(|it| it != "0"))
}
