//! Files that a person named.

use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result};

/// Reads a file that must be there.
///
/// # Errors
/// The file cannot be read, or is not UTF-8.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read `{}`", path.display()))
}

/// The text of a file whose absence the caller judges.
///
/// # Errors
/// The file cannot be read, or is not UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}
