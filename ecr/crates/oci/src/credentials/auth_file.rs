//! The content of docker's `config.json` and podman's `auth.json`, which have the same form (docker/cli,
//! `cli/config/configfile/file.go`; containers-auth.json(5)).

use std::collections::BTreeMap;
use std::fmt::Display;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use ecr_types::text;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Credentials;
use super::registry_key::{docker_key, fit};
use crate::reference::Reference;

/// The credentials and credential helpers of one file.
#[derive(Debug, Default)]
pub struct AuthFile {
    /// The path or variable, for messages.
    name: String,
    auths: BTreeMap<String, Value>,
    /// `credHelpers`: the name of a helper by registry. An empty name is no helper.
    helpers: BTreeMap<String, String>,
    /// `credsStore`: the helper for all other registries.
    store: Option<String>,
    /// All that the file has besides.
    others: Map<String, Value>,
    problems: Vec<String>,
}

/// One place that may have credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Credentials in the file itself.
    Stored(Credentials),
    /// The helper `docker-credential-NAME`, which is asked for `key`.
    Helper { name: String, key: String },
}

impl AuthFile {
    /// Reads the content of the file `name`. A part that is malformed is left out and becomes one of
    /// [`AuthFile::problems`]; the other parts are used.
    pub fn parse(name: &str, content: Vec<u8>) -> Self {
        let mut file = Self { name: name.to_owned(), ..Self::default() };
        match object(content) {
            Ok(object) => file.fill(object),
            Err(problem) => file.problem(&problem),
        }
        file
    }

    /// A file that exists and cannot be read.
    pub(super) fn unreadable(name: &str, reason: &dyn Display) -> Self {
        let mut file = Self { name: name.to_owned(), ..Self::default() };
        file.problem(reason);
        file
    }

    /// What is malformed: sentences that name the file.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The content of the file without what is malformed.
    pub fn into_content(self) -> Map<String, Value> {
        let Self { auths, helpers, store, mut others, .. } = self;
        let helpers = helpers.into_iter().map(|(key, name)| (key, Value::String(name)));
        others.insert("auths".to_owned(), auths.into_iter().collect());
        others.insert("credHelpers".to_owned(), helpers.collect());
        others.extend(store.map(|it| ("credsStore".to_owned(), Value::String(it))));
        others
    }

    /// The sources for an image, in the order in which they are to be tried: the helper, then credentials in the file. docker
    /// asks the helper only; here what stands beside it is used if the helper has nothing.
    pub(super) fn sources(&self, reference: &Reference) -> Vec<Source> {
        let stored = self.entries(reference).filter_map(|(_, it)| entry(it).ok().flatten());
        self.helper(reference).into_iter().chain(stored.map(Source::Stored)).collect()
    }

    /// The entries for an image that are malformed.
    pub(super) fn problems_for(&self, reference: &Reference) -> Vec<String> {
        let wrong = self.entries(reference).filter_map(|(key, it)| Some((key, entry(it).err()?)));
        wrong.map(|(key, reason)| format!("`{}`: the entry of `{key}` {reason}", self.name)).collect()
    }

    fn fill(&mut self, mut object: Map<String, Value>) {
        if let Some(auths) = self.part(&mut object, "auths") {
            self.auths = auths.into_iter().filter(|(_, it)| !it.is_null()).collect();
        }
        for (key, name) in self.part(&mut object, "credHelpers").into_iter().flatten() {
            match name {
                Value::String(name) => drop(self.helpers.insert(key, name)),
                Value::Null => {}
                _ => self.problem(&format!("`credHelpers` has no text for `{key}`")),
            }
        }
        match take(&mut object, "credsStore") {
            Some(Value::String(name)) => self.store = Some(name).filter(|it| !it.is_empty()),
            None | Some(Value::Null) => {}
            Some(_) => self.problem(&"`credsStore` is not a text"),
        }
        self.others = object;
    }

    /// Takes an object out of the file. Go, in which docker is written, takes `null` for an empty one.
    fn part(&mut self, object: &mut Map<String, Value>, key: &str) -> Option<Map<String, Value>> {
        match take(object, key) {
            Some(Value::Object(part)) => Some(part),
            None | Some(Value::Null) => None,
            Some(_) => {
                self.problem(&format!("`{key}` is not an object"));
                None
            }
        }
    }

    fn problem(&mut self, reason: &dyn Display) {
        self.problems.push(format!("`{}`: {reason}", self.name));
    }

    /// The entries for an image, the best first.
    fn entries(&self, reference: &Reference) -> impl Iterator<Item = (&String, &Value)> {
        let fitting = self.auths.iter().filter_map(|it| Some((fit(it.0, reference)?, it)));
        let mut fitting: Vec<_> = fitting.collect();
        fitting.sort_by_key(|(fit, _)| *fit);
        fitting.into_iter().map(|(_, it)| it)
    }

