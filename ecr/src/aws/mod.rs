//! The client of AWS: ECR and STS. It reads a registry ([`Aws::observe`]), writes to it ([`Aws::apply`]), and gets
//! authorization tokens.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Result;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_ecr::config::retry::{ClientRateLimiter, RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_ecr::config::timeout::TimeoutConfig;
use aws_sdk_ecr::config::{IdentityCache, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::identity::SharedIdentityCache;
use aws_smithy_types::retry::RetrySpec;
use ecr_oci::http::{HttpClient, Limits};
use ecr_types::RegistryId;
use ecr_types::url::redacted;

use environment::{Environment, with_credentials};
use private_registry::{EndpointVariant, NoDualStackHost, PrivateRegistry};

mod answer;
mod apply;
pub mod caller;
mod denials;
mod environment;
mod error;
mod help;
mod http;
pub mod iam;
pub mod ignored_writes;
mod images;
mod inventory;
mod observe;
mod optional;
mod pages;
pub mod private_registry;
mod registry_settings;
mod retry;
mod scans;
mod signing;
mod tagged;
mod token;

pub use apply::Applied;
pub use denials::Denials;
pub use environment::InvalidEnvironment;
pub use error::ServiceError;
pub use help::{PROXY, UNTRUSTED};
pub use http::Connections;
pub use images::ImageTotals;
pub use inventory::{Manifests, ServicePreview};
pub use observe::{Failures, LIST_TAGS, Reads};
pub use signing::SIGNING_STATUS;
pub use token::{AuthorizationToken, ForeignRegistry, token_renewal};

/// The source of region, endpoint and credentials.
#[derive(Debug, Clone)]
pub enum ClientConfig {
    /// The AWS configuration of the environment, including `AWS_ENDPOINT_URL`.
    Environment {
        /// The flag `--region`, which has the highest precedence, else the region of the workspace's environment.
        region: Option<String>,
        /// The region of the workspace's configuration. The environment variables take precedence over it.
        workspace_region: Option<String>,
        /// The flag `--aws-profile`.
        profile: Option<String>,
        /// The profile of the workspace's environment.
        environment_profile: Option<String>,
    },
    /// The embedded ECR. Profiles, credentials and endpoints of the environment are ignored.
    Local {
        /// `http://127.0.0.1:PORT`.
        url: String,
        /// The region in the signatures of requests.
        region: String,
        /// The account, which is the access key ID of requests: an embedded ECR that runs already may have another one.
        account: RegistryId,
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
    /// The account of the credentials, once it is known.
    account: OnceLock<RegistryId>,
    variant: EndpointVariant,
}

/// The owner of the credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub account: RegistryId,
    /// The ARN of the user or role.
    pub arn: String,
}

impl Aws {
    /// Creates the clients, whose requests go through `http`. No request is made to ECR or STS.
    ///
    /// # Errors
    /// No region is configured, the region is not valid, or the environment is not ([`InvalidEnvironment`]).
    pub async fn connect(config: &ClientConfig, http: HttpClient) -> Result<Self> {
        let connections = Connections::new(http.clone());
        let (config, endpoint) = match config {
            ClientConfig::Environment { region, workspace_region, profile, environment_profile } => {
                let environment =
                    Environment::read(profile.as_deref(), environment_profile.as_deref()).await?;
                let (region, workspace_region) = (region.clone(), workspace_region.clone());
                let config = from_environment(&environment, region, workspace_region, &connections).await?;
                (config, environment.ecr_endpoint())
            }
            ClientConfig::Local { url, region, account } => {
                (local(url, region, account.as_str(), &connections), Some(url.clone()))
            }
        };
        let region = config.region().ok_or(NoRegion)?.to_string();
        region.parse::<ecr_types::Region>().map_err(anyhow::Error::msg)?;
        let (ecr, sts) = clients(&config, &http);
        let variant = EndpointVariant {
            fips: config.use_fips().unwrap_or_default(),
            dual_stack: config.use_dual_stack().unwrap_or_default(),
        };
        let (denials, account) = (Denials::default(), OnceLock::new());
        Ok(Self { ecr, sts, region, endpoint, http, denials, account, variant })
    }

    /// The host to connect to for a registry that references call `host`: another one for a private registry of ECR, if FIPS or
    /// dual-stack endpoints are asked for.
    ///
    /// # Errors
    /// No dual-stack host of the partition is known.
    pub fn registry_host(&self, host: &str) -> Result<String, NoDualStackHost> {
        match PrivateRegistry::of_host(host) {
            Some(registry) if self.variant != EndpointVariant::default() => registry.host(self.variant),
            _ => Ok(host.to_owned()),
        }
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    /// The endpoint of the ECR API, without user and password. `None` is the default endpoint of AWS.
    pub fn endpoint(&self) -> Option<String> {
        self.endpoint.as_deref().map(redacted)
    }

    /// The host of that endpoint, with the port if there is one.
    pub fn endpoint_host(&self) -> Option<String> {
        let uri: hyper::Uri = self.endpoint.as_deref()?.parse().ok()?;
        let authority = uri.authority()?.as_str();
        Some(authority.rsplit('@').next().unwrap_or_default().to_owned())
    }

    /// The HTTP client of all requests.
    pub fn http(&self) -> &HttpClient {
        &self.http
    }

    /// The maximum number of concurrent requests.
    pub fn concurrency(&self) -> usize {
        self.http.limits().concurrency
    }

    /// The missing permissions that were found so far.
    pub fn denials(&self) -> &Denials {
        &self.denials
    }

    /// The owner of the credentials (STS `GetCallerIdentity`, which needs no permission).
    pub async fn identity(&self) -> Result<Identity, ServiceError> {
        const ACTION: &str = "sts:GetCallerIdentity";
        let response = self.sts.get_caller_identity().send().await;
        let response = response.map_err(|it| ServiceError::new(ACTION, it))?;
        let account = answer::member(ACTION, "Account", response.account())?;
        let account: RegistryId = account.parse().map_err(|it| answer::unexpected(ACTION, it))?;
        let account = self.account.get_or_init(|| account).clone();
        Ok(Identity { account, arn: response.arn().unwrap_or_default().to_owned() })
    }
}

/// Initializes the SDK's static partition tables. In a dev build this takes milliseconds, which can overlap with other
/// work.
pub fn preload() {
    let connections = Connections::default();
    let config = local("http://127.0.0.1", "us-east-1", "local", &connections);
    drop(clients(&config, connections.client()));
}

fn clients(config: &SdkConfig, http: &HttpClient) -> (aws_sdk_ecr::Client, aws_sdk_sts::Client) {
    let ecr = aws_sdk_ecr::config::Builder::from(config)
        .retry_partition(retry_partition("ecr"))
        .retry_classifier(retry::RefusedConnection)
        .interceptor(retry::Patience(http.clone()))
        .build();
    let sts = aws_sdk_sts::config::Builder::from(config)
        .retry_partition(retry_partition("sts"))
        .retry_classifier(retry::RefusedConnection)
        .interceptor(retry::Patience(http.clone()))
        .build();
    (aws_sdk_ecr::Client::from_conf(ecr), aws_sdk_sts::Client::from_conf(sts))
}

/// No region is configured by flag, environment, workspace or profile.
#[derive(Debug, thiserror::Error)]
#[error("no AWS region is configured")]
pub struct NoRegion;

/// The region comes from the flag, the environment, the workspace or the profile, in this order. The instance metadata
/// service is not queried for a region: on a developer's machine that only waits for a timeout.
async fn from_environment(
    environment: &Environment,
    region: Option<String>,
    workspace_region: Option<String>,
    connections: &Connections,
) -> Result<SdkConfig> {
    let region = region.filter(|it| !it.is_empty());
    let region = region.or_else(|| environment.region().map(|(_, it)| it.to_owned())).or(workspace_region);
    let region = region.or_else(|| environment.profile_region().map(str::to_owned)).ok_or(NoRegion)?;
    let loader = environment
        .loader()
        .region(Region::new(region))
        .http_client(connections.clone())
        .retry_config(retry_config())
        .timeout_config(timeouts(connections.limits()))
        .identity_cache(identity_cache(connections.limits()));
    Ok(with_credentials(environment, loader.load().await, connections.client()).await)
}

fn local(url: &str, region: &str, key_id: &str, connections: &Connections) -> SdkConfig {
    // The embedded ECR takes the region and the account from the request, and does not check signatures.
    let credentials = Credentials::new(key_id, "local", None, None, "embedded ECR");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(connections.clone())
        .retry_config(retry_config())
        .timeout_config(timeouts(connections.limits()))
        .identity_cache(identity_cache(connections.limits()))
        .build()
}

/// Retries in adaptive mode: the client reduces its rate of requests when the service throttles them. Their end is a matter
/// of time ([`retry::Patience`]), not of number.
fn retry_config() -> RetryConfig {
    let backoff = Duration::from_millis(200);
    // Version 2.0 of the SDK's retries, its default, takes ten tokens of the limiter for a retry: one client with five throttled
    // requests waits up to ten seconds after each of them.
    let spec = RetrySpec::v2_1().with_non_throttling_initial_backoff(backoff);
    RetryConfig::adaptive()
        .with_retry_spec(spec)
        .with_max_attempts(1000)
        .with_initial_backoff(backoff)
        .with_max_backoff(retry::LONGEST_WAIT)
}

/// Unlimited retry tokens. The SDK's default token bucket is shared by all requests of a client and is empty after a
/// hundred retries, so that a run with many concurrent requests would fail although it could finish.
fn retry_partition(name: &'static str) -> RetryPartition {
    // The default limiter starts with a very low rate: a single throttled request would stop a run for seconds. The quotas
    // of ECR are tens of requests per second.
    let limiter = ClientRateLimiter::builder().tokens_retrieved_per_second(250.0).build();
    RetryPartition::custom(name).token_bucket(TokenBucket::unlimited()).client_rate_limiter(limiter).build()
}

/// The cache of credentials, with a limit on the time to load them. The SDK would compute it from the number of attempts, as
/// hours. It is longer than the one in `with_credentials`, whose error says more.
fn identity_cache(limits: Limits) -> SharedIdentityCache {
    IdentityCache::lazy().load_timeout(limits.total * 2).build()
}

/// The timeouts of the SDK, which do not exceed those of the HTTP client. That of an operation is for what
/// [`retry::Patience`] does not see: the waits of the rate limiter.
fn timeouts(limits: Limits) -> TimeoutConfig {
    let attempt = limits.idle.min(Duration::from_secs(15));
    TimeoutConfig::builder()
        .connect_timeout(limits.connect.min(Duration::from_secs(5)))
        .operation_attempt_timeout(attempt)
        .operation_timeout(limits.total + attempt)
        .build()
}
