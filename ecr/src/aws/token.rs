//! Authorization tokens: what the registry takes as a password. They live in memory only.

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

/// Credentials of a registry (ECR `GetAuthorizationToken`): valid for twelve hours.
#[derive(Clone)]
pub struct AuthorizationToken {
    /// The registry's URL, as the API returns it: `https://123456789012.dkr.ecr.us-east-1.amazonaws.com`.
    pub proxy_endpoint: String,
    /// The value of an HTTP header `Authorization`.
    pub authorization: String,
    /// What docker takes as password of the user `AWS`.
    pub password: String,
    /// When it is good no longer.
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for AuthorizationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthorizationToken {{ {} }}", self.proxy_endpoint)
    }
}

impl AuthorizationToken {
    /// Host and port of the registry.
    pub fn host(&self) -> &str {
        self.proxy_endpoint.split_once("://").map_or(self.proxy_endpoint.as_str(), |(_, host)| host)
    }
}

impl AuthorizationToken {
    /// The token as the registry's client takes it.
    pub fn authorization(&self) -> Authorization {
        let left = self.expires_at.map(|it| it.since(now()));
        // A token that was just given and says that it has expired: the clocks differ.
        let left = left.and_then(|it| u64::try_from(it).ok()).filter(|it| *it > 0);
        Authorization { header: self.authorization.clone(), lifetime: left.map(Duration::from_nanos) }
    }
}

/// Takes another token whenever the registry's client needs one.
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
    /// A fresh token for the account's registry.
    pub async fn authorization_token(&self) -> Result<AuthorizationToken, ServiceError> {
        const ACTION: &str = "ecr:GetAuthorizationToken";
        let answer = self.ecr.get_authorization_token().send().await;
        let answer = answer.map_err(|it| ServiceError::new(ACTION, it))?;
        let data = answer.authorization_data().first();
        let token = data.and_then(|it| it.authorization_token()).unwrap_or_default();
        // What docker wants as user and password is what HTTP Basic takes as it is.
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
