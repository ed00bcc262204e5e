//! `resolve`: replaces placeholders in deployment files by the references of images.
//!
//! [`references`] finds the placeholders and what they name, [`registry`] and [`pushed`] find the images, and [`output`]
//! writes the files. Nothing is written while one placeholder cannot be resolved.

use std::collections::BTreeMap;

use anyhow::Context;
use ecr_types::RepositoryName;
use ecr_types::document::{Place, Problem};
use ecr_types::human::count;

use super::session::load_workspace;
use super::tagged::{Missing, Wanted};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{ResolveReport, ResolvedFile, ResolvedImage, ResolvedReference};
use crate::cli::shell::Shell;
use crate::config::desired::Desired;
use crate::config::workspace::Workspace;
use crate::deployment::files::{self, Content, DeploymentFile, ReadError};
use crate::deployment::{DeployedImage, replaced, values};

mod output;
mod pushed;
mod references;
mod registry;

use references::{FileReferences, Names};

/// The images of repositories, or why there are none.
type Images = BTreeMap<RepositoryName, Result<DeployedImage, Missing>>;

/// A file with the text that it is resolved to.
struct Resolved<'a> {
    file: &'a DeploymentFile,
    /// `None` if it is not text.
    text: Option<String>,
    report: ResolvedFile,
}

/// Resolves files, and writes images as values.
pub async fn run(flags: &flags::Resolve, shell: &Shell) -> Result<Exit, Failure> {
    let workspace = load_workspace(shell, &flags.common).await?;
    let files = read(flags).await?;
    output::check(flags, &files)?;
    let names = Names::new(&workspace.desired, &flags.common.selection)?;
    let mut problems = Vec::new();
    let found = files.iter().map(|it| names.references(it, &mut problems)).collect::<Vec<_>>();
    let wanted = wanted(flags, &workspace.desired, &found)?;
    let desired = workspace.desired.clone();
    // A registry is not asked for the sake of files in which nothing is right.
    let images = match wanted.is_empty() {
        true => Images::new(),
        false => find_images(flags, shell, workspace, wanted).await?,
    };
    let resolved = found.iter().map(|it| resolve(it, &images, &mut problems)).collect::<Vec<_>>();
    problems.extend(missing_values(&desired, &found, &images));
    if !problems.is_empty() {
        problems.sort();
        let n = problems.len() as u64;
        let failure = Failure::new(format!("{} cannot be resolved", count(n, "reference")));
        return Err(failure.with_problems(problems));
    }
    let images: Vec<_> = images.into_values().filter_map(Result::ok).collect();
    finish(flags, shell, &resolved, &images)
}

/// The file system and stdin may be slow.
async fn read(flags: &flags::Resolve) -> Result<Vec<DeploymentFile>, Failure> {
    let (paths, is_recursive) = (flags.file.clone(), flags.recursive);
    let files = tokio::task::spawn_blocking(move || files::read(&paths, is_recursive)).await;
    let files = files.context("the files were not read")?;
    files.into_iter().map(|it| it.map_err(unreadable)).collect()
}

fn unreadable(error: ReadError) -> Failure {
    let help = match &error {
        ReadError::NoFile { is_recursive: false, .. } => {
            Some("name the files, or pass --recursive for the folders below".to_owned())
        }
        ReadError::NoFile { .. } => {
            Some("name the files: a name that is given may have any extension".to_owned())
        }
        ReadError::Io { .. } => None,
    };
    let failure = Failure::from(anyhow::Error::new(error));
    match help {
        Some(help) => failure.with_help(help),
        None => failure,
    }
}

