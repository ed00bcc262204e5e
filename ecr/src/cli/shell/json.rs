//! A JSON document that is written item by item, so that a long list is never in memory as a whole.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::{Format, Shell};
use crate::cli::report::Interrupted;

/// Writes `{"KEY": [item, item, ...], ...}` to stdout. Writes nothing unless the format is JSON.
pub struct JsonList<'a> {
    shell: &'a Shell,
    is_empty: bool,
    is_ended: bool,
}

impl Shell {
    /// Begins a document with a list under `key`.
    pub fn json_list(&self, key: &str) -> JsonList<'_> {
        self.write_json(|out| write!(out, "{{\n  \"{key}\": ["));
        JsonList { shell: self, is_empty: true, is_ended: false }
    }

    fn write_json(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if self.format != Format::Json {
            return;
        }
        self.has_json.store(true, Ordering::Relaxed);
        let result = self.progress.above(|| {
            let mut out = BufWriter::new(io::stdout().lock());
            write(&mut out).and_then(|()| out.flush())
        });
        self.record_write_error(result);
    }
}

impl JsonList<'_> {
    pub fn item(&mut self, item: &impl Serialize) {
        let comma = if std::mem::take(&mut self.is_empty) { "" } else { "," };
        self.shell.write_json(|out| {
            write!(out, "{comma}\n    ")?;
            serde_json::to_writer_pretty(Indented { out, indent: "    " }, item).map_err(io::Error::from)
        });
    }

    /// Ends the list, adds the fields of `rest`, and ends the document.
    pub fn end(mut self, rest: &impl Serialize) {
        self.write_end(rest);
    }

    fn write_end(&mut self, rest: &impl Serialize) {
        self.is_ended = true;
        let rest = serde_json::to_value(rest).unwrap_or_default();
        let close = if self.is_empty { "]" } else { "\n  ]" };
        self.shell.write_json(|out| {
            write!(out, "{close}")?;
            for (key, value) in rest.as_object().into_iter().flatten() {
                write!(out, ",\n  \"{key}\": ")?;
                serde_json::to_writer_pretty(Indented { out: &mut *out, indent: "  " }, value)?;
            }
            writeln!(out, "\n}}")
        });
    }
}

/// After Ctrl-C in the middle of the list, the output is still a valid document, marked as interrupted.
impl Drop for JsonList<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            self.write_end(&Interrupted { interrupted: true });
        }
    }
}

/// A writer that indents all lines except the first.
struct Indented<'a> {
    out: &'a mut dyn Write,
    indent: &'static str,
}

impl Write for Indented<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for (n, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if n > 0 {
                self.out.write_all(b"\n")?;
                self.out.write_all(self.indent.as_bytes())?;
            }
            self.out.write_all(line)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
