//! What a Dockerfile takes from its build context.

/// The paths that `COPY` and `ADD` name, cleaned of a leading `/` or `./`. Paths of other stages, URLs, here-documents
/// and paths with variables are left out (<https://docs.docker.com/reference/dockerfile/#copy>).
pub fn copied_paths(dockerfile: &str) -> Vec<String> {
    let joined = dockerfile.replace("\\\r\n", " ").replace("\\\n", " ");
    let instructions = joined.lines().map(str::trim).filter(|it| !it.starts_with('#'));
    instructions.flat_map(sources).collect()
}

fn sources(line: &str) -> Vec<String> {
    let Some((instruction, rest)) = line.split_once(char::is_whitespace) else { return Vec::new() };
    if !["COPY", "ADD"].iter().any(|it| instruction.eq_ignore_ascii_case(it)) {
        return Vec::new();
    }
    let rest = rest.trim_start();
    let flags = rest.split_whitespace().take_while(|it| it.starts_with("--"));
    if flags.clone().any(|it| it.starts_with("--from")) {
        return Vec::new();
    }
    let arguments =
        flags.fold(rest, |rest, flag| rest.trim_start().strip_prefix(flag).unwrap_or(rest)).trim();
    let list = serde_json::from_str::<Vec<String>>(arguments);
    let mut list = list.unwrap_or_else(|_| arguments.split_whitespace().map(str::to_owned).collect());
    // The last one is the target.
    list.pop();
    let is_path = |it: &String| !it.contains('$') && !it.contains("://") && !it.starts_with("<<");
    list.into_iter().filter(is_path).map(|it| cleaned(&it)).collect()
}

fn cleaned(path: &str) -> String {
    let parts = path.split('/').filter(|it| !matches!(*it, "" | "."));
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_paths_are_those_of_copy_and_add() {
        let rows: &[(&str, &[&str])] = &[
            ("COPY target/release/svc /svc", &["target/release/svc"]),
            ("copy ./a /b/ /c/", &["a", "b"]),
            ("ADD --chown=1:1 --link x.tar /", &["x.tar"]),
            ("COPY [\"a b\", \"c\", \"/\"]", &["a b", "c"]),
            ("COPY --from=build /src/target/release/svc /svc", &[]),
            ("COPY --chmod=755 --from=build /svc /svc", &[]),
            ("COPY a \\\n  b \\\r\n  /c", &["a", "b"]),
            ("ADD https://example.com/x /x", &[]),
            ("COPY $BINARY /svc", &[]),
            ("COPY <<EOF /x", &[]),
            ("# COPY a /", &[]),
            ("RUN cp a b", &[]),
            ("FROM scratch\nCOPY . /", &[""]),
        ];
        for (text, paths) in rows {
            assert_eq!(copied_paths(text), *paths, "{text}");
        }
    }
}
