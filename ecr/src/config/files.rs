//! Reading files that the user has named.

use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result};
use ecr_types::text::decode;

/// Reads a text file, with an error that names it.
///
/// # Errors
/// The file cannot be read, or is not UTF-8.
pub fn read(path: &Path) -> Result<String> {
    text(path).with_context(|| format!("failed to read `{}`", path.display()))
}

/// Reads a text file, which may begin with a byte order mark. The caller handles a missing file.
///
/// # Errors
/// The file cannot be read. If it is not UTF-8, [`NotText::of`](ecr_types::text::NotText::of) the error is the reason.
pub fn text(path: &Path) -> io::Result<String> {
    Ok(decode(fs::read(path)?)?)
}