/// The repositories that files name; without files, those of the selected services.
fn wanted(
    flags: &flags::Resolve,
    desired: &Desired,
    found: &[FileReferences<'_>],
) -> Result<Vec<Wanted>, Failure> {
    let of_files = || found.iter().flat_map(|it| &it.references).map(|it| it.repository.clone());
    let mut repositories: Vec<RepositoryName> = match flags.file.is_empty() {
        true => flags.common.selection.services(desired)?.iter().map(|it| it.repository.clone()).collect(),
        false => of_files().collect(),
    };
    repositories.sort();
    repositories.dedup();
    let service = |name: &RepositoryName| desired.services.iter().find(|it| it.repository == *name).cloned();
    Ok(repositories.into_iter().map(|it| Wanted { service: service(&it), repository: it }).collect())
}

async fn find_images(
    flags: &flags::Resolve,
    shell: &Shell,
    workspace: Workspace,
    wanted: Vec<Wanted>,
) -> Result<Images, Failure> {
    match flags.images.is_empty() {
        true => registry::images(flags, shell, workspace, wanted).await,
        false => pushed::images(flags, &workspace.desired, wanted),
    }
}

/// The text of a file with its references replaced. What cannot be is a problem, told once for each image of the file.
fn resolve<'a>(found: &FileReferences<'a>, images: &Images, problems: &mut Vec<Problem>) -> Resolved<'a> {
    let path = found.file.path.display().to_string();
    let (mut replacements, mut references) = (Vec::new(), Vec::new());
    let mut missing: BTreeMap<&RepositoryName, (Problem, usize)> = BTreeMap::new();
    for reference in &found.references {
        let placeholder = &reference.placeholder;
        let place = Place { line: placeholder.line, column: placeholder.column, ..Place::file(&path) };
        let text = match &images[&reference.repository] {
            Ok(image) => image.text(placeholder.part).map_err(|_| pushed::without_tag(image)),
            Err(missing) => Err(missing.clone()),
        };
        match text {
            Ok(text) => {
                let (line, name) = (placeholder.line, placeholder.name.clone());
                references.push(ResolvedReference { line, name, reference: text.clone() });
                replacements.push((placeholder.span.clone(), text));
            }
            Err(Missing { message, help }) => {
                let problem = Problem { place, message, help };
                missing.entry(&reference.repository).or_insert((problem, 0)).1 += 1;
            }
        }
    }
    problems.extend(missing.into_values().map(|(problem, n)| match n {
        1 => problem,
        n => Problem { message: format!("{} ({} more in this file)", problem.message, n - 1), ..problem },
    }));
    let Content::Text(original) = &found.file.content else {
        return Resolved {
            file: found.file,
            text: None,
            report: ResolvedFile { path, changed: false, references },
        };
    };
    let text = replaced(original, &replacements);
    let report = ResolvedFile { path, changed: text != *original, references };
    Resolved { file: found.file, text: Some(text), report }
}

/// The images that no file names, and that --write needs, if there are none.
fn missing_values(desired: &Desired, found: &[FileReferences<'_>], images: &Images) -> Vec<Problem> {
    let place = |name: &RepositoryName| {
        let service = desired.services.iter().find(|it| it.repository == *name);
        service.map_or_else(|| Place::file("Cargo.toml"), |it| it.place.clone())
    };
    let is_named =
        |name: &RepositoryName| found.iter().flat_map(|it| &it.references).any(|it| it.repository == *name);
    let missing = images
        .iter()
        .filter(|(name, _)| !is_named(name))
        .filter_map(|(name, it)| Some((name, it.as_ref().err()?)));
    let problem = |(name, it): (&RepositoryName, &Missing)| Problem {
        place: place(name),
        message: it.message.clone(),
        help: it.help.clone(),
    };
    missing.map(problem).collect()
}

fn finish(
    flags: &flags::Resolve,
    shell: &Shell,
    resolved: &[Resolved<'_>],
    images: &[DeployedImage],
) -> Result<Exit, Failure> {
    let mut written = Vec::new();
    for file in &flags.write {
        written.push((file, values(file.format, images).map_err(anyhow::Error::new)?));
    }
    output::write_files(flags, shell, resolved)?;
    for (file, text) in &written {
        output::write(&file.path, text.as_bytes())?;
        shell.status("Wrote", format!("`{}` ({})", file.path.display(), file.format));
    }
    let references: usize = resolved.iter().map(|it| it.report.references.len()).sum();
    if !flags.file.is_empty() {
        let (references, n_files) =
            (count(references as u64, "reference"), count(resolved.len() as u64, "file"));
        shell.status(
            "Resolved",
            format!("{references} to {} in {n_files}", count(images.len() as u64, "image")),
        );
    }
    let is_changed = resolved.iter().any(|it| it.report.changed);
    shell.json(&ResolveReport {
        files: resolved.iter().map(|it| it.report.clone()).collect(),
        images: images.iter().map(ResolvedImage::from).collect(),
    });
    Ok(if flags.check && is_changed { Exit::Changes } else { Exit::Done })
}
