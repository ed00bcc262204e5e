//! Reading files that the user has named.

use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result};

/// Reads a file, with an error that names it.
///
/// # Errors
/// The file cannot be read, or is not UTF-8.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read `{}`", path.display()))
}

/// Reads a file. The caller handles a missing file.
///
/// # Errors
/// The file cannot be read, or is not UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}
