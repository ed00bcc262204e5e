//! Several files as one text, for a program that reads it.

/// The kind of a deployment file, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Yaml,
    Json,
    Other,
}

impl Kind {
    /// The kind of the file with a name. What comes from stdin has the name `-`; it is YAML, unless it begins as JSON does.
    pub fn of(name: &str, text: &str) -> Self {
        let extension = name.rsplit_once('.').map_or("", |(_, it)| it).to_ascii_lowercase();
        match extension.as_str() {
            "yaml" | "yml" => Self::Yaml,
            "json" => Self::Json,
            _ if name == "-" && text.trim_start().starts_with(['{', '[']) => Self::Json,
            _ if name == "-" => Self::Yaml,
            _ => Self::Other,
        }
    }
}

/// The texts one after the other. Between two documents of YAML stands `---`, if neither of them has it there: a JSON
/// document is one, too, beside one of YAML. The mark of the byte order stays at the beginning only.
pub fn joined(texts: &[(Kind, String)]) -> String {
    let mut all = String::new();
    for (n, (kind, text)) in texts.iter().enumerate() {
        let before = n.checked_sub(1).map(|it| texts[it].0);
        let Some(before) = before else {
            all.push_str(text);
            continue;
        };
        let text = text.trim_start_matches('\u{feff}');
        if !all.is_empty() && !all.ends_with(['\n', '\r']) {
            all.push('\n');
        }
        let is_yaml =
            matches!((before, kind), (Kind::Yaml, Kind::Yaml | Kind::Json) | (Kind::Json, Kind::Yaml));
        if is_yaml {
            all.push_str(separator(&all, text));
        }
        all.push_str(text);
    }
    all
}

/// What separates two documents (YAML 1.2.2, section 9.1.3). A directive needs the end of the document before it.
fn separator(before: &str, after: &str) -> &'static str {
    let is_marker = |line: &str, marker: &str| {
        line.strip_prefix(marker).is_some_and(|it| it.is_empty() || it.starts_with(char::is_whitespace))
    };
    let last = content(before.lines()).last().unwrap_or("---");
    let first = content(after.lines()).next().unwrap_or("---");
    let has_ended = is_marker(last, "...");
    if first.starts_with('%') {
        return if has_ended { "" } else { "...\n" };
    }
    match has_ended || is_marker(last, "---") || is_marker(first, "---") {
        true => "",
        false => "---\n",
    }
}

/// The lines that are neither empty nor comments.
fn content<'a>(lines: impl DoubleEndedIterator<Item = &'a str>) -> impl DoubleEndedIterator<Item = &'a str> {
    lines.filter(|it| !it.trim().is_empty() && !it.trim_start().starts_with('#'))
}
