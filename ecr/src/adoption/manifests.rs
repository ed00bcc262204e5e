//! Edits of TOML files that leave everything else as it is.

use toml_edit::{Array, DocumentMut, Item, Table, Value};

use super::NoProposal;

/// The text with lines at its end, which have the ends of lines of the text.
pub(super) fn appended(text: &str, lines: &str) -> String {
    let ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let missing = if text.is_empty() || text.ends_with('\n') { "" } else { ending };
    let lines = lines.trim_start_matches(if text.is_empty() { '\n' } else { '\0' });
    format!("{text}{missing}{}", lines.replace('\n', ending))
}

/// Whether a manifest has a table.
pub(super) fn has_table(text: &str, path: &[&str]) -> bool {
    let Ok(document) = text.parse::<DocumentMut>() else { return false };
    let mut item = document.as_item();
    for key in path {
        match item.get(key) {
            Some(found) => item = found,
            None => return false,
        }
    }
    item.is_table_like()
}

/// Adds strings to an array of a table, unless they are there. The table and the array are made if they are missing.
pub(super) fn with_values(
    path: &str,
    text: &str,
    table: &str,
    key: &str,
    values: &[&str],
) -> Result<String, NoProposal> {
    let mut document = parsed(path, text)?;
    let entry = document.entry(table).or_insert_with(|| Item::Table(Table::new()));
    let wrong = || NoProposal::Unreadable { path: path.to_owned(), reason: format!("`{table}` is no table") };
    let entry = entry.as_table_like_mut().ok_or_else(wrong)?;
    let array = entry.entry(key).or_insert_with(|| Item::Value(Value::Array(Array::new())));
    let wrong = || NoProposal::Unreadable { path: path.to_owned(), reason: format!("`{key}` is no array") };
    let array = array.as_array_mut().ok_or_else(wrong)?;
    for value in values {
        if !array.iter().any(|it| it.as_str() == Some(value)) {
            array.push(*value);
        }
    }
    Ok(with_line_ends_of(text, &document))
}

/// The strings of an array of a table.
pub(super) fn values(text: &str, table: &str, key: &str) -> Option<Vec<String>> {
    let document = text.parse::<DocumentMut>().ok()?;
    let array = document.get(table)?.get(key)?.as_array()?;
    Some(array.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect())
}

/// A text with a value in a table, which is made if it is missing. `None` if there is another value.
pub(super) fn with_value(
    path: &str,
    text: &str,
    table: &str,
    key: &str,
    value: &str,
) -> Result<Option<String>, NoProposal> {
    let mut document = parsed(path, text)?;
    let entry = document.entry(table).or_insert_with(|| Item::Table(Table::new()));
    let wrong = || NoProposal::Unreadable { path: path.to_owned(), reason: format!("`{table}` is no table") };
    let entry = entry.as_table_like_mut().ok_or_else(wrong)?;
    match entry.get(key) {
        Some(found) if found.as_str() == Some(value) => Ok(Some(text.to_owned())),
        Some(_) => Ok(None),
        None => {
            entry.insert(key, toml_edit::value(value));
            Ok(Some(with_line_ends_of(text, &document)))
        }
    }
}

/// The text of a document with the ends of lines of the text that it was parsed from. `toml_edit` knows line feeds only.
fn with_line_ends_of(text: &str, document: &DocumentMut) -> String {
    let new = document.to_string();
    if text.contains("\r\n") { new.replace("\r\n", "\n").replace('\n', "\r\n") } else { new }
}

fn parsed(path: &str, text: &str) -> Result<DocumentMut, NoProposal> {
    let wrong = |error: toml_edit::TomlError| NoProposal::Unreadable {
        path: path.to_owned(),
        reason: error.message().to_owned(),
    };
    text.parse().map_err(wrong)
}
