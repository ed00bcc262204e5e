//! The AWS side: identity, [`Aws::observe`], [`Aws::apply`], authorization tokens.

use std::time::Duration;

use anyhow::Result;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_ecr::config::SharedCredentialsProvider;
use aws_sdk_ecr::config::retry::{ClientRateLimiter, RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_ecr::config::timeout::TimeoutConfig;
use ecr_oci::http::{HttpClient, Limits};
use ecr_types::RegistryId;

mod apply;
mod denials;
mod error;
mod http;
pub mod iam;
pub mod ignored_writes;
mod images;
mod inventory;
mod observe;
mod retry;
mod scans;
mod token;

pub use apply::Applied;
pub use denials::Denials;
pub use error::{ServiceError, UNTRUSTED};
pub use http::Connections;
pub use images::ImageTotals;
pub use inventory::{Manifests, ServicePreview};
pub use observe::Reads;
pub use token::{AuthorizationToken, token_renewal};

/// Where the API is.
#[derive(Debug, Clone)]
pub enum ClientConfig {
    /// AWS, or whatever the environment names as its endpoint.
    Environment {
        /// `--region`, before everything else.
        region: Option<String>,
        /// The workspace's region, behind the environment's.
        workspace_region: Option<String>,
        /// `--aws-profile`.
        profile: Option<String>,
    },
    /// The embedded ECR. Nothing of the environment's profiles, credentials and endpoints is looked at.
    Local {
        /// Its URL, `http://127.0.0.1:PORT`.
        url: String,
        /// The region to sign for.
        region: String,
    },
}

/// Clients of ECR and STS for one account and region.
#[derive(Debug)]
pub struct Aws {
    ecr: aws_sdk_ecr::Client,
    sts: aws_sdk_sts::Client,
    region: String,
    endpoint: Option<String>,
    http: HttpClient,
    denials: Denials,
}

/// Who the credentials belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: RegistryId,
    /// The ARN of the user or role.
    pub arn: String,
}

impl Aws {
    /// Clients for `target`, whose requests go through `http`. No request is made yet.
    ///
    /// # Errors
    /// No region is configured anywhere.
    pub async fn connect(target: &ClientConfig, http: HttpClient) -> Result<Self> {
        let connections = Connections::new(http.clone());
        let (config, endpoint) = match target {
            ClientConfig::Environment { region, workspace_region, profile } => {
                check_endpoints()?;
                let config = from_environment(
                    region.clone(),
                    workspace_region.clone(),
                    profile.as_deref(),
                    &connections,
                )
                .await;
                let endpoint = endpoint(&config);
                (config, endpoint)
            }
            ClientConfig::Local { url, region } => (local(url, region, &connections), Some(url.clone())),
        };
        let region = config.region().ok_or(NoRegion)?.to_string();
        region.parse::<ecr_types::Region>().map_err(anyhow::Error::msg)?;
        let (ecr, sts) = clients(&config);
        Ok(Self { ecr, sts, region, endpoint, http, denials: Denials::default() })
    }

    /// The region that requests go to.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Where ECR's API is, if not at AWS.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// The HTTP client of all requests.
    pub fn http(&self) -> &HttpClient {
        &self.http
    }

    /// How many requests go side by side.
    pub fn concurrency(&self) -> usize {
        self.http.limits().concurrency
    }

    /// The permissions that turned out to be missing so far.
    pub fn denials(&self) -> &Denials {
        &self.denials
    }

    /// Who the credentials belong to (STS `GetCallerIdentity`, which needs no permission).
    pub async fn identity(&self) -> Result<Identity, ServiceError> {
        let answer = self.sts.get_caller_identity().send().await;
        let answer = answer.map_err(|it| ServiceError::new("sts:GetCallerIdentity", it))?;
        let account = answer.account().unwrap_or_default();
        let account = account.parse().map_err(|it| ServiceError::unexpected("sts:GetCallerIdentity", &it))?;
        Ok(Identity { account, arn: answer.arn().unwrap_or_default().to_owned() })
    }
}

/// Reads what all clients share: the SDK's tables of partitions. An SDK that is not optimised takes milliseconds for that,
/// and they can pass while something else is waited for.
pub fn preload() {
    drop(clients(&local("http://127.0.0.1", "us-east-1", &Connections::default())));
}

