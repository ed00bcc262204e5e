//! A file that a command writes in addition to stdout.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// A file that is opened at the start of a command, so that a path that is not writable is reported before any work.
#[derive(Debug)]
pub struct OutputFile(File);

impl OutputFile {
    /// Opens the file, or creates it, and returns its content.
    ///
    /// # Errors
    /// The file cannot be created or read.
    pub fn open(path: &Path) -> Result<(Self, String)> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        let mut file = Self(file.with_context(|| format!("failed to create `{}`", path.display()))?);
        let text = file.read().with_context(|| format!("failed to read `{}`", path.display()))?;
        Ok((file, text))
    }

    /// Replaces the content by what `change` makes of it, while no other process does.
    ///
    /// # Errors
    /// The file cannot be locked, read or written.
    pub fn update(mut self, change: impl FnOnce(&str) -> String) -> io::Result<()> {
        self.0.lock()?;
        let text = change(&self.read()?);
        self.0.set_len(0)?;
        self.0.rewind()?;
        self.0.write_all(text.as_bytes())
    }

    fn read(&mut self) -> io::Result<String> {
        let mut text = String::new();
        self.0.rewind()?;
        self.0.read_to_string(&mut text)?;
        Ok(text)
    }
}
