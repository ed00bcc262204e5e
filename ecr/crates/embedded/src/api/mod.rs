//! The control plane, which is the ECR API: `X-Amz-Target` -> operation -> service model -> rules -> AWS JSON 1.1.

use ecr_types::{Digest, RepositoryName};
use serde_json::{Value, json};

use super::error::ApiError;
use super::model::{Change, RegistryKey, Repository, RepositorySettings};
use super::service_model::{self, Support};
use super::shared::{Shared, denial};
use super::sts::Caller;

mod delete;
mod images;
mod input;
mod layers;
mod page;
mod policies;
mod policy_text;
mod preview;
mod referrers;
mod registry;
mod repositories;
mod scans;
mod tags;

use input::Input;
pub use preview::lifecycle_images;

type ApiResult = Result<Value, ApiError>;

/// A request to one registry.
pub struct Call<'a> {
    pub shared: &'a Shared,
    /// The registry of the caller's account.
    pub registry: RegistryKey,
    pub caller: Caller,
}

/// Answers a request. `operation` is the part of `X-Amz-Target` after the dot.
pub fn response(call: &Call<'_>, operation: &str, body: &[u8]) -> ApiResult {
    match service_model::support(operation) {
        Support::Supported => {}
        Support::Unsupported => {
            let message = format!("the embedded ECR does not support the operation {operation}");
            return Err(ApiError::new("UnsupportedOperationException", message));
        }
        Support::Unknown => {
            let message = format!("ECR has no operation {operation}");
            return Err(ApiError::new("UnknownOperationException", message));
        }
    }
    call.check_permission(operation)?;
    let body = if body.is_empty() { b"{}" } else { body };
    let body: Value =
        serde_json::from_slice(body).map_err(|it| ApiError::new("SerializationException", it.to_string()))?;
    service_model::check(operation, &body)?;
    let input = Input::new(&body);
    call.check_registry(input)?;
    dispatch(call, operation, input)
}

fn dispatch(call: &Call<'_>, operation: &str, input: Input<'_>) -> ApiResult {
    match operation {
        "CreateRepository" => repositories::create(call, input),
        "DescribeRepositories" => repositories::describe(call, input),
        "DeleteRepository" => repositories::delete(call, input),
        "PutImageTagMutability" => repositories::put_mutability(call, input),
        "PutImageScanningConfiguration" => repositories::put_scanning(call, input),
        "PutLifecyclePolicy" => policies::put_lifecycle(call, input),
        "GetLifecyclePolicy" => policies::get_lifecycle(call, input),
        "DeleteLifecyclePolicy" => policies::delete_lifecycle(call, input),
        "StartLifecyclePolicyPreview" => preview::start(call, input),
        "GetLifecyclePolicyPreview" => preview::get(call, input),
        "SetRepositoryPolicy" => policies::set_repository(call, input),
        "GetRepositoryPolicy" => policies::get_repository(call, input),
        "DeleteRepositoryPolicy" => policies::delete_repository(call, input),
        "TagResource" => tags::tag(call, input),
        "UntagResource" => tags::untag(call, input),
        "ListTagsForResource" => tags::list(call, input),
        "DescribeImages" => images::describe(call, input),
        "ListImages" => images::list(call, input),
        "BatchGetImage" => images::batch_get(call, input),
        "BatchDeleteImage" => delete::batch_delete(call, input),
        "PutImage" => images::put(call, input),
        "ListImageReferrers" => referrers::list(call, input),
        "BatchCheckLayerAvailability" => layers::check(call, input),
        "InitiateLayerUpload" => layers::initiate(call, input),
        "UploadLayerPart" => layers::upload(call, input),
        "CompleteLayerUpload" => layers::complete(call, input),
        "GetDownloadUrlForLayer" => layers::download_url(call, input),
        "StartImageScan" => scans::start(call, input),
        "DescribeImageScanFindings" => scans::describe(call, input),
        "GetAuthorizationToken" => registry::authorization_token(call),
        "DescribeRegistry" => registry::describe(call),
        "GetAccountSetting" => registry::get_setting(call, input),
        "PutAccountSetting" => registry::put_setting(call, input),
        "GetRegistryScanningConfiguration" => registry::get_scanning(call),
        "PutRegistryScanningConfiguration" => registry::put_scanning(call, input),
        "BatchGetRepositoryScanningConfiguration" => registry::repository_scanning(call, input),
        _ => Err(ApiError::internal(&format!("{operation} has no handler"))),
    }
}

