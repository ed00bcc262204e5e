//! What AWS's tools take from their environment: variables and profile files (AWS SDKs and Tools Reference Guide,
//! "Settings reference"), in which an empty value counts as an unset one.
//!
//! The SDK is given a cleaned copy of both. It takes an empty variable or key for a value, and panics on an empty
//! endpoint (smithy-lang/smithy-rs#1496).

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::Result;
use aws_config::profile::ProfileSet;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};

mod checks;
mod credentials;
mod endpoints;
mod error;
mod files;
mod first_error;
mod profile_text;

pub use credentials::with_credentials;
pub use error::InvalidEnvironment;

/// The variables that are set to something.
pub type Variables = BTreeMap<String, String>;

/// The variables, profile files and profile of one run, which were found to be usable. They contain keys, so that there
/// is no `Debug`.
pub struct Environment {
    variables: Variables,
    files: EnvConfigFiles,
    profiles: ProfileSet,
    profile: Option<NamedProfile>,
}

/// A profile that the user named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedProfile {
    pub name: String,
    pub source: ProfileSource,
}

/// Where the name of a profile comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileSource {
    /// `--aws-profile`, which excludes credentials of the environment variables.
    Flag,
    /// `AWS_PROFILE`.
    Variable,
    /// `aws-profile` of an environment of the workspace. It wins over `AWS_PROFILE`, because the environment was chosen for
    /// this command; but not over credentials in the variables, which a CI job has in place of profiles.
    Configuration,
}

impl Environment {
    /// Reads the environment. `profile` is the flag `--aws-profile`, `configured` the profile of the workspace's environment.
    ///
    /// # Errors
    /// [`InvalidEnvironment`] with all problems: a profile that does not exist, a malformed endpoint, half of a key pair.
    /// A profile file is not valid.
    pub async fn read(profile: Option<&str>, configured: Option<&str>) -> Result<Self> {
        let mut variables = set_variables(std::env::vars_os());
        let files = files::read(&variables)?;
        let configured = match configured {
            Some(name) if has_credentials(&variables) && !takes_them_over(&files, name).await => None,
            configured => configured,
        };
        let profile = named_profile(profile, configured, &variables);
        let name = profile.as_ref().map_or(DEFAULT_PROFILE, |it| &it.name).to_owned();
        let profiles = load_profiles(&files, name.clone()).await?;
        let ignores_endpoints = endpoints::are_ignored(&variables, &profiles);
        if ignores_endpoints {
            // The SDK ignores them for its own requests, but not for those that assume a role.
            variables.retain(|key, _| !key.starts_with("AWS_ENDPOINT_URL"));
        }
        checks::check(&variables, &profiles, profile.as_ref(), &files, ignores_endpoints)?;
        Ok(Self { files: files.for_sdk(ignores_endpoints), variables, profiles, profile })
    }

    /// The region of the environment variables, with its variable. The SDK reads the first, and the AWS CLI also the second.
    pub fn region(&self) -> Option<(&'static str, &str)> {
        let of = |it| Some((it, self.variables.get(it)?.as_str()));
        ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(of)
    }

    /// The region of the profile.
    pub fn profile_region(&self) -> Option<&str> {
        self.profiles.get("region")
    }

    /// The name of the profile, whether or not there is one.
    pub fn profile_name(&self) -> &str {
        self.profile.as_ref().map_or(DEFAULT_PROFILE, |it| &it.name)
    }

    /// Whether the variables or the profile give credentials, or say where to get them. Those of the instance metadata service
    /// do not count.
    pub fn has_credentials(&self) -> bool {
        has_credentials(&self.variables)
            || PROFILE_CREDENTIALS.iter().any(|it| self.profiles.get(it).is_some())
    }

    /// The endpoint that is configured for ECR, if any.
    pub fn ecr_endpoint(&self) -> Option<String> {
        let files = endpoints::of_service(&self.variables, &self.profiles, "ECR")?;
        Some(files.url)
    }

    /// Loads the configuration of the SDK from this environment.
    pub fn loader(&self) -> ConfigLoader {
        let is_named_by_flag = self.names_profile_by_flag();
        let variables = self.variables.iter().filter(|(key, _)| !is_named_by_flag || !gives_credentials(key));
        let variables: Vec<_> = variables.map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .env(Env::from_slice(&variables))
            .profile_files(self.files.clone());
        match &self.profile {
            Some(profile) => loader.profile_name(&profile.name),
            None => loader,
        }
    }

