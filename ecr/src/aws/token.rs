//! Authorization tokens, which are passwords for the registry. They are kept in memory only.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ecr_oci::http::BoxError;
use ecr_oci::registry::{Authorization, Renew};
use ecr_types::Timestamp;

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
        self.proxy_endpoint.split_once("://").map_or(self.proxy_endpoint.as_str(), |(_, host)| host)
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

/// A callback with which the registry client requests a new token.
pub fn token_renewal(aws: Arc<Aws>) -> Renew {
    Arc::new(move || {
        let aws = aws.clone();
        Box::pin(async move {
            let token = aws.authorization_token().await.map_err(|it| Box::new(it) as BoxError)?;
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
        let data = response.authorization_data().first();
        let token = data.and_then(|it| it.authorization_token()).unwrap_or_default();
        // The token is the base64 encoding of `USER:PASSWORD`, which is also the credential of HTTP Basic
        // authentication.
        let decoded = BASE64_STANDARD.decode(token).ok().and_then(|it| String::from_utf8(it).ok());
        let password = decoded.as_deref().and_then(|it| Some(it.split_once(':')?.1.to_owned()));
        let password = password.ok_or_else(|| ServiceError::unexpected(ACTION, &"no token"))?;
        let expires_at = data.and_then(|it| it.expires_at());
        Ok(AuthorizationToken {
            proxy_endpoint: data.and_then(|it| it.proxy_endpoint()).unwrap_or_default().to_owned(),
            authorization: format!("Basic {token}"),
            password,
            expires_at: expires_at.map(|it| Timestamp::from_nanoseconds(it.as_nanos())),
        })
    }
}