impl Call<'_> {
    /// Fails if the fault `deny` affects the request.
    fn check_permission(&self, operation: &str) -> Result<(), ApiError> {
        if self.shared.faults.denies(operation) {
            return Err(ApiError::new("AccessDeniedException", denial(operation, &self.caller.arn())));
        }
        Ok(())
    }

    /// Fails for the registry of another account, as there is only one here: its repositories do not exist for these
    /// credentials.
    fn check_registry(&self, input: Input<'_>) -> Result<(), ApiError> {
        let Some(registry) = input.text("registryId").filter(|it| *it != self.registry.account.as_str())
        else {
            return Ok(());
        };
        let names = input.texts("repositoryNames").unwrap_or_default();
        match input.text("repositoryName").or(names.first().copied()) {
            Some(name) => Err(ApiError::repository_not_found(name, registry)),
            None => {
                let message = format!(
                    "{} in the registry {registry}",
                    denial("DescribeRepositories", &self.caller.arn())
                );
                Err(ApiError::new("AccessDeniedException", message))
            }
        }
    }

    /// Parses a repository name.
    fn name(&self, text: &str) -> Result<RepositoryName, ApiError> {
        text.parse()
            .map_err(|it: ecr_types::InvalidName| ApiError::invalid("repositoryName", &it.to_string()))
    }

    /// Calls `read` with the repository `repositoryName` of the input, which must exist. The state is locked during the call.
    fn with<T>(
        &self,
        input: Input<'_>,
        read: impl FnOnce(&RepositoryName, &Repository) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.with_named(input.required("repositoryName"), read)
    }

    /// Calls `read` with a repository, which must exist. The state is locked during the call.
    fn with_named<T>(
        &self,
        name: &str,
        read: impl FnOnce(&RepositoryName, &Repository) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let name = self.name(name)?;
        let store = self.shared.store();
        match store.model().repository(&self.registry, &name) {
            Some(repository) => read(&name, repository),
            None => Err(ApiError::repository_not_found(name.as_str(), self.registry.account.as_str())),
        }
    }

    /// Changes the settings of a repository, which must exist, in one transaction.
    fn change_settings(
        &self,
        name: &str,
        change: impl FnOnce(&mut RepositorySettings) -> Result<(), ApiError>,
    ) -> Result<RepositoryName, ApiError> {
        let name = self.name(name)?;
        let mut store = self.shared.store();
        let repository = store.model().repository(&self.registry, &name);
        let not_found = || ApiError::repository_not_found(name.as_str(), self.registry.account.as_str());
        let mut settings = repository.ok_or_else(not_found)?.settings.clone();
        change(&mut settings)?;
        let change = Change::PutSettings(self.registry.clone(), name.clone(), Box::new(settings));
        store.commit(vec![change])?;
        Ok(name)
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), ApiError> {
        self.shared.store().commit(changes).map_err(Into::into)
    }

    /// An object with `registryId`, `repositoryName` and the members of `more`.
    fn about(&self, name: &RepositoryName, more: Value) -> Value {
        let mut response = json!({"registryId": self.registry.account, "repositoryName": name});
        if let (Some(response), Value::Object(more)) = (response.as_object_mut(), more) {
            response.extend(more);
        }
        response
    }

    fn arn(&self, name: &RepositoryName) -> String {
        format!("{}{name}", self.arn_prefix())
    }

    /// The repository name of an ARN, which must be one of this registry.
    fn name_of_arn(&self, arn: &str) -> Result<RepositoryName, ApiError> {
        let prefix = self.arn_prefix();
        let invalid = || ApiError::invalid("resourceArn", "must be the ARN of a repository in this registry");
        self.name(arn.strip_prefix(&prefix).ok_or_else(invalid)?)
    }

    fn arn_prefix(&self) -> String {
        format!("arn:aws:ecr:{}:{}:repository/", self.registry.region, self.registry.account)
    }

    /// The text of a manifest.
    fn manifest(&self, digest: &Digest) -> Result<String, ApiError> {
        let path = self.shared.store().blobs().path(digest);
        std::fs::read_to_string(path).map_err(Into::into)
    }
}
