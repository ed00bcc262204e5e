//! Challenges in the header `WWW-Authenticate` (RFC 9110, section 11.6.1).
//!
//! The crate http-auth parses the grammar of the RFC and nothing else: a second space after the scheme, an address without
//! quotes, or a comma at the end make it refuse the whole header. Registries send such headers, and docker reads them.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// One challenge: a scheme with its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The authentication scheme in lower case: `bearer`, `basic`.
    pub(super) scheme: String,
    /// The parameters by their names in lower case. Of two with one name the last one counts.
    parameters: BTreeMap<String, String>,
}

impl Challenge {
    /// A parameter that is not empty.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|it| !it.is_empty())
    }
}

/// The challenges of all headers in their order. A header may have several.
pub(super) fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    headers.into_iter().flat_map(parse_one).collect()
}

fn parse_one(header: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = header.chars().peekable();
    loop {
        skip(&mut rest, |c| !is_token(c));
        let name = take(&mut rest, is_token).to_ascii_lowercase();
        if name.is_empty() {
            return found;
        }
        skip(&mut rest, char::is_whitespace);
        if rest.next_if_eq(&'=').is_none() {
            found.push(Challenge { scheme: name, ..Challenge::default() });
            continue;
        }
        skip(&mut rest, char::is_whitespace);
        let value = value(&mut rest);
        // A parameter before the first scheme belongs to nothing.
        found.last_mut().map(|it| it.parameters.insert(name, value));
    }
}

/// A quoted string (RFC 9110, section 5.6.4), or everything up to a comma or white space.
fn value(rest: &mut Peekable<Chars<'_>>) -> String {
    if rest.next_if_eq(&'"').is_none() {
        return take(rest, |c| c != ',' && !c.is_whitespace());
    }
    let mut value = String::new();
    while let Some(c) = rest.next().filter(|it| *it != '"') {
        value.extend(if c == '\\' { rest.next() } else { Some(c) });
    }
    value
}

fn skip(rest: &mut Peekable<Chars<'_>>, is_skipped: impl Fn(char) -> bool) {
    while rest.next_if(|it| is_skipped(*it)).is_some() {}
}

fn take(rest: &mut Peekable<Chars<'_>>, is_taken: impl Fn(char) -> bool) -> String {
    std::iter::from_fn(|| rest.next_if(|it| is_taken(*it))).collect()
}

/// The characters of a token (RFC 9110, section 5.6.2).
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(headers: &[&str]) -> String {
        let shown = parse(headers.iter().copied()).into_iter().map(|it| {
            let parameters = it.parameters.iter().map(|(key, value)| format!(" {key}={value}"));
            it.scheme + &parameters.collect::<String>()
        });
        shown.collect::<Vec<_>>().join(" | ")
    }

    /// Each row has its source. "tried" is what docker 28.2 and skopeo 1.9 read in the header; where it is the RFC, they read
    /// less.
    #[test]
    fn challenge_is_read_leniently() {
        for (header, wanted, source) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                "bearer realm=https://auth.docker.io/token scope=repository:a/b:pull,push service=registry.docker.io",
                "containers/image TestParseValueAndParams",
            ),
            (
                r#"Bearer realm="https://a/t",other=fun,slashed="he\"\l\lo""#,
                r#"bearer other=fun realm=https://a/t slashed=he"llo"#,
                "distribution TestAuthChallengeParse",
            ),
            (
                r#"BEARER REALM="https://A/T",Service="S""#,
                "bearer realm=https://A/T service=S",
                "RFC 9110, 11.1",
            ),
            (r#"Bearer  realm="a" ,  service="s""#, "bearer realm=a service=s", "tried"),
            ("Bearer\trealm=\"a\"", "bearer realm=a", "tried"),
            (r#"Bearer realm = "a", service="s""#, "bearer realm=a service=s", "RFC 9110, 11.2, BWS"),
            (r#"Bearer service=s,realm="a""#, "bearer realm=a service=s", "any order"),
            (
                "Bearer realm=https://a/t,service=s",
                "bearer realm=https://a/t service=s",
                "an address without quotes",
            ),
            (r#"Bearer service="",realm="a""#, "bearer realm=a service=", "containerd TestParseAuthHeader"),
            (r#"Bearer realm="a",service="a\\b""#, r"bearer realm=a service=a\b", "tried"),
            (r#"Bearer realm="a",service="abc"#, "bearer realm=a service=abc", "a quote without an end"),
            (r#"Bearer realm="a","#, "bearer realm=a", "tried"),
            (
                r#"Bearer realm="a",,service="s""#,
                "bearer realm=a service=s",
                "RFC 9110, 5.6.1, empty elements",
            ),
            (r#"Bearer ,realm="a""#, "bearer realm=a", "RFC 9110, 5.6.1"),
            (r#"Bearer realm="a" service="s""#, "bearer realm=a service=s", "a comma is missing"),
            (r#"Bearer realm="A",realm="B""#, "bearer realm=B", "tried: the last one"),
            (r#"Bearer realm="a",service="ü""#, "bearer realm=a service=ü", "tried"),
            (
                r#"Basic realm="b", Bearer realm="a",service="s""#,
                "basic realm=b | bearer realm=a service=s",
                "RFC 9110, 11.6.1, several challenges",
            ),
            (
                r#"Newauth realm="apps", type=1, title="Login to \"apps\"", Basic realm="simple""#,
                r#"newauth realm=apps title=Login to "apps" type=1 | basic realm=simple"#,
                "RFC 9110, 11.6.1, example",
            ),
            (r#"Negotiate, Bearer realm="a""#, "negotiate | bearer realm=a", "RFC 9110, 11.6.1"),
            ("Basic", "basic", "go-containerregistry ping_test.go"),
            ("BASIC", "basic", "go-containerregistry ping_test.go"),
            ("", "", "tried"),
            (",", "", "tried"),
            ("=\"", "", "no scheme"),
        ] {
            assert_eq!(shown(&[header]), wanted, "{header}: {source}");
        }
        // containers/image reads several headers, and so do docker and containerd.
        assert_eq!(
            shown(&["Negotiate YWJj", "", r#"Bearer realm="a""#]),
            "negotiate | ywjj | bearer realm=a"
        );
    }
}
