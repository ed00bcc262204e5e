//! Credentials for registries from the files of docker, podman and skopeo, and from their credential helpers. Nothing is
//! written.
//!
//! The crate docker_credential reads such files, too. It is not used because it requires exact keys, ignores all of a file of
//! which a part is malformed, and waits for a helper without an end.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

mod auth_file;
mod helper;
mod registry_key;
mod sources;

pub use auth_file::AuthFile;
pub use helper::{HelperError, get as ask_helper};
pub use sources::{docker_config_folder, podman_auth_files};

use crate::reference::Reference;
use auth_file::Source;

/// Credentials for a registry, of one of the kinds that docker knows (docker, `registry.AuthConfig`).
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user name and a password.
    Basic {
        /// The user name.
        user: String,
        /// The password, or a token in its place.
        password: String,
    },
    /// A refresh token (`identitytoken`), which the token endpoint exchanges for an access token (distribution, "OAuth2 Token
    /// Authentication").
    IdentityToken(String),
    /// An access token (`registrytoken`), which is sent to the registry itself.
    RegistryToken(String),
}

/// The result of a search for credentials.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lookup {
    /// The credentials; `None` for anonymous access.
    pub credentials: Option<Credentials>,
    /// Files that could not be read and helpers that failed, each as a sentence that names it. They are not errors, because
    /// other sources or anonymous access may do.
    pub problems: Vec<String>,
}

impl Credentials {
    /// The value of the header `Authorization` for user and password (RFC 7617); `None` for a token.
    pub(crate) fn basic(&self) -> Option<String> {
        match self {
            Self::Basic { user, password } => {
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
            }
            Self::IdentityToken(_) | Self::RegistryToken(_) => None,
        }
    }
}

/// The kind only, because errors and logs must not contain a secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic",
            Self::IdentityToken(_) => "IdentityToken",
            Self::RegistryToken(_) => "RegistryToken",
        })
    }
}

/// Searches the user's files for the credentials of an image's registry, in this order: the variable `DOCKER_AUTH_CONFIG`,
/// the file `REGISTRY_AUTH_FILE`, docker's `config.json`, podman's `auth.json`. In each file, a credential helper that is
/// configured for the registry is asked first. The first source that has credentials wins.
///
/// This may wait for a helper for a minute.
pub fn credentials_for(reference: &Reference) -> Lookup {
    let mut problems = Vec::new();
    let credentials = sources::auth_files(&mut problems).iter().find_map(|file| {
        let found = file.sources(reference).into_iter().find_map(|it| ask(&it, &mut problems));
        problems.extend(file.problems_for(reference));
        found
    });
    Lookup { credentials, problems }
}

fn ask(source: &Source, problems: &mut Vec<String>) -> Option<Credentials> {
    match source {
        Source::Stored(credentials) => Some(credentials.clone()),
        Source::Helper { name, key } => helper::get(name, key).unwrap_or_else(|problem| {
            problems.push(problem.to_string());
            None
        }),
    }
}
