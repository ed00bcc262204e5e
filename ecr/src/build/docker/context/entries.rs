//! The files of a build context, in the order in which docker's client sends them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::build::docker::ignore::{DockerIgnore, Ignored};

/// A file, folder or link of the context.
#[derive(Debug)]
pub(super) struct Entry {
    /// The path relative to the context.
    pub path: PathBuf,
    pub metadata: Metadata,
    pub kind: EntryKind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    Folder,
    File,
    /// A symbolic link, with its target.
    Link(PathBuf),
    /// Another name of an earlier entry, whose path this is.
    HardLink(PathBuf),
    /// A named pipe. docker sends it, but does not read it.
    Pipe,
}

/// Lists the files below `root` that the rules do not exclude, sorted by name, each folder before its contents. Sockets
/// are left out, as by docker, and devices. A file that vanishes meanwhile is left out, too.
///
/// # Errors
/// A folder cannot be read; the error names it.
pub(super) fn list(root: &Path, ignore: &DockerIgnore) -> Result<Vec<Entry>> {
    let mut lister = Lister { root, ignore, entries: Vec::new(), seen: HashMap::new() };
    lister.walk(Path::new(""), b"", &Ignored::default())?;
    Ok(lister.entries)
}

struct Lister<'a> {
    root: &'a Path,
    ignore: &'a DockerIgnore,
    entries: Vec<Entry>,
    /// The first path of each file that has several names, by device and inode.
    seen: HashMap<(u64, u64), PathBuf>,
}

impl Lister<'_> {
    /// Lists a folder. `key` is its path in bytes, with `/`.
    fn walk(&mut self, below: &Path, key: &[u8], parent: &Ignored) -> Result<()> {
        let folder = self.root.join(below);
        let names = names(&folder).with_context(|| format!("failed to read `{}`", folder.display()))?;
        for name in names {
            let key = match key {
                b"" => name.as_encoded_bytes().to_vec(),
                key => [key, b"/", name.as_encoded_bytes()].concat(),
            };
            let path = below.join(name);
            let Some(metadata) = self.metadata(&path)? else { continue };
            let is_folder = metadata.is_dir();
            let state = self.ignore.state(&key, parent);
            if !state.is_excluded {
                self.add(&path, metadata)?;
            }
            if is_folder && (!state.is_excluded || self.ignore.has_exceptions_below(&key)) {
                self.walk(&path, &key, &state)?;
            }
        }
        Ok(())
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>> {
        let path = self.root.join(path);
        let found = unless_vanished(fs::symlink_metadata(&path));
        found.with_context(|| format!("failed to read `{}`", path.display()))
    }

    fn add(&mut self, path: &Path, metadata: Metadata) -> Result<()> {
        if let Some(kind) = self.kind(path, &metadata)? {
            self.entries.push(Entry { path: path.to_owned(), metadata, kind });
        }
        Ok(())
    }

    fn kind(&mut self, path: &Path, metadata: &Metadata) -> Result<Option<EntryKind>> {
        if metadata.is_dir() {
            return Ok(Some(EntryKind::Folder));
        }
        if let Some(file) = file_with_several_names(metadata) {
            if let Some(first) = self.seen.get(&file) {
                return Ok(Some(EntryKind::HardLink(first.clone())));
            }
            self.seen.insert(file, path.to_owned());
        }
        if metadata.is_symlink() {
            let path = self.root.join(path);
            let target = unless_vanished(fs::read_link(&path));
            let target = target.with_context(|| format!("failed to read the link `{}`", path.display()))?;
            return Ok(target.map(EntryKind::Link));
        }
        Ok(match metadata.is_file() {
            true => Some(EntryKind::File),
            false => is_pipe(metadata).then_some(EntryKind::Pipe),
        })
    }
}

/// The names in a folder, sorted by their bytes. Empty for a folder that has vanished.
fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let Some(entries) = unless_vanished(fs::read_dir(folder))? else { return Ok(Vec::new()) };
    let mut names = entries.map(|it| Ok(it?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// `None` if there is no such file any more.
pub(super) fn unless_vanished<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Device and inode, if the file has more than one name.
#[cfg(unix)]
fn file_with_several_names(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    (metadata.nlink() > 1).then(|| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn file_with_several_names(_metadata: &Metadata) -> Option<(u64, u64)> {
    None
}

#[cfg(unix)]
fn is_pipe(metadata: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type())
}

#[cfg(not(unix))]
fn is_pipe(_metadata: &Metadata) -> bool {
    false
}
