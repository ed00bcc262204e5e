//! The build context: the folder that a Dockerfile copies from, without the files that are excluded.
//!
//! docker gives `target/`, which may have gigabytes, and `.git` to every build without a `.dockerignore`. This tool leaves
//! them out, unless an exception names them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use thiserror::Error;

use super::dockerfile::copied_paths;
use super::frontend::Frontend;
use super::ignore::{DockerIgnore, escaped, without_mark};

mod archive;
mod entries;
mod input;

pub use archive::Archive;

/// What an engine builds from.
#[derive(Debug, Clone)]
pub enum BuildSource {
    /// A folder and a Dockerfile of the user.
    Folder(Box<ContextFolder>),
    /// A generated Dockerfile, and the files that it adds by their names.
    Generated { dockerfile: String, files: Vec<(String, PathBuf)> },
}

/// A folder as build context.
#[derive(Debug, Clone)]
pub struct ContextFolder {
    folder: PathBuf,
    dockerfile: DockerfileText,
    /// The paths that this tool excludes, relative to the folder.
    excluded: Vec<String>,
    user: IgnoreFile,
    /// The rules for `excluded`, and then those of the user.
    ignore: DockerIgnore,
}

#[derive(Debug, Clone)]
struct DockerfileText {
    /// The name of the file.
    name: String,
    /// The path within the context, with `/`, if it is there.
    inside: Option<String>,
    text: Vec<u8>,
}

/// The file with the rules that apply. Without such a file, it has no rules.
#[derive(Debug, Clone, Default)]
struct IgnoreFile {
    /// The path for messages, relative to the context if the file is there.
    name: String,
    /// The text without a byte order mark.
    text: Vec<u8>,
    rules: DockerIgnore,
}

/// A build that failed, and whose Dockerfile copies what is not in the build context.
#[derive(Debug, Error)]
#[error("the build context has no `{}`", paths.join("`, `"))]
pub struct LeftOut {
    /// What the Dockerfile copies.
    paths: Vec<String>,
    /// The file in which an exception may stand.
    ignore_file: String,
    #[source]
    cause: anyhow::Error,
}

impl LeftOut {
    /// How to get the paths into the context.
    pub fn help(&self) -> String {
        let lines: Vec<_> = self.paths.iter().map(|it| format!("`!{}`", escaped(it))).collect();
        let noun = if lines.len() == 1 { "line" } else { "lines" };
        format!(
            "`push` leaves the target folder, `.git` and the embedded ECR's state out of the build context: add the \
             {noun} {} to `{}`",
            lines.join(", "),
            self.ignore_file
        )
    }
}

/// The file with the exclusions of every build from a folder.
const IGNORE_FILE: &str = ".dockerignore";

impl ContextFolder {
    /// Reads the Dockerfile and the ignore file of a context. `excluded` are further paths to leave out.
    ///
    /// # Errors
    /// The folder, the Dockerfile or the ignore file cannot be read, or a rule is not valid.
    pub fn open(folder: &Path, dockerfile: &Path, excluded: &[PathBuf], frontend: Frontend) -> Result<Self> {
        let canonical = fs::canonicalize(folder);
        let canonical =
            canonical.with_context(|| format!("failed to find the build context `{}`", folder.display()))?;
        let user = IgnoreFile::find(&canonical, dockerfile, frontend)?;
        let dockerfile = DockerfileText::read(&canonical, dockerfile)?;
        let excluded: BTreeSet<_> = excluded.iter().filter_map(|it| inside(&canonical, it)).collect();
        let excluded = Vec::from_iter(excluded);
        let ignore = user.rules.clone().after_exclusions(&excluded);
        Ok(Self { folder: canonical, dockerfile, excluded, user, ignore })
    }

    /// The folder, without symbolic links.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The rules for what is left out.
    pub fn ignore(&self) -> &DockerIgnore {
        &self.ignore
    }

    /// The path of the file with the user's rules, if there is one.
    pub fn ignore_path(&self) -> Option<PathBuf> {
        Some(self.folder.join(&self.user.name)).filter(|it| it.exists())
    }

    /// What this tool leaves out of the context, and docker would not: paths that are there, relative to the context.
    pub fn left_out(&self) -> Vec<&str> {
        let is_there = |it: &&str| fs::symlink_metadata(self.folder.join(it)).is_ok();
        let paths = self.excluded.iter().map(String::as_str).filter(|it| self.is_left_out(it));
        paths.filter(is_there).collect()
    }

    /// The path of the file in which exceptions stand, for messages.
    pub fn ignore_file(&self) -> &str {
        &self.user.name
    }

    /// The error of a build, with the paths that it lacked because this tool leaves them out.
    pub fn explain(&self, cause: anyhow::Error) -> anyhow::Error {
        let copied = copied_paths(&String::from_utf8_lossy(&self.dockerfile.text));
        let paths: Vec<_> = copied.into_iter().filter(|it| self.is_lacking(it)).collect();
        match paths.is_empty() {
            true => cause,
            false => LeftOut { paths, ignore_file: self.user.name.clone(), cause }.into(),
        }
    }

    fn is_lacking(&self, path: &str) -> bool {
        self.is_left_out(path) && !self.ignore.has_exceptions_below(path.as_bytes())
    }

    fn is_left_out(&self, path: &str) -> bool {
        let path = path.as_bytes();
        self.ignore.excludes(path) && !self.user.rules.excludes(path)
    }
}

impl DockerfileText {
    fn read(context: &Path, path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("failed to read `{}`", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, inside: inside(context, path), text })
    }
}

impl IgnoreFile {
    /// The first file that there is: the one that is named after the Dockerfile, then that of the context. podman looks
    /// for `.containerignore` before `.dockerignore`.
    fn find(context: &Path, dockerfile: &Path, frontend: Frontend) -> Result<Self> {
        let endings: &[&str] = match frontend {
            Frontend::Podman => &[".containerignore", IGNORE_FILE],
            Frontend::Legacy | Frontend::BuildKit => &[IGNORE_FILE],
        };
        let beside = endings.iter().map(|ending| {
            let mut name = dockerfile.file_name().unwrap_or_default().to_owned();
            name.push(ending);
            dockerfile.with_file_name(name)
        });
        let own = endings.iter().map(|it| context.join(it));
        for path in beside.chain(own) {
            if let Some(found) = Self::read(&path, context)? {
                return Ok(found);
            }
        }
        Ok(Self { name: IGNORE_FILE.to_owned(), ..Self::default() })
    }

    fn read(path: &Path, folder: &Path) -> Result<Option<Self>> {
        let context = || format!("failed to read `{}`", path.display());
        let Some(text) = entries::unless_vanished(fs::read(path)).with_context(context)? else {
            return Ok(None);
        };
        let rules = DockerIgnore::parse(&text).with_context(context)?;
        let name = inside(folder, path).unwrap_or_else(|| path.display().to_string());
        Ok(Some(Self { name, text: without_mark(&text).to_vec(), rules }))
    }
}

/// The path within the context, with `/`. `None` for one that is elsewhere, or not there.
fn inside(context: &Path, path: &Path) -> Option<String> {
    let path = fs::canonicalize(path).ok()?;
    let parts = path.strip_prefix(context).ok()?.iter().map(|it| it.to_str());
    let parts = parts.collect::<Option<Vec<_>>>()?;
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// A file of the context's folder that the user may have written for docker's daemon, if there is one.
fn daemon_ignore(folder: &Path) -> io::Result<Option<Vec<u8>>> {
    entries::unless_vanished(fs::read(folder.join(IGNORE_FILE)))
}
