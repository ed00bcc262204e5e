//! Where resolved files go: stdout, a folder, or back to where they were.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Resolved;
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::shell::Shell;
use crate::config;
use crate::deployment::files::{self, DeploymentFile};
use crate::deployment::{Kind, joined};

/// Refuses what cannot be written, before anything is asked for.
pub(super) fn check(flags: &flags::Resolve, read: &[DeploymentFile]) -> Result<(), Failure> {
    if (flags.in_place || flags.output.is_some()) && read.iter().any(DeploymentFile::is_stdin) {
        let option = if flags.in_place { "--in-place" } else { "--output" };
        let failure = Failure::new(format!("stdin has no name, which {option} needs"));
        return Err(failure.with_help("name the file, or leave the option out to write to stdout"));
    }
    let Some(folder) = &flags.output else { return Ok(()) };
    let mut sources: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    for file in read {
        let to = files::below(folder, &file.path);
        if files::is_same(&to, &file.path) {
            let failure = Failure::new(format!("--output would overwrite `{}`", file.path.display()));
            return Err(
                failure.with_help("pass --in-place to change the files themselves, or another folder")
            );
        }
        if let Some(other) = sources.insert(to.clone(), &file.path) {
            let (one, two, to) = (other.display(), file.path.display(), to.display());
            let failure = Failure::new(format!("`{one}` and `{two}` would both be written to `{to}`"));
            return Err(failure.with_help("pass paths that are relative to the current directory"));
        }
    }
    Ok(())
}

/// Writes the files, or with `--check` the lines that differ.
pub(super) fn write_files(
    flags: &flags::Resolve,
    shell: &Shell,
    resolved: &[Resolved<'_>],
) -> Result<(), Failure> {
    let changed = || resolved.iter().filter(|it| it.report.changed);
    if flags.check {
        for file in changed() {
            for it in &file.report.references {
                shell.print(format!("{}:{}: {}", file.report.path, it.line, it.reference));
            }
        }
        return Ok(());
    }
    if flags.in_place {
        for file in changed() {
            let written = config::files::overwrite(&file.file.path, bytes(file));
            written.with_context(|| format!("failed to write `{}`", file.file.path.display()))?;
            shell.status("Changed", file.report.path.as_str());
        }
        return Ok(());
    }
    match &flags.output {
        Some(folder) => {
            resolved.iter().try_for_each(|it| write(&files::below(folder, &it.file.path), bytes(it)))
        }
        None => {
            print(shell, resolved);
            Ok(())
        }
    }
}

/// Writes a file, and the folders above it.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let written = ecr_oci::files::write(path, content);
    Ok(written.with_context(|| format!("failed to write `{}`", path.display()))?)
}

fn print(shell: &Shell, resolved: &[Resolved<'_>]) {
    let text = |it: &Resolved<'_>| {
        let text = it.text.clone()?;
        Some((Kind::of(&it.report.path, &text), text))
    };
    match resolved.iter().map(text).collect::<Option<Vec<_>>>() {
        Some(texts) => shell.write(joined(&texts).as_bytes()),
        // What is not text has no documents.
        None => resolved.iter().for_each(|it| shell.write(bytes(it))),
    }
}

fn bytes<'a>(resolved: &'a Resolved<'_>) -> &'a [u8] {
    resolved.text.as_ref().map_or_else(|| resolved.file.bytes(), |it| it.as_bytes())
}