fn clients(config: &SdkConfig) -> (aws_sdk_ecr::Client, aws_sdk_sts::Client) {
    let ecr = aws_sdk_ecr::config::Builder::from(config)
        .retry_partition(retry_partition("ecr"))
        .retry_classifier(retry::RefusedConnection)
        .build();
    let sts = aws_sdk_sts::config::Builder::from(config)
        .retry_partition(retry_partition("sts"))
        .retry_classifier(retry::RefusedConnection)
        .build();
    (aws_sdk_ecr::Client::from_conf(ecr), aws_sdk_sts::Client::from_conf(sts))
}

/// The one thing that must be known before any request is not.
#[derive(Debug, thiserror::Error)]
#[error("no AWS region is configured")]
pub struct NoRegion;

/// Flag, environment, workspace, then the profile. The instance metadata service is not asked for a region:
/// on a developer's machine that is a wait for nothing.
async fn from_environment(
    region: Option<String>,
    workspace_region: Option<String>,
    profile: Option<&str>,
    connections: &Connections,
) -> SdkConfig {
    let mut profile_region = aws_config::profile::region::ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        profile_region = profile_region.profile_name(profile);
    }
    // An empty variable is what a shell leaves of an unset one.
    let variable = |key: &str| std::env::var(key).ok().filter(|it| !it.is_empty());
    let environment = || variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    let chosen = region.or_else(environment).or(workspace_region);
    let region = RegionProviderChain::first_try(chosen.map(Region::new))
        .or_else(profile_region.build())
        .region()
        .await;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(region.clone())
        .http_client(connections.clone())
        .retry_config(retry_config())
        .timeout_config(timeouts(connections.limits()));
    if let Some(profile) = profile {
        loader = loader.profile_name(profile).credentials_provider(profile_credentials(
            profile,
            region,
            connections,
        ));
    }
    loader.load().await
}

/// The credentials of a profile that a flag names. The SDK's own chain would ask the environment first, and a
/// command that was told to work in one account would work in another.
fn profile_credentials(
    profile: &str,
    region: Option<Region>,
    connections: &Connections,
) -> ProfileFileCredentialsProvider {
    let config = ProviderConfig::default().with_region(region).with_http_client(connections.clone());
    ProfileFileCredentialsProvider::builder().profile_name(profile).configure(&config).build()
}

fn local(url: &str, region: &str, connections: &Connections) -> SdkConfig {
    // The embedded ECR reads account and region from the request and checks no signature.
    let credentials = Credentials::new("local", "local", None, None, "embedded ECR");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(connections.clone())
        .retry_config(retry_config())
        .timeout_config(timeouts(connections.limits()))
        .build()
}

/// The endpoint that is configured for ECR: its own variable wins over that of all services, as in the SDK.
fn endpoint(config: &SdkConfig) -> Option<String> {
    let own = std::env::var("AWS_ENDPOINT_URL_ECR").ok().filter(|it| !it.is_empty());
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// An endpoint without a scheme fails deep inside the SDK, with a page of text.
fn check_endpoints() -> Result<()> {
    for key in ENDPOINT_VARIABLES {
        let value = std::env::var(key).unwrap_or_default();
        let has_scheme = ["http://", "https://"].iter().any(|it| value.starts_with(it));
        anyhow::ensure!(
            value.is_empty() || has_scheme,
            "{key} is `{value}`, but an endpoint must begin with http:// or https://"
        );
    }
    Ok(())
}

/// Where the SDK looks for endpoints.
const ENDPOINT_VARIABLES: [&str; 3] = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ECR", "AWS_ENDPOINT_URL_STS"];

/// Adaptive mode slows the client down to what the service grants, instead of running into its limits again.
fn retry_config() -> RetryConfig {
    RetryConfig::adaptive()
        .with_max_attempts(20)
        .with_initial_backoff(Duration::from_millis(200))
        .with_max_backoff(Duration::from_secs(10))
}

/// The SDK's default bucket of retry tokens is empty after a hundred retries, whoever made them; with many
/// requests side by side that fails a run early that patience would have finished.
fn retry_partition(name: &'static str) -> RetryPartition {
    // The limiter begins with a rate of next to nothing, and each retry costs five tokens: after a single throttled
    // request a run would stand still for ten seconds. ECR's own quotas are tens of requests a second.
    let limiter = ClientRateLimiter::builder().tokens_retrieved_per_second(250.0).build();
    RetryPartition::custom(name).token_bucket(TokenBucket::unlimited()).client_rate_limiter(limiter).build()
}

/// The SDK's limits, within those of the HTTP client.
fn timeouts(limits: Limits) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(limits.connect.min(Duration::from_secs(5)))
        .operation_attempt_timeout(limits.idle.min(Duration::from_secs(15)))
        .operation_timeout(limits.total)
        .build()
}
