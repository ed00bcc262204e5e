//! Credentials of a profile whose role is assumed with the keys of the environment.

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use ecr_oci::http::HttpClient;

use super::Environment;
use super::first_error::FirstError;

/// The configuration with credentials whose errors are the same for every request.
pub async fn with_credentials(environment: &Environment, config: SdkConfig, http: &HttpClient) -> SdkConfig {
    let credentials = match from_variables(environment, &config).await {
        Some(credentials) => Some(credentials),
        None => config.credentials_provider(),
    };
    let Some(credentials) = credentials else { return config };
    let credentials = SharedCredentialsProvider::new(FirstError::new(credentials, http.clone()));
    config.into_builder().credentials_provider(credentials).build()
}

/// The credentials of the profile of `--aws-profile`, if that or a profile that it refers to has `credential_source =
/// Environment`. The SDK does not see the keys of the environment, because it would prefer them to the profile; all other
/// profiles are its own work.
async fn from_variables(environment: &Environment, config: &SdkConfig) -> Option<SharedCredentialsProvider> {
    let (roles, keys) = (environment.roles_from_variables()?, environment.keys()?);
    let mut credentials = SharedCredentialsProvider::new(keys);
    for role in roles {
        let mut builder = AssumeRoleProvider::builder(role.arn).configure(config);
        if let Some(id) = role.external_id {
            builder = builder.external_id(id);
        }
        if let Some(name) = role.session_name {
            builder = builder.session_name(name);
        }
        credentials = SharedCredentialsProvider::new(builder.build_from_provider(credentials).await);
    }
    Some(credentials)
}

/// A role that a profile names.
struct Role {
    arn: String,
    external_id: Option<String>,
    session_name: Option<String>,
}

impl Environment {
    /// The keys in the variables.
    fn keys(&self) -> Option<Credentials> {
        let variable = |key| self.variables.get(key).cloned();
        let (id, key) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
        Some(Credentials::new(id, key, variable("AWS_SESSION_TOKEN"), None, "Environment"))
    }

    /// The roles to assume one after the other, beginning with the keys of the environment; `None` if the profile begins
    /// with other credentials.
    fn roles_from_variables(&self) -> Option<Vec<Role>> {
        let mut name = self.profile.as_ref().filter(|_| self.names_profile_by_flag())?.name.as_str();
        let mut roles = Vec::new();
        // A loop of profiles is reported by the SDK.
        for _ in self.profiles.profiles() {
            let profile = self.profiles.get_profile(name)?;
            let text = |key| profile.get(key).map(str::to_owned);
            let (external_id, session_name) = (text("external_id"), text("role_session_name"));
            roles.push(Role { arn: text("role_arn")?, external_id, session_name });
            if profile.get("credential_source").is_some_and(|it| it.eq_ignore_ascii_case("Environment")) {
                roles.reverse();
                return Some(roles);
            }
            name = profile.get("source_profile")?;
        }
        None
    }
}
