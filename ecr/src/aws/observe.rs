//! Reading a registry: `DescribeRepositories` in batches, then concurrent requests for policies and tags.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::types::Repository;
use ecr_lifecycle::StoredPolicy;
use ecr_types::{RepositoryName, ScanningRule};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::answer::{member, unexpected};
use super::apply::arn_and_uri;
use super::pages::Pages;
use super::{Aws, ServiceError};
use crate::config::desired::Encryption;
use crate::plan::observed::{Observed, ObservedRepository, Property};

/// The properties of a repository to read in addition to its description. Each one costs a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reads {
    pub lifecycle_policy: bool,
    pub repository_policy: bool,
    /// Resource tags.
    pub tags: bool,
}

/// The repositories that could not be read.
pub type Failures = BTreeMap<RepositoryName, ServiceError>;

/// If a repository of a batch of at most this size does not exist, the others are requested one by one, which takes one
/// round of concurrent requests.
const SMALL_BATCH: usize = 16;
/// The maximum number of names of one `DescribeRepositories` request (service model, `RepositoryNameList`).
const NAMES_PER_CALL: usize = 100;

impl Aws {
    /// The existing repositories among `names`, with the properties that `reads` selects. A repository that cannot be
    /// read does not affect the others: its error is in the second part of the result.
    pub async fn observe(
        &self,
        names: &[RepositoryName],
        reads: impl Fn(&RepositoryName) -> Reads,
    ) -> Result<(Observed, Failures), ServiceError> {
        let (described, mut failures) = self.describe(names).await?;
        let details = described.into_iter().filter_map(|it| {
            let name: RepositoryName = it.repository_name()?.parse().ok()?;
            let reads = reads(&name);
            Some(async move {
                let result = self.details(it, reads).await;
                (name, result)
            })
        });
        let details: Vec<_> = stream::iter(details).buffer_unordered(self.concurrency()).collect().await;
        let mut observed = Observed::default();
        for (name, result) in details {
            match result {
                Ok(Some(repository)) => drop(observed.repositories.insert(name, repository)),
                Ok(None) => {}
                Err(error) => drop(failures.insert(name, error)),
            }
        }
        Ok((observed, failures))
    }

    /// The rules of the registry scanning configuration. Empty if the permission to read them is missing.
    pub async fn scanning_rules(&self) -> Result<Vec<ScanningRule>, ServiceError> {
        const ACTION: &str = "ecr:GetRegistryScanningConfiguration";
        match self.ecr.get_registry_scanning_configuration().send().await {
            Ok(response) => {
                let found = member(ACTION, "scanningConfiguration", response.scanning_configuration())?;
                Ok(found.rules().iter().map(scanning_rule).collect())
            }
            Err(error) => {
                let skipped = "the scanning rules of the registry were not considered";
                self.note_if_denied(ServiceError::new(ACTION, error), ACTION, skipped, "")
                    .map(|()| Vec::new())
            }
        }
    }

    /// The names and ARNs of all repositories of the registry.
    pub async fn all_repositories(&self) -> Result<Vec<(RepositoryName, String)>, ServiceError> {
        let request = self.ecr.describe_repositories().max_results(1000);
        let mut pages = Pages::new(DESCRIBE);
        let mut repositories = Vec::new();
        loop {
            let page = request.clone().set_next_token(pages.token()).send().await;
            let page = page.map_err(|it| ServiceError::new(DESCRIBE, it))?;
            for found in member(DESCRIBE, "repositories", page.repositories)? {
                let name = member(DESCRIBE, "repositoryName", found.repository_name())?;
                let (arn, _) = arn_and_uri(DESCRIBE, &found)?;
                // A name that this tool does not know is none of its repositories.
                repositories.extend(name.parse().ok().map(|it: RepositoryName| (it, arn.to_owned())));
            }
            if !pages.follow(page.next_token)? {
                return Ok(repositories);
            }
        }
    }

    /// The resource tags of repositories, sorted by name. Repositories that no longer exist are omitted.
    pub async fn tags_of(
        &self,
        repositories: Vec<(RepositoryName, String)>,
    ) -> Result<Vec<(RepositoryName, Property<BTreeMap<String, String>>)>, ServiceError> {
        let read = repositories.into_iter().map(|(name, arn)| async move {
            let tags = self.tags(&arn, name.as_str()).await?;
            Ok(tags.map(|tags| (name, tags)))
        });
        let read: Vec<Option<_>> =
            stream::iter(read).buffer_unordered(self.concurrency()).try_collect().await?;
        let mut read: Vec<_> = read.into_iter().flatten().collect();
        read.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(read)
    }

