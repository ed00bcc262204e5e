//! Errors and what caused them.

use std::error::Error;

/// The error and its causes, from the outermost to the innermost.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// The error and its causes in one line, such as `failed to open: not found`. A cause that the text before it has
/// already is left out.
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for text in causes(error).map(ToString::to_string) {
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line
}
