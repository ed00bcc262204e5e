//! A JSON document that is written item by item, so that a long list is never in memory as a whole.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::Ordering;

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};

use super::printable::is_escaped;
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
            write_pretty(Indented { out, indent: "    " }, item)
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
                write_pretty(Indented { out: &mut *out, indent: "  " }, value)?;
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

/// A document of several lines, in which strings are safe for a terminal.
pub fn text(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    // Writing to memory does not fail, and the documents have string keys.
    let _ = write_pretty(&mut bytes, value);
    String::from_utf8(bytes).unwrap_or_default()
}

fn write_pretty(out: impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, Escaping(PrettyFormatter::new()));
    value.serialize(&mut serializer).map_err(io::Error::from)
}

/// Also escapes the characters that JSON allows in a string and that a terminal obeys: DEL, C1 and invisible formatting.
struct Escaping(PrettyFormatter<'static>);

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_escaped(*c)) {
            out.write_all(&rest.as_bytes()[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_escapes_what_a_terminal_obeys_and_means_the_same() {
        let value =
            serde_json::json!({"a\u{202e}": ["\x1b[2J\x7f\u{9b}é", {}, [], {"b": "\u{feff}\u{e0041}\n"}]});
        let text = text(&value);
        assert!(!text.contains(|c| is_escaped(c) && c != '\n'), "{text}");
        assert!(
            text.contains(r#""\u001b[2J\u007f\u009bé""#) && text.contains(r#""\ufeff\udb40\udc41\n""#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        let harmless = serde_json::json!({"a": [1, {"b": null}], "c": {}});
        assert_eq!(super::text(&harmless), serde_json::to_string_pretty(&harmless).unwrap());
    }
}