    /// Whether `--aws-profile` was passed.
    fn names_profile_by_flag(&self) -> bool {
        self.profile.as_ref().is_some_and(|it| it.source == ProfileSource::Flag)
    }
}

/// The profile of a user who names none.
const DEFAULT_PROFILE: &str = "default";

/// The variables with a value. Values that are not UTF-8 are left out, as in the SDK.
fn set_variables(all: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>) -> Variables {
    let text = all.filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    text.filter(|(_, value)| !value.is_empty()).collect()
}

fn named_profile(
    flag: Option<&str>,
    configured: Option<&str>,
    variables: &Variables,
) -> Option<NamedProfile> {
    let named = |name: &str, source| NamedProfile { name: name.to_owned(), source };
    let flag = flag.filter(|it| !it.is_empty()).map(|it| named(it, ProfileSource::Flag));
    flag.or_else(|| configured.map(|it| named(it, ProfileSource::Configuration)))
        .or_else(|| variables.get("AWS_PROFILE").map(|it| named(it, ProfileSource::Variable)))
}

/// Whether the variables give this process credentials. They win over the profile that a workspace's environment names.
fn has_credentials(variables: &Variables) -> bool {
    CREDENTIALS.iter().any(|it| variables.contains_key(*it))
}

/// Whether a profile assumes a role with the credentials of the variables, so that it does not contradict them (AWS SDKs and
/// Tools Reference Guide, "Assume role credential provider", `credential_source`).
async fn takes_them_over(files: &files::ProfileFiles, profile: &str) -> bool {
    let profiles = load_profiles(files, profile.to_owned()).await;
    profiles.is_ok_and(|it| it.get("credential_source") == Some("Environment"))
}

/// The variables that give a process credentials of its own, as CI systems and containers do.
const CREDENTIALS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// The keys that give a profile credentials of its own (AWS SDKs and Tools Reference Guide, "Standardized credential
/// providers").
const PROFILE_CREDENTIALS: [&str; 6] =
    ["aws_access_key_id", "role_arn", "credential_process", "sso_session", "sso_start_url", "login_session"];

/// Whether a variable gives credentials by itself. Those of the environment may belong to another account than the
/// profile of `--aws-profile`; the AWS CLI ignores the same ones with `--profile`.
fn gives_credentials(variable: &str) -> bool {
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    let web_identity = ["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_SESSION_NAME"];
    keys.contains(&variable) || web_identity.contains(&variable)
}

async fn load_profiles(files: &files::ProfileFiles, profile: String) -> Result<ProfileSet> {
    let load = async |from: &EnvConfigFiles| {
        let (fs, env) = (Fs::real(), Env::from_slice(&[]));
        aws_config::profile::load(&fs, &env, from, Some(Cow::Owned(profile.clone()))).await
    };
    match load(&files.for_sdk(false)).await {
        Ok(profiles) => Ok(profiles),
        // The SDK names the file only if it reads the file itself.
        Err(error) => Err(match load(&files.by_path()).await {
            Err(named) => named.into(),
            Ok(_) => error.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_variables_leaves_out_empty_ones() {
        let all = [("AWS_REGION", ""), ("AWS_PROFILE", "p"), ("HOME", "")];
        let all = all.map(|(key, value)| (key.into(), value.into()));
        assert_eq!(set_variables(all.into_iter()), Variables::from([("AWS_PROFILE".into(), "p".into())]));
    }

    #[test]
    fn named_profile_is_that_of_the_flag_first() {
        let variables = Variables::from([("AWS_PROFILE".into(), "p".into())]);
        let source = |flag| named_profile(flag, None, &variables).map(|it| (it.name, it.source));
        assert_eq!(source(Some("q")), Some(("q".to_owned(), ProfileSource::Flag)));
        assert_eq!(source(Some("")), Some(("p".to_owned(), ProfileSource::Variable)));
        assert_eq!(named_profile(None, None, &Variables::new()), None);
        let configured = |variables: &Variables| named_profile(None, Some("r"), variables).map(|it| it.name);
        assert_eq!(configured(&variables).as_deref(), Some("r"));
        assert!(!has_credentials(&variables));
        assert!(has_credentials(&Variables::from([("AWS_ACCESS_KEY_ID".into(), "k".into())])));
    }
}
