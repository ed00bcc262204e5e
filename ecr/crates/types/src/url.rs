//! URLs and image references without the user and the password that they may contain (RFC 3986, section 3.2.1).

/// What stands in the place of a user and a password.
const HIDDEN: &str = "***";

/// The text of a URL, of a host or of an image reference, in which `***` stands for the user and the password. The text need
/// not be valid, because errors show invalid ones: what comes before the last `@` is hidden, but for the scheme. The digest
/// of an image reference is kept.
///
/// ```
/// use ecr_types::url::redacted;
///
/// assert_eq!(redacted("http://me:secret@localhost:4510/x"), "http://***@localhost:4510/x");
/// assert_eq!(redacted("debian@sha256:0000"), "debian@sha256:0000");
/// ```
pub fn redacted(text: &str) -> String {
    let (scheme, rest) = match text.find("://") {
        Some(at) if text[..at].bytes().all(is_of_scheme) => text.split_at(at + "://".len()),
        _ => ("", text),
    };
    let (rest, digest) = match rest.rsplit_once('@') {
        Some((name, digest)) if is_digest(digest) => (name, Some(digest)),
        _ => (rest, None),
    };
    let mut shown = scheme.to_owned();
    match rest.rsplit_once('@') {
        Some((_, host)) => shown.extend([HIDDEN, "@", host]),
        None => shown += rest,
    }
    shown.extend(digest.into_iter().flat_map(|it| ["@", it]));
    shown
}

/// A sentence in which each word with an `@` is [`redacted`].
///
/// ```
/// use ecr_types::url::redacted_words;
///
/// assert_eq!(redacted_words("no host in http://me:secret@x/"), "no host in http://***@x/");
/// ```
pub fn redacted_words(text: &str) -> String {
    let words = text.split(' ').map(|it| if it.contains('@') { redacted(it) } else { it.to_owned() });
    words.collect::<Vec<_>>().join(" ")
}

/// The characters of a scheme (RFC 3986, section 3.1).
fn is_of_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Whether the text after an `@` is a digest, or was meant as one, rather than a host.
fn is_digest(text: &str) -> bool {
    ["sha256:", "sha512:"].iter().any(|it| text.starts_with(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redacted_hides_users_and_passwords_and_nothing_else() {
        for (text, wanted) in [
            ("http://127.0.0.1:4510", "http://127.0.0.1:4510"),
            ("https://me:pw@host/path?x=1", "https://***@host/path?x=1"),
            ("https://token@host", "https://***@host"),
            ("HTTPS://me:pw@host", "HTTPS://***@host"),
            ("https://me:p@w@host", "https://***@host"),
            // Not valid, and an error may show it.
            ("https://me:p/w@host", "https://***@host"),
            ("https://me:p?w#@host", "https://***@host"),
            ("https:/me:pw@host", "***@host"),
            ("me:pw://x@host", "***@host"),
            ("me:pw@host:3128", "***@host:3128"),
            ("me:pw@host/team/app:1", "***@host/team/app:1"),
            ("me:pw@host/app@sha256:00", "***@host/app@sha256:00"),
            ("https://me:pw@host/app@sha256:00", "https://***@host/app@sha256:00"),
            ("host/app:1@sha256:00", "host/app:1@sha256:00"),
            ("debian@sha256:x", "debian@sha256:x"),
            ("debian:12", "debian:12"),
            ("", ""),
            ("@", "***@"),
            ("ü://ä@ö", "***@ö"),
        ] {
            assert_eq!(redacted(text), wanted, "{text}");
        }
    }
}
