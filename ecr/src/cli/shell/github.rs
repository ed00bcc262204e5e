//! GitHub Actions: outputs for later steps and the summary of a run, where the environment names files for them
//! (GitHub Docs, "Workflow commands for GitHub Actions").

use std::fs::File;
use std::io::{self, Write};

/// Appends `name=value`, of one line or several, to the outputs of the step.
pub fn output(name: &str, value: &str) -> io::Result<()> {
    // The delimiter may be anything that is no line of the value.
    append("GITHUB_OUTPUT", &format!("{name}<<xtask-ecr-end\n{value}\nxtask-ecr-end\n"))
}

/// Appends Markdown to the summary of the job.
pub fn summary(markdown: &str) -> io::Result<()> {
    append("GITHUB_STEP_SUMMARY", markdown)
}

/// Nothing where the variable is not set.
fn append(variable: &str, text: &str) -> io::Result<()> {
    let Some(path) = std::env::var_os(variable).filter(|it| !it.is_empty()) else { return Ok(()) };
    File::options().append(true).create(true).open(path)?.write_all(text.as_bytes())
}
