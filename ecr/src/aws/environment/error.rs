//! What is wrong with the environment.

use std::fmt;

use ecr_types::document::did_you_mean;
use ecr_types::human::listed;
use ecr_types::url::redacted;

use super::ProfileSource;

/// All problems of an environment; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidEnvironment(pub Vec<EnvironmentProblem>);

/// A problem of the environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentProblem {
    /// No file defines the profile that the user named.
    #[error("there is no AWS profile `{name}`, which {} names", source_name(*.origin))]
    NoProfile {
        /// The name.
        name: String,
        /// What names it.
        origin: ProfileSource,
        /// The profiles that exist, sorted.
        profiles: Vec<String>,
        /// The files that were read, that of the configuration first.
        files: Vec<String>,
        /// Whether the configuration has a section `[NAME]`.
        has_bare_section: bool,
    },
    /// No file defines the profile whose credentials assume the role of another profile.
    #[error("there is no AWS profile `{name}`, which profile `{profile}` names as its `source_profile`")]
    NoSourceProfile {
        /// The name.
        name: String,
        /// The profile with the role.
        profile: String,
        /// The profiles that exist, sorted.
        profiles: Vec<String>,
    },
    /// Profiles name each other as their `source_profile`.
    #[error("the AWS profiles {} name each other as their `source_profile`", listed(.profiles))]
    ProfileLoop {
        /// The profiles, in the order in which they are named.
        profiles: Vec<String>,
    },
    /// No file defines the SSO session of a profile.
    #[error("there is no section [sso-session {name}], which AWS profile `{profile}` names")]
    NoSsoSession {
        /// The name.
        name: String,
        /// The profile.
        profile: String,
        /// The sessions that exist, sorted.
        sessions: Vec<String>,
    },
    /// The environment has the ID of a key without the key.
    #[error("AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not")]
    NoSecretKey,
    /// An endpoint cannot be used.
    #[error("{source_name} is `{}`, but {flaw}", redacted(.url))]
    Endpoint {
        /// The variable or the key.
        source_name: String,
        /// Its value.
        url: String,
        /// What is wrong.
        flaw: &'static str,
    },
}

fn source_name(source: ProfileSource) -> &'static str {
    match source {
        ProfileSource::Flag => "--aws-profile",
        ProfileSource::Variable => "AWS_PROFILE",
        ProfileSource::Configuration => "the key `aws-profile` of the environment",
    }
}

impl EnvironmentProblem {
    /// What the user can do about it.
    pub fn help(&self) -> String {
        match self {
            Self::NoProfile { name, files, has_bare_section: true, .. } => {
                let file = listed(files.get(..1).unwrap_or_default());
                format!(
                    "write [profile {name}] in place of [{name}] in {file}: only the file of credentials has names alone"
                )
            }
            Self::NoProfile { name, profiles, files, .. } if profiles.is_empty() => {
                format!(
                    "create it with `aws configure --profile {name}`; no profile is defined in {}",
                    listed(files)
                )
            }
            Self::NoProfile { name, profiles, .. } | Self::NoSourceProfile { name, profiles, .. } => {
                similar(name, profiles, "the profiles are")
            }
            Self::NoSsoSession { name, sessions, .. } if sessions.is_empty() => {
                format!("create it with `aws configure sso-session`, and name it `{name}`")
            }
            Self::NoSsoSession { name, sessions, .. } => similar(name, sessions, "the SSO sessions are"),
            Self::ProfileLoop { .. } => {
                "give one of them keys of its own, or another `source_profile`".to_owned()
            }
            Self::NoSecretKey => "set AWS_SECRET_ACCESS_KEY as well, or unset AWS_ACCESS_KEY_ID".to_owned(),
            Self::Endpoint { .. } => {
                "write an endpoint such as `http://127.0.0.1:4510`, or remove it to use AWS's own".to_owned()
            }
        }
    }
}

fn similar(name: &str, existing: &[String], title: &str) -> String {
    match did_you_mean(name, existing.iter().map(String::as_str)) {
        Some(similar) => format!("did you mean `{similar}`? {title} {}", listed(existing)),
        None => format!("{title} {}", listed(existing)),
    }
}

impl InvalidEnvironment {
    /// What the user can do about the problems.
    pub fn help(&self) -> String {
        let mut helps: Vec<_> = self.0.iter().map(EnvironmentProblem::help).collect();
        helps.dedup();
        helps.join("; ")
    }
}

impl fmt::Display for InvalidEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&problems.join("; "))
    }
}

impl std::error::Error for InvalidEnvironment {}
