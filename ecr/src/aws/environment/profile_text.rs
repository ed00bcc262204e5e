//! The text of profile files (AWS SDKs and Tools Reference Guide, "Shared config and credentials files").

/// The text without the keys that have no value and no lines below them: an empty key is an unset one. Without
/// `endpoints`, keys that set an endpoint are left out as well. Lines stay where they are, for the positions in errors.
pub fn without_empty_keys(text: &str, endpoints: bool) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let kept = |(n, line): (usize, &&str)| {
        let is_unset = key_of_empty(line).is_some() && !has_lines_below(&lines[n + 1..], line);
        let is_ignored = !endpoints && key(line) == Some("endpoint_url");
        if is_unset || is_ignored { "\n".to_owned() } else { format!("{line}\n") }
    };
    lines.iter().enumerate().map(kept).collect()
}

/// The key of a line `key = value`; `None` for headers, comments and blank lines.
fn key(line: &str) -> Option<&str> {
    let is_other = line.starts_with(['[', '#', ';']);
    let (key, _) = line.split_once('=').filter(|_| !is_other)?;
    Some(key.trim()).filter(|it| !it.is_empty())
}

/// The key of a line without a value. A comment after white space is no value.
fn key_of_empty(line: &str) -> Option<&str> {
    let value = line.split_once('=')?.1.trim();
    let is_empty = value.is_empty() || line.contains("= ") && value.starts_with(['#', ';']);
    key(line).filter(|_| is_empty)
}

/// Whether the next line that says something is nested: it is indented, and the line of the key is not.
fn has_lines_below(rest: &[&str], line: &str) -> bool {
    let is_indented = |it: &str| it.starts_with([' ', '\t']);
    let next = rest.iter().find(|it| !it.trim().is_empty() && !it.starts_with(['#', ';']));
    !is_indented(line) && next.is_some_and(|it| is_indented(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_empty_keys_keeps_what_has_a_value_or_lines_below() {
        for (text, wanted) in [
            ("[default]\nregion =\noutput = json\n", "[default]\n\noutput = json\n"),
            ("[default]\nregion=\n", "[default]\n\n"),
            ("region =   # none yet\n", "\n"),
            // `#` right after the equals sign is a value.
            ("region =#x\n", "region =#x\n"),
            ("s3 =\n  max_queue_size = 5\n", "s3 =\n  max_queue_size = 5\n"),
            (
                "ecr =\n  endpoint_url =\nsts =\n  endpoint_url = http://x\n",
                "ecr =\n\nsts =\n  endpoint_url = http://x\n",
            ),
            ("s3 =\n\n# comment\n  a = 1\n", "s3 =\n\n# comment\n  a = 1\n"),
            ("# region =\n; region =\n", "# region =\n; region =\n"),
            ("= x\n", "= x\n"),
            ("key = a=\n", "key = a=\n"),
        ] {
            assert_eq!(without_empty_keys(text, true), wanted, "{text}");
        }
    }

    #[test]
    fn without_empty_keys_drops_endpoints_that_are_ignored() {
        let text = "[default]\nendpoint_url = http://x\nregion = r\n";
        assert_eq!(without_empty_keys(text, false), "[default]\n\nregion = r\n");
        assert_eq!(
            without_empty_keys("[services s]\necr =\n  endpoint_url = x\n", false),
            "[services s]\necr =\n\n"
        );
    }
}