    /// The helper for an image. An entry of `credHelpers` replaces `credsStore`, also if it is empty.
    fn helper(&self, reference: &Reference) -> Option<Source> {
        let fitting = self.helpers.iter().filter_map(|(key, name)| Some((fit(key, reference)?, key, name)));
        let (name, key) = match fitting.min_by_key(|(fit, ..)| *fit) {
            Some((_, key, name)) => (Some(name), key.as_str()),
            None => (self.store.as_ref(), docker_key(reference)),
        };
        let name = name.filter(|it| !it.is_empty())?;
        Some(Source::Helper { name: name.clone(), key: key.to_owned() })
    }
}

/// The JSON object of a file. An empty file is an empty object, as in docker. The error is a part of a sentence that begins
/// with the name of the file, and it quotes nothing of the content.
pub(super) fn object(content: Vec<u8>) -> Result<Map<String, Value>, String> {
    let text = text::decode(content).map_err(|it| it.to_string())?;
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match first_value(&text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err("it is not a JSON object".to_owned()),
        Err(error) => Err(format!("it is not JSON: {error}")),
    }
}

/// The first JSON value of a text. What follows it is ignored, as by Go's decoder, which docker uses.
pub(super) fn first_value<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    T::deserialize(&mut serde_json::Deserializer::from_str(text))
}

/// Takes a field out of an object. Go matches the names of fields in any case.
fn take(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let key = object.keys().find(|it| it.eq_ignore_ascii_case(name))?.clone();
    object.remove(&key)
}

/// The credentials of an entry of `auths`; `None` if it has none, as where docker keeps them in a helper. The error is a part
/// of a sentence.
fn entry(entry: &Value) -> Result<Option<Credentials>, &'static str> {
    let Value::Object(entry) = entry else { return Err("is not an object") };
    let value =
        |name: &str| entry.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let field = |name: &str| value(name).and_then(Value::as_str).filter(|it| !it.is_empty());
    if let Some(token) = field("registrytoken") {
        return Ok(Some(Credentials::RegistryToken(token.to_owned())));
    }
    if let Some(token) = field("identitytoken") {
        return Ok(Some(Credentials::IdentityToken(token.to_owned())));
    }
    if let Some(auth) = field("auth") {
        return basic(auth);
    }
    Ok(field("username").zip(field("password")).map(|(user, password)| Credentials::of(user, password)))
}

impl Credentials {
    /// The credentials for a user name and a secret. The user `<token>` marks an identity token (docker/cli,
    /// `cli/config/credentials/native_store.go`).
    pub(super) fn of(user: &str, secret: &str) -> Self {
        match user {
            "<token>" => Self::IdentityToken(secret.to_owned()),
            _ => Self::Basic { user: user.to_owned(), password: secret.to_owned() },
        }
    }
}

