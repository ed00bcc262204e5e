//! Authorization tokens, which are passwords for the registry. They are kept in memory only.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ecr_oci::http::BoxError;
use ecr_oci::registry::{Authorization, Renew};
use ecr_types::{Timestamp, host};

use super::answer::{member, unexpected};
use super::private_registry::PrivateRegistry;
use super::{Aws, ServiceError};
use crate::clock::now;

/// The credentials of a registry (ECR `GetAuthorizationToken`), which are valid for twelve hours.
#[derive(Clone)]
pub struct AuthorizationToken {
    /// The URL of the registry, such as `https://123456789012.dkr.ecr.us-east-1.amazonaws.com`.
    pub proxy_endpoint: String,
    /// The value of the HTTP header `Authorization`.
    pub authorization: String,
    /// The password of the user `AWS` for `docker login`.
    pub password: String,
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for AuthorizationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthorizationToken {{ {} }}", self.proxy_endpoint)
    }
}

impl AuthorizationToken {
    /// The host of the registry, with the port if there is one.
    pub fn host(&self) -> &str {
        let rest = self.proxy_endpoint.split_once("://").map_or(self.proxy_endpoint.as_str(), |(_, it)| it);
        rest.split('/').next().unwrap_or_default()
    }

    /// Checks that the password may be sent to `named`, the host of `repositoryUri`: it is the host of the registry that the
    /// token is for, or that of `endpoint`, which the user has configured.
    ///
    /// # Errors
    /// It is another host.
    pub fn require_host(&self, named: &str, endpoint: Option<&str>) -> Result<(), ForeignRegistry> {
        let is_endpoint = endpoint.is_some_and(|it| host::is_same(it, named));
        match is_endpoint || is_same_registry(self.host(), named) {
            true => Ok(()),
            false => Err(ForeignRegistry { of_token: self.host().to_owned(), named: named.to_owned() }),
        }
    }
}

impl AuthorizationToken {
    /// The token for the registry client.
    pub fn authorization(&self) -> Authorization {
        let left = self.expires_at.map(|it| it.since(now()));
        // If a new token seems to have expired, the local clock is wrong, and the lifetime is unknown.
        let left = left.and_then(|it| u64::try_from(it).ok()).filter(|it| *it > 0);
        Authorization { header: self.authorization.clone(), lifetime: left.map(Duration::from_nanos) }
    }
}

/// The registry that holds the repositories is not the one that the password is for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the registry's password is for `{of_token}`, and is not sent to `{named}`, which `repositoryUri` names"
)]
pub struct ForeignRegistry {
    /// The host of `proxyEndpoint`.
    of_token: String,
    /// The host of `repositoryUri`.
    named: String,
}

impl ForeignRegistry {
    /// What the user can do about it.
    pub const HELP: &'static str =
        "both hosts come from the ECR API: check AWS_ENDPOINT_URL, and who answers there";
}

/// Whether both hosts are that of one private registry of AWS, which has further names for FIPS and for dual-stack.
fn is_same_registry(a: &str, b: &str) -> bool {
    let registries = PrivateRegistry::of_host(a).zip(PrivateRegistry::of_host(b));
    host::is_same(a, b) || registries.is_some_and(|(a, b)| a == b)
}

/// A callback with which the registry client requests a new token for the registry at `host`.
pub fn token_renewal(aws: Arc<Aws>, host: &str) -> Renew {
    let host = host.to_owned();
    Arc::new(move || {
        let (aws, host) = (aws.clone(), host.clone());
        Box::pin(async move {
            let token = aws.authorization_token().await.map_err(|it| Box::new(it) as BoxError)?;
            token.require_host(&host, aws.endpoint_host().as_deref())?;
            Ok(token.authorization())
        })
    })
}

impl Aws {
    /// Requests a token for the registry of the account (`GetAuthorizationToken`).
    pub async fn authorization_token(&self) -> Result<AuthorizationToken, ServiceError> {
        const ACTION: &str = "ecr:GetAuthorizationToken";
        let response = self.ecr.get_authorization_token().send().await;
        let response = response.map_err(|it| ServiceError::new(ACTION, it))?;
        let data = member(ACTION, "authorizationData", response.authorization_data().first())?;
        let token = member(ACTION, "authorizationToken", data.authorization_token())?;
        let proxy_endpoint = member(ACTION, "proxyEndpoint", data.proxy_endpoint())?;
        // The token is the base64 encoding of `USER:PASSWORD`, which is also the credential of HTTP Basic
        // authentication.
        let decoded = BASE64_STANDARD.decode(token).ok().and_then(|it| String::from_utf8(it).ok());
        let password = decoded.as_deref().and_then(|it| Some(it.split_once(':')?.1.to_owned()));
        let invalid = || unexpected(ACTION, "`authorizationToken` is not the base64 of USER:PASSWORD");
        let password = password.filter(|it| !it.is_empty()).ok_or_else(invalid)?;
        let expires_at = data.expires_at();
        Ok(AuthorizationToken {
            proxy_endpoint: proxy_endpoint.to_owned(),
            authorization: format!("Basic {token}"),
            password,
            expires_at: expires_at.map(|it| Timestamp::from_nanoseconds(it.as_nanos())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn require_host_accepts_the_registry_of_the_token_and_the_endpoint() {
        let aws = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
        for (of_token, named, endpoint, wanted) in [
            (aws, aws, None, true),
            (aws, "123456789012.dkr-ecr.us-east-1.on.aws", None, true),
            (aws, "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", None, true),
            (aws, "210987654321.dkr.ecr.us-east-1.amazonaws.com", None, false),
            (aws, "123456789012.dkr.ecr.eu-west-1.amazonaws.com", None, false),
            (aws, "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example", None, false),
            (aws, "123456789012.dkr.ecr.us-east-1.amazonaws.com:8443", None, false),
            (aws, "evil.example", Some("ecr.example"), false),
            (aws, "ecr.example:4566", Some("ecr.example:4566"), true),
            ("localhost:4510", "127.0.0.1:4510", None, true),
            ("127.0.0.1:4510", "127.0.0.1:4511", Some("127.0.0.1:4510"), false),
            ("127.0.0.1:4510", "127.0.0.2:4510", None, false),
        ] {
            let token = AuthorizationToken {
                proxy_endpoint: format!("https://{of_token}"),
                authorization: String::new(),
                password: String::new(),
                expires_at: None,
            };
            let found = token.require_host(named, endpoint);
            assert_eq!(found.is_ok(), wanted, "{of_token} {named} {endpoint:?}");
            assert!(
                found
                    .map_err(|it| it.to_string())
                    .err()
                    .is_none_or(|it| it.contains(named) && it.contains(of_token))
            );
        }
    }
}
