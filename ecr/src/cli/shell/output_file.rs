//! A file that a command writes beside stdout.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// A file that is open from the beginning: a path that cannot be written is reported before any work is done.
#[derive(Debug)]
pub struct OutputFile(File);

impl OutputFile {
    /// Creates the file, or empties it.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("failed to create `{}`", path.display()))?;
        Ok(Self(file))
    }

    /// Writes the whole content.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())
    }
}