/// The credentials of the base64 of `user:password`; `None` if the password is empty. White space is ignored, because editors
/// break long lines and Go's decoder ignores line breaks, too. NUL bytes around the password are removed (docker/cli,
/// `decodeAuth`). Padding is optional.
fn basic(auth: &str) -> Result<Option<Credentials>, &'static str> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let auth: String = auth.chars().filter(|it| !it.is_whitespace()).collect();
    let bytes = GeneralPurpose::new(&STANDARD, config).decode(auth).unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap_or_default();
    let (user, password) =
        text.split_once(':').ok_or("has an `auth` that is not the base64 of `user:password`")?;
    let password = password.trim_matches('\0');
    Ok((!password.is_empty()).then(|| Credentials::of(user, password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first source of a file for an image.
    fn first(config: &str, image: &str) -> String {
        let file = AuthFile::parse("F", config.as_bytes().to_vec());
        match file.sources(&image.parse().unwrap()).into_iter().next() {
            Some(Source::Stored(Credentials::Basic { user, password })) => format!("{user}:{password}"),
            Some(Source::Stored(Credentials::IdentityToken(token))) => format!("identity {token}"),
            Some(Source::Stored(Credentials::RegistryToken(token))) => format!("bearer {token}"),
            Some(Source::Helper { name, key }) => format!("{name} for {key}"),
            None => "none".to_owned(),
        }
    }

    /// `dTpw` is `u:p`, `djpx` is `v:q`. Each row has its source; "tried" is docker 28.2 and skopeo 1.9 against a registry
    /// that logs the `Authorization` header.
    #[test]
    fn auth_file_keys_are_those_of_docker_and_podman() {
        for (key, image, wanted, source) in [
            ("reg.io", "reg.io/a/b", "u:p", "docker/cli configfile/file_test.go"),
            ("reg.io:5000", "reg.io:5000/a", "u:p", "tried"),
            ("reg.io:5000", "reg.io/a", "none", "tried: default ports are not added"),
            ("https://reg.io", "reg.io/a", "u:p", "docker/cli file_store_test.go TestConvertToHostname"),
            ("http://reg.io/", "reg.io/a", "u:p", "TestConvertToHostname"),
            (
                "https://reg.io/v1/",
                "reg.io/a",
                "u:p",
                "go-containerregistry keychain_test.go TestVariousPaths",
            ),
            ("https://reg.io/v2/", "reg.io/a", "u:p", "TestVariousPaths"),
            ("http://reg.io:5000/v2/", "reg.io:5000/a", "u:p", "tried"),
            ("HTTPS://reg.io", "reg.io/a", "u:p", "tried with docker"),
            ("reg.io/", "reg.io/a", "u:p", "tried with docker"),
            ("reg.io/v2/", "reg.io/a", "u:p", "tried with docker"),
            ("reg.io/team", "reg.io/team/a", "u:p", "containers-auth.json(5)"),
            ("reg.io/team", "reg.io/other", "u:p", "tried with docker, which ignores the path"),
            ("https://reg.io/team", "reg.io/other", "u:p", "tried"),
            ("other.io", "reg.io/a", "none", "tried"),
            ("reg.io.evil", "reg.io/a", "none", "another host"),
            ("https://index.docker.io/v1/", "busybox", "u:p", "docker/cli registry_test.go"),
            ("https://index.docker.io/v1/", "docker.io/x/y", "u:p", "docker/cli registry_test.go"),
            ("https://index.docker.io/v1", "busybox", "u:p", "containers/image config_test.go TestGetAuth"),
            ("index.docker.io", "busybox", "u:p", "TestGetAuth"),
            ("docker.io", "busybox", "u:p", "TestGetAuth"),
            ("registry-1.docker.io", "x/y", "u:p", "tried with skopeo"),
            ("docker.io/library", "busybox", "u:p", "TestGetAuth, refpath.json"),
            ("docker.io/vendor", "docker.io/vendor/product", "u:p", "TestGetAuth, refpath.json"),
        ] {
            let config = format!(r#"{{"auths": {{"{key}": {{"auth": "dTpw"}}}}}}"#);
            assert_eq!(first(&config, image), wanted, "{key} for {image}: {source}");
        }
    }

    #[test]
    fn auth_file_prefers_the_key_that_fits_best() {
        for (better, worse, image) in [
            ("reg.io", "https://reg.io/v1/", "reg.io/a"),
            ("reg.io/team", "reg.io", "reg.io/team/a"),
            ("reg.io/team/a", "reg.io/team", "reg.io/team/a"),
            ("reg.io", "reg.io/te", "reg.io/team/a"),
            ("https://index.docker.io/v1/", "docker.io", "busybox"),
            ("docker.io/library", "docker.io", "busybox"),
        ] {
            let config =
                format!(r#"{{"auths": {{"{worse}": {{"auth": "djpx"}}, "{better}": {{"auth": "dTpw"}}}}}}"#);
            assert_eq!(first(&config, image), "u:p", "{better} rather than {worse}");
        }
        // An entry without credentials is what docker writes beside a helper; another one may have them.
        let config = r#"{"auths": {"reg.io": {}, "https://reg.io/v1/": {"auth": "dTpw"}}}"#;
        assert_eq!(first(config, "reg.io/a"), "u:p");
    }

    #[test]
    fn auth_file_entries_are_read_as_docker_reads_them() {
        for (entry, wanted, source) in [
            (r#"{"auth": "dTpw"}"#, "u:p", "docker/cli"),
            (r#"{"auth": "dT\npw\n"}"#, "u:p", "tried: Go's base64 skips line breaks"),
            (r#"{"auth": "dTpw\r\n"}"#, "u:p", "tried"),
            (r#"{"auth": "dTpwAAAA"}"#, "u:p", "decodeAuth trims NULs of the password"),
            (r#"{"auth": "dTpwOnE="}"#, "u:p:q", "decodeAuth cuts at the first colon"),
            (r#"{"auth": "dXM6cA"}"#, "us:p", "docker_credential decodes_regardless_of_padding"),
            (r#"{"auth": "OnA="}"#, ":p", "tried with podman, which sends an empty user"),
            (r#"{"auth": "dTo="}"#, "none", "tried: docker sends no Basic without a password"),
            (r#"{"auth": ""}"#, "none", "tried"),
            ("{}", "none", "what docker writes beside a helper"),
            ("null", "none", "tried"),
            (r#"{"username": "u", "password": "p"}"#, "u:p", "TestLoadFromReaderWithUsernamePassword"),
            (r#"{"username": "x", "password": "y", "auth": "dTpw"}"#, "u:p", "tried: `auth` wins"),
            (r#"{"username": "u"}"#, "none", "tried with docker"),
            (
                r#"{"auth": "MDA6", "identitytoken": "T"}"#,
                "identity T",
                "TestGetAuth, identity token of Azure",
            ),
            (r#"{"identitytoken": "T"}"#, "identity T", "tried with docker"),
            (r#"{"auth": "dTpw", "identitytoken": ""}"#, "u:p", "docker/cli omitempty"),
            (r#"{"auth": "dTpw", "registrytoken": "RT"}"#, "bearer RT", "tried with docker"),
            (r#"{"AUTH": "dTpw"}"#, "u:p", "tried: Go's names of fields have no case"),
            (r#"{"auth": "dTpw", "email": 5, "more": [1]}"#, "u:p", "tried: unknown fields"),
        ] {
            let config = format!(r#"{{"auths": {{"reg.io": {entry}}}}}"#);
            assert_eq!(first(&config, "reg.io/a"), wanted, "{entry}: {source}");
        }
    }

    #[test]
    fn auth_file_helpers_are_chosen_as_docker_chooses_them() {
        let auths = r#""auths": {"reg.io": {"auth": "dTpw"}}"#;
        for (helpers, image, wanted, source) in [
            (
                r#""credHelpers": {"reg.io": "h"}"#,
                "reg.io/a",
                "h for reg.io",
                "file.go getConfiguredCredentialStore",
            ),
            (r#""credHelpers": {"reg.io:5000": "h"}"#, "reg.io:5000/a/b", "h for reg.io:5000", "tried"),
            (r#""credsStore": "s""#, "reg.io/a", "s for reg.io", "tried"),
            (r#""credsStore": "s""#, "busybox", "s for https://index.docker.io/v1/", "tried"),
            (
                r#""credHelpers": {"docker.io": "h"}"#,
                "busybox",
                "h for docker.io",
                "containers/image config.go",
            ),
            (r#""credHelpers": {"other.io": "h"}, "credsStore": "s""#, "reg.io/a", "s for reg.io", "tried"),
            (r#""credHelpers": {"reg.io": "h"}, "credsStore": "s""#, "reg.io/a", "h for reg.io", "tried"),
            (
                r#""credHelpers": {"reg.io": ""}, "credsStore": "s""#,
                "reg.io/a",
                "u:p",
                "tried: it turns the store off",
            ),
            (r#""credHelpers": null, "credsStore": """#, "reg.io/a", "u:p", "tried"),
            (r#""credHelpers": {}, "credsStore": null"#, "reg.io/a", "u:p", "tried"),
            (r#""credHelpers": [], "credsStore": 5"#, "reg.io/a", "u:p", "what is malformed is left out"),
        ] {
            assert_eq!(first(&format!("{{{helpers}, {auths}}}"), image), wanted, "{helpers}: {source}");
        }
    }

    #[test]
    fn auth_file_problems_name_the_file_and_no_secret() {
        let all = |config: &[u8]| {
            let file = AuthFile::parse("F", config.to_vec());
            [file.problems(), &file.problems_for(&"reg.io/a".parse().unwrap())].concat().join("; ")
        };
        for (config, wanted) in [
            ("", ""),
            (" \n", ""),
            ("null", ""),
            ("{} trailing", ""),
            ("\u{FEFF}{}", ""),
            ("[]", "`F`: it is not a JSON object"),
            ("{", "`F`: it is not JSON: EOF while parsing an object at line 1 column 1"),
            (r#"{"auths": []}"#, "`F`: `auths` is not an object"),
            (r#"{"credHelpers": "x"}"#, "`F`: `credHelpers` is not an object"),
            (r#"{"credHelpers": {"h": 1}}"#, "`F`: `credHelpers` has no text for `h`"),
            (r#"{"auths": {"reg.io": "c2VjcmV0"}}"#, "`F`: the entry of `reg.io` is not an object"),
            (
                r#"{"auths": {"reg.io": {"auth": "c2VjcmV0"}}}"#,
                "`F`: the entry of `reg.io` has an `auth` that is not the base64 of `user:password`",
            ),
            // An entry of another registry concerns nobody here.
            (r#"{"auths": {"other.io": {"auth": "!"}}}"#, ""),
        ] {
            assert_eq!(all(config.as_bytes()), wanted, "{config}");
        }
        assert_eq!(all(b"\xFF\xFE{\0"), "`F`: it is UTF-16, not UTF-8");
    }
}
