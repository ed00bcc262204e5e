//! The document of `ecr login`.

use ecr_lifecycle::Timestamp;
use serde::Serialize;

/// The login of docker or podman at the registry. With `--print-token`, the password instead.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum LoginReport {
    /// A program was logged in.
    LoggedIn(LoggedIn),
    /// The password was printed.
    PrintedToken(PrintedToken),
}

/// The document without `--print-token`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LoggedIn {
    /// The file name of the program that was logged in: `docker`, `podman` or another one.
    pub engine: String,
    /// The time at which the login expires. Null if AWS does not return it, or if docker's credential helper gets a token
    /// for each use.
    pub expires_at: Option<Timestamp>,
    /// The host of the registry.
    pub registry: String,
    /// The user name, which is the same for every registry.
    #[cfg_attr(test, schemars(extend("const" = "AWS")))]
    pub username: &'static str,
}

/// The document with `--print-token`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PrintedToken {
    /// The time at which the password expires. Null if AWS does not return it.
    pub expires_at: Option<Timestamp>,
    /// The password. It is a secret.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub password: String,
    /// The host of the registry.
    pub registry: String,
    /// The user name, which is the same for every registry.
    #[cfg_attr(test, schemars(extend("const" = "AWS")))]
    pub username: &'static str,
}
