//! Files and folders of this machine that are copied into an image.

use std::fs::{self, File, FileType, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use thiserror::Error;

use crate::cache::add_known;
use crate::files;
use crate::image::layer::Files;

/// A file, or a folder with everything in it. Only names, kinds and modes have been read.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name of the file or folder.
    name: String,
    /// The entries with their paths below the source; that of the source itself is empty.
    entries: Vec<(String, Entry)>,
}

#[derive(Debug, Clone)]
enum Entry {
    Folder,
    File { path: PathBuf, mode: u32 },
    Link(String),
}

/// Why something cannot be copied into an image. Each variant has the path that it concerns.
#[derive(Debug, Error)]
pub enum SourceProblem {
    /// It does not exist, or cannot be read.
    #[error("`{0}` cannot be read: {1}")]
    Unreadable(String, io::Error),
    /// It is neither a file, a folder nor a link, or a link to such.
    #[error("`{0}` is a {1}, but only files, folders and links can be copied")]
    Special(String, String),
    /// A symbolic link leads out of the package.
    #[error("`{0}` is a symbolic link to `{1}`, which is not in the package")]
    Outside(String, String),
    /// The name is not UTF-8.
    #[error("the name of `{0}` is not UTF-8")]
    Name(String),
    /// The name marks a whiteout.
    #[error("the name of `{0}` begins with `.wh.`: in a layer, it would remove a file of the base")]
    Whiteout(String),
}

impl SourceProblem {
    /// What to do about it, if that is not obvious.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Outside(..) => Some(
                "name the target itself in another entry of `files`, or make the link relative to a file in the package",
            ),
            Self::Special(..) => Some("move it out of the folder, or list the files to copy one by one"),
            Self::Name(_) | Self::Whiteout(_) => Some("rename it"),
            Self::Unreadable(..) => None,
        }
    }
}

/// The entries that were found, and what cannot be copied.
struct Walk<'a> {
    /// The path as the user wrote it, for messages.
    shown: &'a str,
    /// The folder out of which no link leads.
    bounds: PathBuf,
    entries: Vec<(String, Entry)>,
    problems: Vec<SourceProblem>,
}

impl Source {
    /// Looks at `from`, a path relative to the folder `package`, and at everything below it. A link at `from` itself is
    /// followed, as by docker's `COPY`; links below it are kept, also if they lead to nothing. No file is opened.
    ///
    /// # Errors
    /// All that cannot be copied. Links must not leave the package, or `from` if that is outside of it.
    pub fn find(package: &Path, from: &str) -> Result<Self, Vec<SourceProblem>> {
        let unreadable = |error| vec![SourceProblem::Unreadable(from.to_owned(), error)];
        let real = fs::canonicalize(package.join(from)).map_err(unreadable)?;
        let package = fs::canonicalize(package).map_err(unreadable)?;
        let is_inside = real.starts_with(&package);
        if !is_inside && lexical(&package.join(from)).starts_with(&package) {
            return Err(vec![SourceProblem::Outside(from.to_owned(), real.display().to_string())]);
        }
        let name = real.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        let name = Path::new(from).file_name().map_or(name, |it| it.to_string_lossy().into_owned());
        let bounds = if is_inside { package } else { real.clone() };
        let shown = from.trim_end_matches('/');
        let mut walk = Walk { shown, bounds, entries: Vec::new(), problems: Vec::new() };
        walk.visit(&real, "");
        let Walk { entries, problems, .. } = walk;
        if problems.is_empty() { Ok(Self { name, entries }) } else { Err(problems) }
    }

    /// The name of the file or folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self.entries.first(), Some((_, Entry::Folder)))
    }

    /// The size of all files in bytes, as far as it is known.
    pub fn size(&self) -> u64 {
        let size = |(_, entry): &(String, Entry)| match entry {
            Entry::File { path, .. } => path.metadata().map_or(0, |it| it.len()),
            Entry::Folder | Entry::Link(_) => 0,
        };
        self.entries.iter().map(size).sum()
    }

    /// Adds it to `files` at the path `to`. Files are executable (0755) if somebody may execute them, else they have the mode
    /// 0644; folders have 0755. Other permissions depend on the umask of this machine. `on_bytes` gets the number of bytes of
    /// each part that is read.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn add_to(&self, files: &mut Files, to: &str, on_bytes: &dyn Fn(u64)) -> Result<()> {
        self.add(files, to, |files, from, to, mode| {
            let digest = File::open(from).and_then(|it| files::digest_of_observed(it, on_bytes));
            let (digest, size) = digest.with_context(|| format!("failed to read `{}`", from.display()))?;
            add_known(files, from, to, mode, digest, size);
            Ok(())
        })
    }

    /// Adds it to `files` without its content, to see where it would stand.
    pub fn outline(&self, files: &mut Files, to: &str) -> Result<()> {
        self.add(files, to, |files, _, to, mode| {
            files.bytes(to, mode, "");
            Ok(())
        })
    }

    fn add(
        &self,
        files: &mut Files,
        to: &str,
        add_file: impl Fn(&mut Files, &Path, &str, u32) -> Result<()>,
    ) -> Result<()> {
        for (below, entry) in &self.entries {
            let to = format!("{to}/{below}");
            match entry {
                Entry::Folder => files.folder(&to, 0o755),
                Entry::File { path, mode } => add_file(files, path, &to, *mode)?,
                Entry::Link(target) => files.link(&to, target),
            }
        }
        Ok(())
    }
}

