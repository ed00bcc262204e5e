//! The control plane, which is the ECR API: `X-Amz-Target` -> operation -> service model -> rules -> AWS JSON 1.1.

use ecr_types::RepositoryName;
use serde_json::{Value, json};

use super::access::{Access, Target};
use super::creation;
use super::error::ApiError;
use super::model::{Registry, RegistryKey, Repository, RepositorySettings};
use super::service_model::{self, Support};
use super::shared::Shared;
use super::store::{Queries, Rows, Snapshot, Transaction};
use super::sts::Caller;

mod archive;
mod cache_rules;
mod delete;
mod exclusions;
mod image_id;
mod images;
mod input;
mod layers;
mod page;
mod policies;
mod policy_text;
mod preview;
mod referrers;
mod registry;
mod registry_policy;
mod replication;
mod repositories;
mod scans;
mod signing;
mod tags;
mod templates;

use input::Input;
pub use preview::lifecycle_images;
pub use repositories::kms_key;

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
    let body = if body.is_empty() { b"{}" } else { body };
    let body: Value =
        serde_json::from_slice(body).map_err(|it| ApiError::new("SerializationException", it.to_string()))?;
    service_model::check(operation, &body)?;
    let input = Input::new(&body, operation);
    let call = call.of_registry(input);
    call.check_permission(operation, input)?;
    dispatch(&call, operation, input)
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
        "GetAuthorizationToken" => registry::authorization_token(call, input),
        "DescribeRegistry" => replication::describe_registry(call),
        "PutReplicationConfiguration" => replication::put(call, input),
        "DescribeImageReplicationStatus" => replication::status(call, input),
        "PutRegistryPolicy" => registry_policy::put(call, input),
        "GetRegistryPolicy" => registry_policy::get(call),
        "DeleteRegistryPolicy" => registry_policy::delete(call),
        "CreateRepositoryCreationTemplate" => templates::create(call, input),
        "DescribeRepositoryCreationTemplates" => templates::describe(call, input),
        "UpdateRepositoryCreationTemplate" => templates::update(call, input),
        "DeleteRepositoryCreationTemplate" => templates::delete(call, input),
        "CreatePullThroughCacheRule" => cache_rules::create(call, input),
        "DescribePullThroughCacheRules" => cache_rules::describe(call, input),
        "UpdatePullThroughCacheRule" => cache_rules::update(call, input),
        "DeletePullThroughCacheRule" => cache_rules::delete(call, input),
        "ValidatePullThroughCacheRule" => cache_rules::validate(call, input),
        "UpdateImageStorageClass" => archive::update(call, input),
        "RegisterPullTimeUpdateExclusion" => exclusions::register(call, input),
        "DeregisterPullTimeUpdateExclusion" => exclusions::deregister(call, input),
        "ListPullTimeUpdateExclusions" => exclusions::list(call, input),
        "PutSigningConfiguration" => signing::put(call, input),
        "GetSigningConfiguration" => signing::get(call),
        "DeleteSigningConfiguration" => signing::delete(call),
        "DescribeImageSigningStatus" => signing::status(call, input),
        "GetAccountSetting" => registry::get_setting(call, input),
        "PutAccountSetting" => registry::put_setting(call, input),
        "GetRegistryScanningConfiguration" => registry::get_scanning(call),
        "PutRegistryScanningConfiguration" => registry::put_scanning(call, input),
        "BatchGetRepositoryScanningConfiguration" => registry::repository_scanning(call, input),
        _ => Err(ApiError::internal(&format!("{operation} has no handler"))),
    }
}

