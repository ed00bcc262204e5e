//! The result of a command, on stdout.

use std::io::Write;
use std::sync::atomic::Ordering;

use anstream::AutoStream;

use super::{Format, Printable, Shell, json, left_out, wrap};
use crate::cli::program::named;

impl Shell {
    /// The width of the terminal in columns; `None` if stdout is none, so that nothing has to be cut.
    pub fn width(&self) -> Option<usize> {
        wrap::columns(terminal_size::terminal_size_of(std::io::stdout()))
    }

    /// Prints a line of the result on stdout, unless the format is JSON.
    pub fn print(&self, text: impl Into<Printable>) {
        if self.format == Format::Human {
            self.out(&named(text.into().as_str()));
        }
    }

    /// Writes bytes on stdout as they are, unless the format is JSON.
    pub fn write(&self, bytes: &[u8]) {
        if self.format == Format::Human {
            let write = || {
                let mut stdout = std::io::stdout();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            };
            let result = self.progress.above(write);
            self.record_write_error(result);
        }
    }

    /// Prints findings of a kind as lines of the result, at most [`Shell::MAX_FINDINGS`] of them, and how many more there are.
    pub fn print_findings<T>(&self, findings: &[T], what: &str, lines: impl Fn(&T) -> Vec<String>) {
        findings.iter().take(Self::MAX_FINDINGS).flat_map(lines).for_each(|it| self.print(it));
        left_out(findings.len(), what).iter().for_each(|it| self.print(it));
    }

    /// Prints a JSON document on stdout, whatever the format.
    pub fn document(&self, value: &impl serde::Serialize) {
        self.has_json.store(true, Ordering::Relaxed);
        self.out(&json::text(value));
    }

    /// Prints the result on stdout if the format is JSON.
    pub fn json(&self, value: &impl serde::Serialize) {
        if self.format == Format::Json {
            self.document(value);
        }
    }

    fn out(&self, text: &str) {
        let write = || writeln!(AutoStream::new(std::io::stdout(), self.color), "{text}");
        let result = self.progress.above(write);
        self.record_write_error(result);
    }

    /// A closed pipe (`| head -1`) is not an error: the reader has what it needs. Other errors are, such as a
    /// full disk.
    pub(super) fn record_write_error(&self, result: std::io::Result<()>) {
        if result.is_err_and(|it| it.kind() != std::io::ErrorKind::BrokenPipe) {
            self.has_stdout_failed.store(true, Ordering::Relaxed);
        }
    }
}