impl Walk<'_> {
    fn visit(&mut self, path: &Path, below: &str) {
        match self.entry(path, below) {
            Ok(Entry::Folder) => {
                self.entries.push((below.to_owned(), Entry::Folder));
                self.visit_folder(path, below);
            }
            Ok(entry) => self.entries.push((below.to_owned(), entry)),
            Err(problem) => self.problems.push(problem),
        }
    }

    fn entry(&self, path: &Path, below: &str) -> Result<Entry, SourceProblem> {
        let unreadable = |error| SourceProblem::Unreadable(self.name(below), error);
        let metadata = fs::symlink_metadata(path).map_err(unreadable)?;
        let kind = metadata.file_type();
        if let Some(special) = special(kind) {
            return Err(SourceProblem::Special(self.name(below), special.to_owned()));
        }
        if kind.is_symlink() {
            return self.link(path, below, &fs::read_link(path).map_err(unreadable)?);
        }
        if kind.is_dir() {
            return Ok(Entry::Folder);
        }
        Ok(Entry::File { path: path.to_owned(), mode: mode(&metadata) })
    }

    /// A link whose target is in the package, whether or not it exists.
    fn link(&self, path: &Path, below: &str, target: &Path) -> Result<Entry, SourceProblem> {
        let text = target.to_str().ok_or_else(|| SourceProblem::Name(self.name(below)))?;
        let folder = path.parent().unwrap_or(path);
        if target.is_absolute() || !lexical(&folder.join(target)).starts_with(&self.bounds) {
            return Err(SourceProblem::Outside(self.name(below), text.to_owned()));
        }
        match fs::metadata(path).ok().and_then(|it| special(it.file_type())) {
            Some(special) => Err(SourceProblem::Special(self.name(below), format!("link to a {special}"))),
            None => Ok(Entry::Link(text.to_owned())),
        }
    }

    fn visit_folder(&mut self, folder: &Path, below: &str) {
        let names = fs::read_dir(folder).and_then(|it| it.map(|it| Ok(it?.file_name())).collect());
        let mut names: Vec<_> = match names {
            Ok(names) => names,
            Err(error) => return self.problems.push(SourceProblem::Unreadable(self.name(below), error)),
        };
        names.sort();
        for name in names {
            let below =
                |name: &str| if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            match name.to_str() {
                None => {
                    let shown = self.name(&below(&name.to_string_lossy()));
                    self.problems.push(SourceProblem::Name(shown));
                }
                Some(text) if text.starts_with(".wh.") => {
                    self.problems.push(SourceProblem::Whiteout(self.name(&below(text))));
                }
                Some(text) => self.visit(&folder.join(text), &below(text)),
            }
        }
    }

    /// The path of an entry, as it is shown to the user.
    fn name(&self, below: &str) -> String {
        if below.is_empty() { self.shown.to_owned() } else { format!("{}/{below}", self.shown) }
    }
}

/// The path without `.` and `..`. Links are not resolved.
fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    clean
}

/// The name of a kind of file that cannot be copied.
#[cfg(unix)]
fn special(kind: FileType) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        it if it.is_fifo() => Some("FIFO"),
        it if it.is_socket() => Some("socket"),
        it if it.is_char_device() || it.is_block_device() => Some("device"),
        _ => None,
    }
}

#[cfg(not(unix))]
fn special(_: FileType) -> Option<&'static str> {
    None
}

/// The mode in the layer: 0755 for an executable file, else 0644.
fn mode(metadata: &Metadata) -> u32 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o111 != 0 {
            return 0o755;
        }
    }
    let _ = metadata;
    0o644
}