    /// `DescribeRepositories` fails as a whole if one of its repositories does not exist or access to it is denied.
    /// That is rare except in the first run, so that names are first requested in batches. Only a batch that failed for
    /// one of these reasons is requested again, name by name.
    async fn describe(&self, names: &[RepositoryName]) -> Result<(Vec<Repository>, Failures), ServiceError> {
        let batches = names.chunks(NAMES_PER_CALL).map(|batch| async move {
            match self.describe_batch(batch).await {
                Err(error) if error.has_code(NOT_FOUND) && batch.len() == 1 => Ok(Default::default()),
                Err(error) if error.has_code(NOT_FOUND) => Ok(self.describe_present(batch, &error).await),
                Err(error) if error.is_denied() && batch.len() > 1 => Ok(self.describe_each(batch).await),
                result => result.map(|it| (it, Failures::new())),
            }
        });
        let batches: Vec<(Vec<Repository>, Failures)> =
            stream::iter(batches).buffered(self.concurrency()).try_collect().await?;
        let (described, failures): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
        Ok((described.into_iter().flatten().collect(), failures.into_iter().flatten().collect()))
    }

    /// Describes a batch with a repository that does not exist. The error message names it. From a large batch, up to
    /// three such names are removed before the remaining ones are requested one by one.
    async fn describe_present(
        &self,
        names: &[RepositoryName],
        error: &ServiceError,
    ) -> (Vec<Repository>, Failures) {
        let mut names = names.to_vec();
        let mut absent = error.quoted_name();
        for _ in 0..3 {
            let n = names.len();
            names.retain(|it| absent.as_deref() != Some(it.as_str()));
            if n == names.len() || n <= SMALL_BATCH {
                break;
            }
            match self.describe_batch(&names).await {
                Ok(described) => return (described, Failures::new()),
                Err(error) => absent = error.quoted_name(),
            }
        }
        self.describe_each(&names).await
    }

    async fn describe_each(&self, names: &[RepositoryName]) -> (Vec<Repository>, Failures) {
        let each = names
            .iter()
            .map(|name| async move { (name.clone(), self.describe_batch(std::slice::from_ref(name)).await) });
        let each: Vec<_> = stream::iter(each).buffered(self.concurrency()).collect().await;
        let (mut described, mut failures) = (Vec::new(), Failures::new());
        for (name, result) in each {
            match result {
                Ok(found) => described.extend(found),
                Err(error) if error.has_code(NOT_FOUND) => {}
                Err(error) => drop(failures.insert(name, error)),
            }
        }
        (described, failures)
    }

    async fn describe_batch(&self, names: &[RepositoryName]) -> Result<Vec<Repository>, ServiceError> {
        let asked = names.iter().map(ToString::to_string).collect();
        let response = self.ecr.describe_repositories().set_repository_names(Some(asked)).send().await;
        let response = response.map_err(|it| ServiceError::new(DESCRIBE, it))?;
        let found = member(DESCRIBE, "repositories", response.repositories)?;
        require_all(names, &found)?;
        Ok(found)
    }

    /// Reads the selected properties. `None` if the repository was deleted in the meantime.
    async fn details(
        &self,
        described: Repository,
        reads: Reads,
    ) -> Result<Option<ObservedRepository>, ServiceError> {
        let name = described.repository_name().unwrap_or_default();
        let arn = described.repository_arn().unwrap_or_default();
        let lifecycle_policy = async {
            if reads.lifecycle_policy {
                self.lifecycle_policy(name).await
            } else {
                Ok(Some(Property::Skipped))
            }
        };
        let repository_policy = async {
            if reads.repository_policy {
                self.repository_policy(name).await
            } else {
                Ok(Some(Property::Skipped))
            }
        };
        let tags =
            async { if reads.tags { self.tags(arn, name).await } else { Ok(Some(Property::Skipped)) } };
        let (lifecycle_policy, repository_policy, tags) =
            tokio::try_join!(lifecycle_policy, repository_policy, tags)?;
        let (Some(lifecycle_policy), Some(repository_policy), Some(tags)) =
            (lifecycle_policy, repository_policy, tags)
        else {
            return Ok(None);
        };
        let policies = (lifecycle_policy, repository_policy);
        Ok(Some(observed_repository(&described, policies, tags)))
    }

    async fn lifecycle_policy(
        &self,
        name: &str,
    ) -> Result<Option<Property<Option<StoredPolicy>>>, ServiceError> {
        const ACTION: &str = "ecr:GetLifecyclePolicy";
        let response = self.ecr.get_lifecycle_policy().repository_name(name).send().await;
        let response = response.map_err(|it| ServiceError::new(ACTION, it)).and_then(|it| {
            self.about(ACTION, it.registry_id(), it.repository_name(), name)?;
            member(ACTION, "lifecyclePolicyText", it.lifecycle_policy_text).map(StoredPolicy::parse)
        });
        let skipped = "lifecycle policies are unknown, and `ecr create` writes them again";
        self.optional_policy(response, "LifecyclePolicyNotFoundException", ACTION, skipped, name)
    }

