//! Reads and writes deployment files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use ecr_types::text::{NotText, decode};

use super::{SCHEME, is_in_utf16};

/// A deployment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentFile {
    /// The path, as it was given or found; `-` for stdin.
    pub path: PathBuf,
    pub content: Content,
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// UTF-8, with its byte order mark.
    Text(String),
    /// Other bytes, without a placeholder.
    Bytes(Vec<u8>),
}

/// Why a file, or the files of a folder, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("failed to read `{}`", .path.display())]
    Io { path: PathBuf, source: io::Error },
    /// A folder has no file with one of the extensions.
    #[error("`{}` has no file that is named *.{}", .folder.display(), EXTENSIONS.join(", *."))]
    NoFile { folder: PathBuf, is_recursive: bool },
}

/// The extensions of the files that are read in folders.
pub const EXTENSIONS: [&str; 7] = ["yaml", "yml", "json", "tf", "tfvars", "env", "tpl"];

/// The size of the largest file that is read, in MiB.
const MAX_SIZE: u64 = 64;

impl DeploymentFile {
    /// Whether it is stdin.
    pub fn is_stdin(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    /// The bytes of the content.
    pub fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Text(text) => text.as_bytes(),
            Content::Bytes(bytes) => bytes,
        }
    }
}

/// Reads files, and the files of folders: those with one of [`EXTENSIONS`], in the order of their names, and of the folders
/// below if `is_recursive`. A file that is named twice is read once.
pub fn read(paths: &[PathBuf], is_recursive: bool) -> Vec<Result<DeploymentFile, ReadError>> {
    let mut seen = BTreeSet::new();
    let mut files = Vec::new();
    for path in paths {
        match found(path, is_recursive) {
            Ok(found) => {
                files.extend(found.into_iter().filter(|it| seen.insert(it.clone())).map(|it| read_one(&it)))
            }
            Err(error) => files.push(Err(error)),
        }
    }
    files
}

fn found(path: &Path, is_recursive: bool) -> Result<Vec<PathBuf>, ReadError> {
    if path.as_os_str() == "-" || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    add_folder(path, is_recursive, &mut files)?;
    match files.is_empty() {
        true => Err(ReadError::NoFile { folder: path.to_owned(), is_recursive }),
        false => Ok(files),
    }
}

/// Adds the files of a folder, sorted by path. Hidden folders are left out, and so are links to folders, which may lead back.
fn add_folder(folder: &Path, is_recursive: bool, files: &mut Vec<PathBuf>) -> Result<(), ReadError> {
    let wrong = |source| ReadError::Io { path: folder.to_owned(), source };
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(wrong)?.collect();
    let mut entries = entries.map_err(wrong)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type().map_err(wrong)?.is_dir() {
            if is_recursive && !name.starts_with('.') {
                add_folder(&path, is_recursive, files)?;
            }
        } else if name.rsplit_once('.').is_some_and(|(_, it)| EXTENSIONS.contains(&it)) && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn read_one(path: &Path) -> Result<DeploymentFile, ReadError> {
    let bytes = match path.as_os_str() == "-" {
        true => limited(io::stdin().lock()),
        false => File::open(path).and_then(limited),
    };
    let content = bytes.and_then(content);
    let content = content.map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    Ok(DeploymentFile { path: path.to_owned(), content })
}

fn limited(from: impl Read) -> io::Result<Vec<u8>> {
    let (mut bytes, limit) = (Vec::new(), MAX_SIZE << 20);
    from.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {MAX_SIZE} MiB"))),
        false => Ok(bytes),
    }
}

/// Text, or bytes in which there is nothing to replace.
fn content(bytes: Vec<u8>) -> io::Result<Content> {
    // UTF-16 without a mark may look like UTF-8.
    if is_in_utf16(&bytes) {
        return Err(NotText::Utf16.into());
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Content::Text(text)),
        Err(error) if error.as_bytes().windows(SCHEME.len()).any(|it| it == SCHEME.as_bytes()) => {
            decode(error.into_bytes()).map(Content::Text).map_err(io::Error::from)
        }
        Err(error) => Ok(Content::Bytes(error.into_bytes())),
    }
}

/// Where a file is written below a folder: a relative path as it was given, else the name of the file.
pub fn below(folder: &Path, path: &Path) -> PathBuf {
    let parts = || path.components().filter(|it| *it != Component::CurDir);
    let is_below = parts().all(|it| matches!(it, Component::Normal(_)));
    match (is_below, path.file_name()) {
        (false, Some(name)) => folder.join(name),
        _ => folder.join(parts().collect::<PathBuf>()),
    }
}

/// Whether two paths lead to one file.
pub fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
