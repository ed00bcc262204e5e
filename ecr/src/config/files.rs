//! Reading files that the user has named.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use ecr_types::text::decode;

/// The number of MiB of the largest configuration that is read. That of 10,000 repositories has a few megabytes.
const MAX_CONFIGURATION: u64 = 16;
/// The number of MiB of the largest list that is read. That of 100,000 images, ECR's quota, has about 40 megabytes.
const MAX_LIST: u64 = 256;

/// Reads a text file, with an error that names it.
///
/// # Errors
/// The file cannot be read, is larger than 16 MiB, or is not UTF-8.
pub fn read(path: &Path) -> Result<String> {
    text(path).with_context(|| format!("failed to read `{}`", path.display()))
}

/// Reads a list that a program has written, such as one of images.
///
/// # Errors
/// The file cannot be read, is larger than 256 MiB, or is not UTF-8.
pub fn read_list(path: &Path) -> Result<String> {
    limited(path, MAX_LIST).with_context(|| format!("failed to read `{}`", path.display()))
}

/// Reads a text file, which may begin with a byte order mark. The caller handles a missing file.
///
/// # Errors
/// The file cannot be read, or is larger than 16 MiB. If it is not UTF-8,
/// [`NotText::of`](ecr_types::text::NotText::of) the error is the reason.
pub fn text(path: &Path) -> io::Result<String> {
    limited(path, MAX_CONFIGURATION)
}

/// Replaces the text of a file by what `change` makes of it; `false` if it makes nothing of it. A byte order mark, the permissions
/// and a symbolic link stay. Readers see the old content or the new one.
///
/// # Errors
/// The file cannot be read or written, or is not UTF-8.
pub fn edit(path: &Path, change: impl FnOnce(&str) -> Option<String>) -> io::Result<bool> {
    const MARK: &str = "\u{feff}";
    let bytes = std::fs::read(path)?;
    let mark = if bytes.starts_with(MARK.as_bytes()) { MARK } else { "" };
    let Some(changed) = change(&decode(bytes)?) else { return Ok(false) };
    overwrite(path, format!("{mark}{changed}").as_bytes()).map(|()| true)
}

/// Writes a new file, and the folders above it.
///
/// # Errors
/// The file exists, or cannot be written.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = File::create_new(path)?;
    file.write_all(content)
}

/// Replaces the content of a file. Its permissions stay, and so does a symbolic link that leads to it. Readers see the old
/// content or the new one.
///
/// # Errors
/// The file does not exist, or cannot be written.
pub fn overwrite(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = path.canonicalize()?;
    let permissions = std::fs::metadata(&path)?.permissions();
    ecr_oci::files::write(&path, content)?;
    std::fs::set_permissions(&path, permissions)
}

fn limited(path: &Path, mebibytes: u64) -> io::Result<String> {
    let (mut bytes, limit) = (Vec::new(), mebibytes << 20);
    // The size in the metadata is not that of a device or a pipe.
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let reason = format!("it is larger than {mebibytes} MiB");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(decode(bytes)?)
}
