//! The control plane: `X-Amz-Target` -> operation -> rules -> JSON 1.1.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ApiError;
use super::model::{RegistryKey, Repository};
use super::shared::Shared;
use crate::name::RepositoryName;

mod images;
mod page;
mod policies;
mod preview;
mod registry;
mod repositories;
mod tags;

pub use preview::Preview;

type Answer = Result<Value, ApiError>;

/// A request: its registry, and the operation's name.
pub struct Call<'a> {
    /// What all requests share.
    pub shared: &'a Shared,
    /// The account and region that the request is for.
    pub registry: RegistryKey,
    /// The region alone.
    pub region: String,
}

/// Answers one request. `operation` is what follows the dot in `X-Amz-Target`.
pub fn answer(call: &Call<'_>, operation: &str, body: &[u8]) -> Answer {
    call.shared.log(operation);
    if call.shared.faults.throttles(operation) {
        return Err(ApiError::new("ThrottlingException", "Rate exceeded"));
    }
    call.check_permission(operation)?;
    let body = if body.is_empty() { b"{}" } else { body };
    match operation {
        "CreateRepository" => repositories::create(call, parse(body)?),
        "DescribeRepositories" => repositories::describe(call, parse(body)?),
        "DeleteRepository" => repositories::delete(call, parse(body)?),
        "PutImageTagMutability" => repositories::put_mutability(call, parse(body)?),
        "PutImageScanningConfiguration" => repositories::put_scanning(call, parse(body)?),
        "PutLifecyclePolicy" => policies::put_lifecycle(call, parse(body)?),
        "GetLifecyclePolicy" => policies::get_lifecycle(call, parse(body)?),
        "DeleteLifecyclePolicy" => policies::delete_lifecycle(call, parse(body)?),
        "StartLifecyclePolicyPreview" => preview::start(call, parse(body)?),
        "GetLifecyclePolicyPreview" => preview::get(call, parse(body)?),
        "SetRepositoryPolicy" => policies::set_repository(call, parse(body)?),
        "GetRepositoryPolicy" => policies::get_repository(call, parse(body)?),
        "DeleteRepositoryPolicy" => policies::delete_repository(call, parse(body)?),
        "TagResource" => tags::tag(call, parse(body)?),
        "UntagResource" => tags::untag(call, parse(body)?),
        "ListTagsForResource" => tags::list(call, parse(body)?),
        "DescribeImages" => images::describe(call, parse(body)?),
        "ListImages" => images::list(call, parse(body)?),
        "BatchGetImage" => images::batch_get(call, parse(body)?),
        "PutImage" => images::put(call, parse(body)?),
        "BatchCheckLayerAvailability" => images::check_layers(call, parse(body)?),
        "GetAuthorizationToken" => registry::authorization_token(call),
        "DescribeRegistry" => registry::describe(call),
        "GetRegistryScanningConfiguration" => registry::get_scanning(call),
        "PutRegistryScanningConfiguration" => registry::put_scanning(call, parse(body)?),
        _ => Err(ApiError::new(
            "UnsupportedOperationException",
            format!("the embedded ECR does not support the operation {operation}"),
        )),
    }
}

/// STS `GetCallerIdentity`, in the XML of the query protocol.
pub fn caller_identity(shared: &Shared) -> String {
    shared.log("GetCallerIdentity");
    let account = &shared.account;
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::{account}:root</Arn><UserId>{account}</UserId><Account>{account}</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>embedded</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>"
    )
}

impl Call<'_> {
    /// Fails where a fault took the permission away.
    fn check_permission(&self, operation: &str) -> Result<(), ApiError> {
        if self.shared.faults.denies(operation) {
            return Err(ApiError::new("AccessDeniedException", self.shared.denial(operation)));
        }
        Ok(())
    }

    /// `text` as a repository name, or ECR's sentence about its pattern.
    fn name(&self, text: &str) -> Result<RepositoryName, ApiError> {
        text.parse().map_err(|_| {
            let pattern = "(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*";
            ApiError::invalid("repositoryName", &format!("must satisfy regular expression '{pattern}'"))
        })
    }

    /// Calls `read` with a repository that exists.
    fn with<T>(
        &self,
        name: &str,
        read: impl FnOnce(&RepositoryName, &Repository) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let name = self.name(name)?;
        let store = self.shared.store();
        match store.model().repository(&self.registry, &name) {
            Some(repository) => read(&name, repository),
            None => Err(ApiError::repository_not_found(name.as_str(), self.shared.account.as_str())),
        }
    }

    fn arn(&self, name: &RepositoryName) -> String {
        format!("arn:aws:ecr:{}:{}:repository/{name}", self.region, self.shared.account)
    }

    /// The name in a repository's ARN, if it is one of this registry.
    fn name_of_arn(&self, arn: &str) -> Result<RepositoryName, ApiError> {
        let prefix = format!("arn:aws:ecr:{}:{}:repository/", self.region, self.shared.account);
        let invalid = || ApiError::invalid("resourceArn", "must be the ARN of a repository in this registry");
        let name = arn.strip_prefix(&prefix).ok_or_else(invalid)?;
        self.name(name)
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|it| ApiError::new("SerializationException", it.to_string()))
}