impl Call<'_> {
    /// The call with the registry `registryId` of the input, which is that of the caller by default.
    fn of_registry(&self, input: Input<'_>) -> Self {
        let account = input.text("registryId").and_then(|it| it.parse().ok());
        let account = account.unwrap_or_else(|| self.registry.account.clone());
        let registry = RegistryKey { account, region: self.registry.region.clone() };
        Self { shared: self.shared, registry, caller: self.caller.clone() }
    }

    /// Fails if the caller may not do this, in one of the repositories that the input names.
    fn check_permission(&self, operation: &str, input: Input<'_>) -> Result<(), ApiError> {
        let of_arn = || input.text("resourceArn")?.split_once(":repository/").map(|it| it.1);
        let mut names = input.texts("repositoryNames").unwrap_or_default();
        names.extend(input.text("repositoryName").or_else(of_arn));
        let names: Vec<RepositoryName> = names.iter().filter_map(|it| it.parse().ok()).collect();
        let rows = self.shared.store.read()?;
        let (record, caller) = (rows.registry(&self.registry)?, self.caller.arn());
        let of_registry =
            Access { registry: &self.registry, record: &record, caller: &caller, operation, target: None };
        let check = |access: Access<'_>| match access.denial(self.shared) {
            Some(message) => Err(ApiError::new("AccessDeniedException", message)),
            None => Ok(()),
        };
        if names.is_empty() {
            return check(of_registry);
        }
        names.iter().try_for_each(|name| {
            let repository = rows.repository(&self.registry, name)?;
            check(Access { target: Some(Target { name, repository: repository.as_ref() }), ..of_registry })
        })
    }

    /// Parses a repository name.
    fn name(&self, text: &str) -> Result<RepositoryName, ApiError> {
        text.parse()
            .map_err(|it: ecr_types::InvalidName| ApiError::invalid("repositoryName", &it.to_string()))
    }

    /// The repository `repositoryName` of the input, which must exist, and the records at this moment.
    fn find(&self, input: Input<'_>) -> Result<Found, ApiError> {
        self.find_named(input.required("repositoryName"))
    }

    /// A repository, which must exist, and the records at this moment.
    fn find_named(&self, name: &str) -> Result<Found, ApiError> {
        let name = self.name(name)?;
        let rows = self.shared.store.read()?;
        let repository = self.existing(&rows, &name)?;
        Ok(Found { rows, name, repository })
    }

    /// A repository, which must exist.
    fn existing(&self, rows: &impl Rows, name: &RepositoryName) -> Result<Repository, ApiError> {
        let repository = rows.repository(&self.registry, name)?;
        repository
            .ok_or_else(|| ApiError::repository_not_found(name.as_str(), self.registry.account.as_str()))
    }

    /// Creates a repository that does not exist, if a template allows a push to do so.
    fn create_on_push(&self, name: &RepositoryName) -> Result<(), ApiError> {
        if self.shared.store.read()?.repository(&self.registry, name)?.is_none() {
            creation::on_push(self.shared, &self.registry, &self.caller.arn(), name)?;
        }
        Ok(())
    }

    /// Changes a repository, which must exist, in one transaction.
    fn change<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Transaction<'_>, &RepositoryName, &mut Repository) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let name = self.name(name)?;
        self.shared.store.write(|transaction| {
            let mut repository = self.existing(transaction, &name)?;
            change(transaction, &name, &mut repository)
        })
    }

    /// Changes the settings of a repository, which must exist, in one transaction.
    fn change_settings(
        &self,
        name: &str,
        change: impl FnOnce(&mut RepositorySettings) -> Result<(), ApiError>,
    ) -> Result<RepositoryName, ApiError> {
        self.change(name, |transaction, name, repository| {
            change(&mut repository.settings)?;
            transaction.put_repository(&self.registry, name, repository)?;
            Ok(name.clone())
        })
    }

    /// The settings of the registry as a whole.
    fn registry_settings(&self) -> Result<Registry, ApiError> {
        Ok(self.shared.store.read()?.registry(&self.registry)?)
    }

    /// Changes the settings of the registry as a whole, in one transaction.
    fn change_registry<T>(
        &self,
        change: impl FnOnce(&mut Registry) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.shared.store.write(|transaction| {
            let mut registry = transaction.registry(&self.registry)?;
            let value = change(&mut registry)?;
            transaction.put_registry(&self.registry, &registry)?;
            Ok(value)
        })
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
        self.registry.arn_of(name)
    }

    /// The repository name of an ARN, which must be one of this registry.
    fn name_of_arn(&self, arn: &str) -> Result<RepositoryName, ApiError> {
        let prefix = format!("arn:aws:ecr:{}:{}:repository/", self.registry.region, self.registry.account);
        let name = arn.strip_prefix(&prefix).and_then(|it| it.parse().ok());
        name.ok_or_else(|| ApiError::invalid("resourceArn", "Invalid ARN"))
    }
}

/// A repository, and the records at the moment when it was looked up.
struct Found {
    rows: Snapshot,
    name: RepositoryName,
    repository: Repository,
}
