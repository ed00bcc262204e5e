//! GitHub Actions: step outputs and the job summary, which are appended to files that environment variables
//! name (GitHub Docs, "Workflow commands for GitHub Actions").

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};

/// Whether a step runs here that wants outputs or a summary.
pub fn is_step() -> bool {
    ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"].into_iter().any(|it| file(it).is_some())
}

/// Sets the output `name` of the step. `value` may have several lines.
pub fn output(name: &str, value: &str) -> io::Result<()> {
    // The delimiter may be any text that is not a line of the value.
    append("GITHUB_OUTPUT", &format!("{name}<<xtask-ecr-end\n{value}\nxtask-ecr-end\n"))
}

/// Appends Markdown to the summary of the job.
pub fn summary(markdown: &str) -> io::Result<()> {
    append("GITHUB_STEP_SUMMARY", markdown)
}

/// Appends to the file that the environment variable names. Does nothing if the variable is not set.
fn append(variable: &str, text: &str) -> io::Result<()> {
    let Some(path) = file(variable) else { return Ok(()) };
    File::options().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

/// The file that an environment variable names.
fn file(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|it| !it.is_empty())
}
