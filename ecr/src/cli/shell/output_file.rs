//! A file that a command writes in addition to stdout.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// A file that is created at the start of a command, so that a path that is not writable is reported before
/// any work.
#[derive(Debug)]
pub struct OutputFile(File);

impl OutputFile {
    /// Creates the file, or truncates an existing one.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("failed to create `{}`", path.display()))?;
        Ok(Self(file))
    }

    /// Writes `text` as the whole content.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())
    }
}
