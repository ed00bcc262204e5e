//! The files of digest references: `--image-refs` and `--merge-refs`.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::MergedReferences;
use crate::cli::shell::{OutputFile, Shell};
use crate::config::files;
use crate::references::References;

/// Opens the file of `--image-refs`.
pub(super) fn open(path: &Path) -> Result<OutputFile, Failure> {
    let (file, text) = OutputFile::open(path)?;
    parse(path, &text).map_err(|failure| {
        failure.with_help("pass the name of a new file, or of one that `push --image-refs` has written")
    })?;
    Ok(file)
}

fn parse(path: &Path, text: &str) -> Result<References, Failure> {
    let parsed =
        text.parse().with_context(|| format!("`{}` is not a list of digest references", path.display()));
    Ok(parsed?)
}

/// Prints the references of several files, each once.
pub(super) fn merge(flags: &flags::Push, shell: &Shell) -> Result<Exit, Failure> {
    let output = flags.image_refs.as_deref().map(open).transpose()?;
    let merged = merged(&flags.merge_refs)?;
    merged.iter().for_each(|it| shell.print(it));
    if let Some(output) = output {
        let written = output.update(|_| merged.to_string());
        written.context("failed to write the references")?;
    }
    shell.json(&MergedReferences { references: merged.iter().map(str::to_owned).collect() });
    Ok(Exit::Done)
}

fn merged(paths: &[PathBuf]) -> Result<References, Failure> {
    let list = |path: &PathBuf| Ok((path.display().to_string(), parse(path, &files::read(path)?)?));
    let lists: Vec<_> = paths.iter().map(list).collect::<Result<_, Failure>>()?;
    References::merged(&lists).map_err(|conflicts| {
        let failure = Failure::new("the files name different images for one repository");
        let failure = failure.with_details(conflicts.iter().map(ToString::to_string).collect());
        failure.with_help("merge only files that pushes of one commit have written")
    })
}
