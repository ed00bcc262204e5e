//! Clients of the OCI distribution API of a registry of ECR.

use std::sync::Arc;

use anyhow::Result;
use ecr_oci::credentials::Credentials;
use ecr_oci::reference::Reference;
use ecr_oci::registry::{RegistryClient, RemoteRepository};
use ecr_types::RepositoryName;

use crate::aws::{AuthorizationToken, Aws, token_renewal};

/// A client that reads and writes the registry that references call `host`. Its token is renewed in time.
pub fn registry_client(aws: &Arc<Aws>, host: &str, token: &AuthorizationToken) -> Result<RegistryClient> {
    let connection = aws.registry_host(host)?;
    let renew = token_renewal(aws.clone(), host);
    let client = RegistryClient::new(aws.http().clone(), &connection, token.authorization(), renew)?;
    Ok(client.with_alias(host))
}

/// A client that reads the images of a repository there.
pub fn image_source(
    aws: &Arc<Aws>,
    host: &str,
    name: &RepositoryName,
    token: &AuthorizationToken,
) -> Result<Arc<RemoteRepository>> {
    let reference: Reference = format!("{}/{name}", aws.registry_host(host)?).parse()?;
    let credentials = Credentials::Basic { user: "AWS".to_owned(), password: token.password.clone() };
    let source = RemoteRepository::new(aws.http().clone(), &reference, Some(credentials))?;
    Ok(Arc::new(source.of_images()))
}