    async fn repository_policy(&self, name: &str) -> Result<Option<Property<Option<String>>>, ServiceError> {
        const ACTION: &str = "ecr:GetRepositoryPolicy";
        let response = self.ecr.get_repository_policy().repository_name(name).send().await;
        let response = response.map_err(|it| ServiceError::new(ACTION, it)).and_then(|it| {
            self.about(ACTION, it.registry_id(), it.repository_name(), name)?;
            member(ACTION, "policyText", it.policy_text)
        });
        let skipped = "repository policies were not compared";
        self.optional_policy(response, "RepositoryPolicyNotFoundException", ACTION, skipped, name)
    }

    /// A policy that may be absent (error code `absent`). `None` if the repository does not exist.
    fn optional_policy<T>(
        &self,
        response: Result<T, ServiceError>,
        absent: &str,
        action: &'static str,
        skipped: &'static str,
        name: &str,
    ) -> Result<Option<Property<Option<T>>>, ServiceError> {
        match response {
            Ok(policy) => Ok(Some(Property::Known(Some(policy)))),
            Err(error) if error.has_code(absent) => Ok(Some(Property::Known(None))),
            Err(error) if error.has_code(NOT_FOUND) => Ok(None),
            Err(error) => self.note_if_denied(error, action, skipped, name).map(|()| Some(Property::Denied)),
        }
    }

    async fn tags(
        &self,
        arn: &str,
        name: &str,
    ) -> Result<Option<Property<BTreeMap<String, String>>>, ServiceError> {
        match self.list_tags(arn).await {
            Ok(tags) => Ok(Some(Property::Known(tags))),
            Err(error) if error.has_code(NOT_FOUND) => Ok(None),
            Err(error) => {
                let skipped = "ownership and resource tags were not checked";
                self.note_if_denied(error, LIST_TAGS, skipped, name).map(|()| Some(Property::Denied))
            }
        }
    }

    /// The resource tags of the repository with this ARN.
    pub(super) async fn list_tags(&self, arn: &str) -> Result<BTreeMap<String, String>, ServiceError> {
        let response = self.ecr.list_tags_for_resource().resource_arn(arn).send().await;
        let response = response.map_err(|it| ServiceError::new(LIST_TAGS, it))?;
        let tags = member(LIST_TAGS, "tags", response.tags)?;
        Ok(tags.into_iter().map(|it| (it.key, it.value)).collect())
    }

    /// Records a denied read for the warnings. Any other error is returned.
    pub(super) fn note_if_denied(
        &self,
        error: ServiceError,
        action: &'static str,
        skipped: &'static str,
        name: &str,
    ) -> Result<(), ServiceError> {
        if !error.is_denied() {
            return Err(error);
        }
        self.denials.add(action, skipped, name);
        Ok(())
    }
}

const DESCRIBE: &str = "ecr:DescribeRepositories";
/// The permission to read resource tags.
pub const LIST_TAGS: &str = "ecr:ListTagsForResource";

/// Checks that the repositories that were asked for, and no other, were described. ECR answers with an error if one of
/// them does not exist.
fn require_all(names: &[RepositoryName], found: &[Repository]) -> Result<(), ServiceError> {
    let mut missing: BTreeSet<_> = names.iter().map(RepositoryName::as_str).collect();
    for repository in found {
        let name = member(DESCRIBE, "repositoryName", repository.repository_name())?;
        arn_and_uri(DESCRIBE, repository)?;
        if !missing.remove(name) {
            return Err(unexpected(DESCRIBE, format!("repository `{name}`, which was not asked for")));
        }
    }
    match missing.first() {
        Some(name) => Err(unexpected(DESCRIBE, format!("no repository `{name}`"))),
        None => Ok(()),
    }
}

/// The error code for a repository that does not exist.
pub(super) const NOT_FOUND: &str = "RepositoryNotFoundException";

type Policies = (Property<Option<StoredPolicy>>, Property<Option<String>>);

fn observed_repository(
    described: &Repository,
    (lifecycle_policy, repository_policy): Policies,
    tags: Property<BTreeMap<String, String>>,
) -> ObservedRepository {
    let mutability = described.image_tag_mutability().map_or("MUTABLE", |it| it.as_str());
    let filters = described.image_tag_mutability_exclusion_filters();
    ObservedRepository {
        arn: described.repository_arn().unwrap_or_default().to_owned(),
        uri: described.repository_uri().unwrap_or_default().to_owned(),
        image_tag_mutability: mutability.to_owned(),
        exclusion_filters: filters.iter().map(|it| it.filter().to_owned()).collect(),
        scan_on_push: described.image_scanning_configuration().is_some_and(|it| it.scan_on_push()),
        encryption: described.encryption_configuration().and_then(|it| {
            let kind = it.encryption_type().as_str().parse().ok()?;
            Some(Encryption { kind, kms_key: it.kms_key().map(str::to_owned) })
        }),
        lifecycle_policy,
        repository_policy,
        tags,
    }
}

pub(super) fn scanning_rule(rule: &aws_sdk_ecr::types::RegistryScanningRule) -> ScanningRule {
    ScanningRule {
        frequency: rule.scan_frequency().as_str().to_owned(),
        filters: rule.repository_filters().iter().map(|it| it.filter().to_owned()).collect(),
    }
}
