//! Credentials for registries from the configuration of Docker.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// A user name and a password.
pub type Credentials = (String, String);

/// The folder of the user's Docker configuration, if it exists: `DOCKER_CONFIG`, else `~/.docker`.
pub fn docker_config_folder() -> Option<PathBuf> {
    let set = std::env::var_os("DOCKER_CONFIG").filter(|it| !it.is_empty()).map(PathBuf::from);
    set.or_else(|| Some(std::env::home_dir()?.join(".docker"))).filter(|it| it.is_dir())
}

/// The credentials of a registry from a credential helper or from the user's Docker configuration, which is not written.
/// `key` is the registry's key in that configuration; see [`crate::reference::Reference::credential_key`].
pub fn credentials_for(key: &str) -> Option<Credentials> {
    let text = fs::read(docker_config_folder()?.join("config.json")).ok()?;
    let config: Value = serde_json::from_slice(&text).ok()?;
    let helper = config["credHelpers"][key].as_str().or(config["credsStore"].as_str());
    if let Some(found) = helper.filter(|it| !it.is_empty()).and_then(|it| ask_helper(it, key)) {
        return Some(found);
    }
    let auth = BASE64_STANDARD.decode(config["auths"][key]["auth"].as_str()?).ok()?;
    let auth = String::from_utf8(auth).ok()?;
    auth.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

/// `docker-credential-NAME get`, with the registry on its standard input (docker-credential-helpers, "Development").
fn ask_helper(name: &str, key: &str) -> Option<Credentials> {
    let mut command = Command::new(format!("docker-credential-{name}"));
    let command = command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    child.stdin.take()?.write_all(key.as_bytes()).ok()?;
    let output = child.wait_with_output().ok().filter(|it| it.status.success())?;
    let found: Value = serde_json::from_slice(&output.stdout).ok()?;
    Some((found["Username"].as_str()?.to_owned(), found["Secret"].as_str()?.to_owned()))
}
