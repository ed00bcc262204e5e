//! The build context: an archive of the files of a folder, without the excluded ones.
//!
//! The archive is created here because docker would include `target/`, which may have gigabytes, and `.git` unless a
//! `.dockerignore` excludes them. Modification times are omitted because they would become part of the image.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::build::docker::ignore::DockerIgnore;

/// A build context.
#[derive(Debug, Clone)]
pub enum BuildContext {
    /// A folder without the excluded files.
    Folder(PathBuf, DockerIgnore),
    /// Files by their names in the archive.
    Files(Vec<(String, PathBuf)>),
}

impl BuildContext {
    /// Writes the archive. `more` are additional files with their contents.
    pub fn write(&self, output: impl Write, more: &[(String, Vec<u8>)]) -> io::Result<()> {
        let mut archive = tar::Builder::new(output);
        archive.follow_symlinks(false);
        match self {
            Self::Folder(folder, ignore) => walk(&mut archive, folder, "", ignore)?,
            Self::Files(files) => {
                for (name, path) in files {
                    append(&mut archive, path, name)?;
                }
            }
        }
        for (name, bytes) in more {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, name, bytes.as_slice())?;
        }
        archive.into_inner()?.flush()
    }
}

fn walk(
    archive: &mut tar::Builder<impl Write>,
    root: &Path,
    below: &str,
    ignore: &DockerIgnore,
) -> io::Result<()> {
    let mut entries = fs::read_dir(root.join(below))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let is_folder = entry.file_type()?.is_dir();
        let is_out = ignore.excludes(&path);
        if !is_out {
            append(archive, &entry.path(), &path)?;
        }
        if is_folder && (!is_out || ignore.has_exceptions()) {
            walk(archive, root, &path, ignore)?;
        }
    }
    Ok(())
}

/// Appends a file, folder or symbolic link with its mode, but without owner and time.
fn append(archive: &mut tar::Builder<impl Write>, from: &Path, path: &str) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    let mut header = tar::Header::new_gnu();
    header.set_metadata_in_mode(&metadata, tar::HeaderMode::Deterministic);
    header.set_mtime(0);
    if metadata.is_symlink() {
        header.set_size(0);
        return archive.append_link(&mut header, path, fs::read_link(from)?);
    }
    if metadata.is_dir() {
        return archive.append_data(&mut header, format!("{path}/"), io::empty());
    }
    // Sockets and devices cannot be used in a build.
    if !metadata.is_file() {
        return Ok(());
    }
    archive.append_data(&mut header, path, fs::File::open(from)?)
}
