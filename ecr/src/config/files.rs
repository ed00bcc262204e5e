//! Files that a person named.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Reads a file that must be there.
///
/// # Errors
/// The file cannot be read, or is not UTF-8.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read `{}`", path.display()))
}
