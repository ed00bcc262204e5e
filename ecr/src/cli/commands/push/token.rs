//! Tokens of the API as credentials of the registry's client.

use std::sync::Arc;
use std::time::Duration;

use ecr_oci::http::BoxError;
use ecr_oci::registry::{Authorization, Renew};

use crate::aws::{AuthorizationToken, Aws};
use crate::cli::commands::session::now;

/// Another token, when the one at hand has run out.
pub(super) fn renew(aws: Arc<Aws>) -> Renew {
    Arc::new(move || {
        let aws = aws.clone();
        Box::pin(async move {
            let token = aws.authorization_token().await.map_err(|it| Box::new(it) as BoxError)?;
            Ok(token.authorization())
        })
    })
}

impl AuthorizationToken {
    /// The token as the registry's client takes it.
    pub(super) fn authorization(&self) -> Authorization {
        let left = self.expires_at.map(|it| it.since(now()));
        // One that says that it has expired, and was just given, says nothing of use.
        let left = left.and_then(|it| u64::try_from(it).ok()).filter(|it| *it > 0);
        Authorization { header: self.authorization.clone(), lifetime: left.map(Duration::from_nanos) }
    }
}
