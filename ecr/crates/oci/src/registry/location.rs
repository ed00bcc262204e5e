//! The header `Location` of redirects and uploads (RFC 9110, section 10.2.2).

use hyper::HeaderMap;
use hyper::header::LOCATION;
use percent_encoding::{CONTROLS, percent_encode};
use thiserror::Error;
use url::Url;

/// Why a `Location` is not followed. No other attempt would end otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum BadLocation {
    /// The header is missing or empty.
    #[error("it names no Location")]
    Missing,
    /// The value is not a URL.
    #[error("its Location is not a URL: {0}")]
    Invalid(url::ParseError),
    /// The scheme is not that of HTTP.
    #[error("its Location has the scheme `{0}`")]
    Scheme(String),
    /// The content cannot be verified, and would be read without encryption.
    #[error("its Location leaves HTTPS, and the content has no digest to verify")]
    Downgrade,
}

/// The URL that `Location` names in the response to a request for `from`, resolved against it (RFC 3986, section 5).
/// Characters that a URL may not contain, such as spaces, are encoded.
///
/// # Errors
/// There is no such URL of HTTP.
pub(super) fn location(from: &Url, headers: &HeaderMap) -> Result<Url, BadLocation> {
    let value = headers.get(LOCATION).map(|it| it.as_bytes().trim_ascii()).filter(|it| !it.is_empty());
    // Bytes beyond ASCII are encoded one by one, as Go does.
    let value = percent_encode(value.ok_or(BadLocation::Missing)?, CONTROLS).to_string();
    let mut to = from.join(&value).map_err(BadLocation::Invalid)?;
    if !matches!(to.scheme(), "http" | "https") {
        return Err(BadLocation::Scheme(to.scheme().to_owned()));
    }
    to.set_fragment(None);
    Ok(to)
}

/// The URL to which a response redirects.
///
/// # Errors
/// There is no such URL, or it leaves HTTPS for content that is not verified by a digest.
pub(super) fn redirection(from: &Url, headers: &HeaderMap, is_verified: bool) -> Result<Url, BadLocation> {
    let to = location(from, headers)?;
    let is_downgrade = from.scheme() == "https" && to.scheme() == "http";
    if is_downgrade && !is_verified { Err(BadLocation::Downgrade) } else { Ok(to) }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn follow(from: &str, location: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_bytes(location).unwrap());
        let result = redirection(&from.parse().unwrap(), &headers, false);
        result.map_or_else(|it| it.to_string(), |it| it.to_string())
    }

    /// "tried" is what docker 28.2 and skopeo 1.9 requested next.
    #[test]
    fn location_is_resolved_against_the_request() {
        let from = "https://reg.io/v2/a/blobs/sha256:1?x=1";
        for (location, wanted, source) in [
            ("/v2/b", "https://reg.io/v2/b", "RFC 3986, 5.4"),
            ("./c?signed=1", "https://reg.io/v2/a/blobs/c?signed=1", "tried"),
            ("c", "https://reg.io/v2/a/blobs/c", "tried"),
            ("../d", "https://reg.io/v2/a/d", "RFC 3986, 5.4"),
            ("../../../../../d", "https://reg.io/d", "RFC 3986, 5.4.2"),
            ("?y=2", "https://reg.io/v2/a/blobs/sha256:1?y=2", "tried"),
            ("//cdn.io/e", "https://cdn.io/e", "tried: without a scheme"),
            ("https://cdn.io/e?a=%2F%2f&b=+", "https://cdn.io/e?a=%2F%2f&b=+", "signatures stay as they are"),
            ("HTTPS://cdn.io", "https://cdn.io/", "tried"),
            ("https://reg.io:5000/f", "https://reg.io:5000/f", "tried"),
            ("/a b?c d", "https://reg.io/a%20b?c%20d", "tried: what a URL may not contain is encoded"),
            ("/ü", "https://reg.io/%C3%BC", "tried"),
            ("/x#part", "https://reg.io/x", "tried: the fragment is not sent"),
            (" /lead ", "https://reg.io/lead", "tried"),
            ("", "it names no Location", "tried: the redirect itself is the answer"),
            (
                "file:///etc/passwd",
                "its Location has the scheme `file`",
                "tried: unsupported protocol scheme",
            ),
            ("ftp://reg.io/x", "its Location has the scheme `ftp`", "tried"),
            ("data:,x", "its Location has the scheme `data`", "tried"),
            ("https://[::1", "its Location is not a URL: invalid IPv6 address", "tried"),
            ("https://", "its Location is not a URL: empty host", "no host"),
            (
                "http://reg.io/x",
                "its Location leaves HTTPS, and the content has no digest to verify",
                "a tag could be answered by anybody",
            ),
        ] {
            assert_eq!(follow(from, location.as_bytes()), wanted, "{location}: {source}");
        }
        assert_eq!(follow("http://127.0.0.1:1/a", b"https://reg.io/b"), "https://reg.io/b");
        // Latin-1, as an old server sends it.
        assert_eq!(follow(from, b"/\xFC"), "https://reg.io/%FC");
        let headers = HeaderMap::new();
        assert_eq!(location(&from.parse().unwrap(), &headers), Err(BadLocation::Missing));
    }

    #[test]
    fn location_may_leave_https_for_verified_content() {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_static("http://cdn.io/x"));
        let next = redirection(&"https://reg.io/".parse().unwrap(), &headers, true);
        assert_eq!(next.map(|it| it.to_string()), Ok("http://cdn.io/x".to_owned()));
    }
}
