//! What the environment says about the registry: its region, and whose the credentials are. For a command that needs neither.

use ecr_oci::http::HttpClient;
use ecr_types::Region;
use ecr_types::error::one_line;

use super::environment::Environment;
use super::{Aws, ClientConfig, Identity};

/// The region and the account that commands would use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// `None` if no region is set, or not a valid one.
    pub region: Option<CallerRegion>,
    pub account: CallerAccount,
}

/// A region of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerRegion {
    pub name: Region,
    /// Where it is set, for people: a variable, or an AWS profile.
    pub origin: String,
}

/// Whose the credentials are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CallerAccount {
    /// Neither the variables nor the profile give any.
    #[default]
    NoCredentials,
    Known(Identity),
    /// There are credentials, and STS did not answer with their owner: why, in one line.
    Unknown(String),
}

/// Where STS is asked without a region. It is the home of the partition that most accounts are in.
const HOME: &str = "us-east-1";

impl Caller {
    /// Reads the variables and profile files. If they give credentials, STS is asked whose they are, within the limits of
    /// `http`. The instance metadata service is not asked for any, unless the profile names it.
    pub async fn find(http: HttpClient) -> Self {
        let environment = match Environment::read(None, None).await {
            Ok(environment) => environment,
            Err(error) => {
                let account = CallerAccount::Unknown(one_line(error.as_ref()));
                return Self { region: None, account };
            }
        };
        let region = region(&environment);
        let account = match environment.has_credentials() {
            true => account(region.as_ref(), http).await,
            false => CallerAccount::NoCredentials,
        };
        Self { region, account }
    }
}

fn region(environment: &Environment) -> Option<CallerRegion> {
    let variable = environment.region().map(|(variable, region)| (region, variable.to_owned()));
    let profile = || {
        let region = environment.profile_region()?;
        Some((region, format!("the AWS profile `{}`", environment.profile_name())))
    };
    let (name, origin) = variable.or_else(profile)?;
    Some(CallerRegion { name: name.parse().ok()?, origin })
}

async fn account(region: Option<&CallerRegion>, http: HttpClient) -> CallerAccount {
    let config = ClientConfig::Environment {
        region: Some(region.map_or_else(|| HOME.to_owned(), |it| it.name.to_string())),
        workspace_region: None,
        profile: None,
        environment_profile: None,
    };
    let identity = async { anyhow::Ok(Aws::connect(&config, http).await?.identity().await?) };
    match identity.await {
        Ok(identity) => CallerAccount::Known(identity),
        Err(error) => CallerAccount::Unknown(one_line(error.as_ref())),
    }
}
