//! The credential helper in which docker keeps the login of a registry.

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use ecr_oci::credentials::{AuthFile, HelperError, ask_helper, docker_config_folder};
use serde_json::{Map, Value};

use super::Engine;

/// A credential helper of docker's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginHelper {
    /// The NAME of the program `docker-credential-NAME`.
    name: String,
    /// The key that sets it: `credsStore` or `credHelpers`.
    key: &'static str,
    /// The configuration file.
    pub file: PathBuf,
}

/// amazon-ecr-credential-helper. It asks ECR for a token each time, and refuses to store one, or ignores it with
/// AWS_ECR_IGNORE_CREDS_STORAGE (awslabs/amazon-ecr-credential-helper, README, "Notes").
const ECR_LOGIN: &str = "ecr-login";

impl Engine {
    /// The helper that docker is set to use for `host`. podman is set by other files.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn login_helper(&self, host: &str) -> Result<Option<LoginHelper>> {
        if self.podman_version()?.is_some() {
            return Ok(None);
        }
        let file = docker_config_folder().map(|it| it.join("config.json"));
        Ok(file.and_then(|file| {
            let (name, key) = configured(&AuthFile::read(&file)?.into_content(), host)?;
            Some(LoginHelper { name, key, file })
        }))
    }
}

/// The name of the helper, and the key that sets it. An empty name stands for the configuration file itself
/// (`ConfigFile.GetCredentialsStore` in docker/cli).
fn configured(config: &Map<String, Value>, host: &str) -> Option<(String, &'static str)> {
    let own = config.get("credHelpers").and_then(|it| it.get(host)).map(|it| (it, "credHelpers"));
    let (name, key) = own.or_else(|| Some((config.get("credsStore")?, "credsStore")))?;
    name.as_str().filter(|it| !it.is_empty()).map(|it| (it.to_owned(), key))
}

impl LoginHelper {
    /// Whether the helper logs in by itself, so that docker can store no login in it.
    pub fn logs_in_by_itself(&self) -> bool {
        self.name == ECR_LOGIN
    }

    /// Whether the helper has credentials for `host`.
    ///
    /// # Errors
    /// The helper cannot be run, fails, or does not answer.
    pub fn knows(&self, host: &str) -> Result<bool, HelperError> {
        ask_helper(&self.name, host).map(|it| it.is_some())
    }

    /// The name of the program.
    pub fn program(&self) -> String {
        format!("docker-credential-{}", self.name)
    }

    /// How to have docker store the login of `host` in its file.
    pub fn way_around(&self, host: &str) -> String {
        format!(
            "to have docker store the login in its own file, add `\"{host}\": \"\"` to `credHelpers` in {}",
            self.file.display()
        )
    }
}

/// The program, with the setting that chooses it.
impl fmt::Display for LoginHelper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (`{}` in {})", self.program(), self.key, self.file.display())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn login_helper_is_that_of_the_host_or_of_all() {
        let rows = [
            (json!({}), None),
            (json!({"credsStore": "ecr-login"}), Some(("ecr-login", "credsStore"))),
            (json!({"credsStore": ""}), None),
            (
                json!({"credsStore": "desktop", "credHelpers": {"reg.io": "ecr-login"}}),
                Some(("ecr-login", "credHelpers")),
            ),
            (json!({"credsStore": "ecr-login", "credHelpers": {"reg.io": ""}}), None),
            (
                json!({"credsStore": "desktop", "credHelpers": {"other.io": "x"}}),
                Some(("desktop", "credsStore")),
            ),
        ];
        for (config, expected) in rows {
            let found = configured(config.as_object().unwrap(), "reg.io");
            assert_eq!(found, expected.map(|(name, key)| (name.to_owned(), key)), "{config}");
        }
    }
}
