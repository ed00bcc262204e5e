//! Go's `filepath.Clean`, by which docker normalizes patterns.

/// The shortest path that means the same: without `.`, empty elements and `..` where an element precedes it. The empty
/// path is `.` (<https://pkg.go.dev/path#Clean>).
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let is_rooted = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|it| *it == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|it| *it != b"..") => drop(parts.pop()),
            b".." if is_rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match (is_rooted, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_is_that_of_go() {
        // Go's TestClean in path/path_test.go.
        let rows = [
            ("", "."),
            ("abc/def", "abc/def"),
            ("/", "/"),
            (".", "."),
            ("..", ".."),
            ("../..", "../.."),
            ("/abc", "/abc"),
            ("abc/", "abc"),
            ("../../", "../.."),
            ("abc//def//ghi", "abc/def/ghi"),
            ("//abc", "/abc"),
            ("abc/./../def", "def"),
            ("abc/def/../../..", ".."),
            ("/abc/def/../../..", "/"),
            ("abc/../../././../def", "../../def"),
            ("/../abc", "/abc"),
        ];
        for (path, cleaned) in rows {
            assert_eq!(String::from_utf8_lossy(&clean(path.as_bytes())), cleaned, "{path}");
        }
    }
}
