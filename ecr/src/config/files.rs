//! Reading files that the user has named.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result};
use ecr_types::text::decode;

/// The number of bytes of the largest file that is read. The configuration of 10,000 repositories has a few megabytes.
const MAX_SIZE: u64 = 16 << 20;

/// Reads a text file, with an error that names it.
///
/// # Errors
/// The file cannot be read, is larger than 16 MiB, or is not UTF-8.
pub fn read(path: &Path) -> Result<String> {
    text(path).with_context(|| format!("failed to read `{}`", path.display()))
}

/// Reads a text file, which may begin with a byte order mark. The caller handles a missing file.
///
/// # Errors
/// The file cannot be read, or is larger than 16 MiB. If it is not UTF-8, [`NotText::of`](ecr_types::text::NotText::of) the error is the reason.
pub fn text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    // The size in the metadata is not that of a device or a pipe.
    File::open(path)?.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 16 MiB"));
    }
    Ok(decode(bytes)?)
}
