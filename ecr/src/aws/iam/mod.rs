//! IAM policies for the users of a workspace's repositories, with only the permissions that the commands of a role
//! need.
//!
//! Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon Elastic Container
//! Registry"; Amazon ECR user guide, "Pushing an image" and "Encryption at rest" (required IAM permissions).

use std::collections::{BTreeMap, BTreeSet};

use ecr_oci::reference::Reference;
use ecr_types::permission::RegistryRequest;
use ecr_types::{EncryptionType, RegistryId};
use serde::Serialize;

use super::private_registry::PrivateRegistry;

mod registry;
mod trust;
pub use trust::{Pipeline, TrustPolicy};

use crate::config::desired::{DesiredRegistry, DesiredRepository, LifecyclePolicy, MANAGED_BY};
use crate::registry::{PullThroughRule, SigningRule};

/// The principal that a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// A pipeline that builds and pushes images: `push`, also with `--fail-on` and `--require-signed`.
    Ci,
    /// A machine that pulls images, such as an EKS node.
    Node,
    /// The administrator of the repositories: `ecr plan`, `create`, `delete`, `lifecycle preview --aws`.
    Provision,
    /// A user with read access: `ecr images`, `scan`, `status`, `lifecycle preview`.
    Read,
}

/// The repositories that a policy is for.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    pub region: &'a str,
    pub account: &'a RegistryId,
    pub repositories: &'a [DesiredRepository],
    /// The base images of the services.
    pub bases: &'a [Reference],
    /// With a project, commands check the owner of a repository, which requires reading resource tags.
    pub project: Option<&'a str>,
    /// Whether to allow `--orphans`, which reads every repository of the account.
    pub orphans: bool,
    /// With `--registry`.
    pub registry: Option<RegistryScope<'a>>,
}

/// What the settings of the whole registry require.
#[derive(Debug, Clone)]
pub struct RegistryScope<'a> {
    /// The settings that the workspace configures, for `provision`.
    pub desired: &'a DesiredRegistry,
    /// For `ci`: the signing rules.
    pub signing: Vec<SigningRule>,
    /// For `ci`: the pull-through cache rules.
    pub pull_through: Vec<PullThroughRule>,
}

/// An IAM policy document that allows what a role needs, and nothing else (IAM, "JSON policy elements").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "PascalCase")]
pub struct PolicyDocument {
    /// The version of the policy language.
    #[cfg_attr(test, schemars(extend("const" = "2012-10-17")))]
    version: &'static str,
    /// The statements.
    #[cfg_attr(test, schemars(length(min = 1)))]
    statement: Vec<Statement>,
}

/// A statement that allows actions on resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "PascalCase")]
struct Statement {
    /// The identifier of the statement.
    #[cfg_attr(
        test,
        schemars(extend("enum" = [
            "Registry", "Repositories", "Bases", "Orphans", "DeleteOrphans", "Keys", "Signing", "Caches",
            "RegistrySettings", "TemplateRepositories", "TemplateRole",
        ]))
    )]
    sid: &'static str,
    /// The effect. No statement denies actions.
    #[cfg_attr(test, schemars(extend("const" = "Allow")))]
    effect: &'static str,
    /// The actions, sorted.
    #[cfg_attr(
        test,
        schemars(
            length(min = 1),
            inner(regex(pattern = r"^(?:ecr|kms|signer|iam):[A-Z][A-Za-z]+$")),
            extend("uniqueItems" = true)
        )
    )]
    action: Vec<String>,
    /// The ARNs of the resources, or `*` for actions without resources.
    #[cfg_attr(
        test,
        schemars(
            length(min = 1),
            inner(regex(pattern = r"^(?:\*|arn:[a-z0-9-]+:(?:ecr|kms|signer|iam):[a-z0-9-]*:[0-9]{12}:.+)$")),
            extend("uniqueItems" = true)
        )
    )]
    resource: Vec<String>,
    /// The condition. Absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Condition"))]
    condition: Option<Condition>,
}

/// A condition, such as on the resource tags of repositories (ECR user guide, "Using tag-based access control").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "PascalCase")]
struct Condition {
    /// The condition keys and their required values.
    string_equals: BTreeMap<&'static str, String>,
}

impl Condition {
    fn of_project(project: &str) -> Self {
        let tags = [
            ("aws:ResourceTag/ManagedBy", MANAGED_BY.to_owned()),
            ("aws:ResourceTag/Project", project.to_owned()),
        ];
        Self { string_equals: tags.into() }
    }
}

/// The maximum number of characters of a managed policy, without white space (IAM quotas).
pub const MANAGED_POLICY_MAX_SIZE: usize = 6144;

impl PolicyDocument {
    pub fn new(role: Role, scope: &Scope<'_>) -> Self {
        let names = scope.repositories.iter().map(|it| it.name.as_str());
        let repositories: Vec<_> =
            names.map(|name| scope.arn("ecr", &format!("repository/{name}"))).collect();
        let anything = vec!["*".to_owned()];
        let bases = if role == Role::Ci { scope.base_arns(&repositories) } else { Vec::new() };
        let mut statement = vec![
            Statement::new("Registry", registry_actions(role), anything),
            Statement::new("Repositories", repository_actions(role, scope), repositories),
            Statement::new("Bases", BASE_ACTIONS.to_vec(), bases),
        ];
        if scope.orphans && matches!(role, Role::Provision | Role::Read) {
            let every = vec![scope.arn("ecr", "repository/*")];
            let reads = &["DescribeRepositories", "ListTagsForResource"];
            statement.push(Statement::new("Orphans", reads.to_vec(), every.clone()));
            let project = scope.project.filter(|_| role == Role::Provision);
            statement.extend(project.map(|it| Statement {
                condition: Some(Condition::of_project(it)),
                ..Statement::new("DeleteOrphans", vec!["DeleteRepository", "DescribeImages"], every)
            }));
        }
        if role == Role::Provision {
            statement.extend(kms_statement(scope));
        }
        if let Some(registry) = &scope.registry {
            statement.extend(registry::statements(role, scope, registry));
        }
        // IAM rejects a statement without resources. A workspace without repositories has such statements.
        statement.retain(|it| !it.resource.is_empty());
        Self { version: "2012-10-17", statement }
    }

    /// The number of characters that count for the quota.
    pub fn size(&self) -> usize {
        serde_json::to_string(self).map_or(0, |it| it.len())
    }
}

impl Statement {
    fn new(sid: &'static str, actions: Vec<&str>, resource: Vec<String>) -> Self {
        let mut action: Vec<_> = actions.into_iter().map(|it| format!("ecr:{it}")).collect();
        action.sort();
        action.dedup();
        Self { sid, effect: "Allow", action, resource, condition: None }
    }
}

/// The actions that a pull of a base image asks for: one for manifests and one for blobs (ECR user guide, "Pulling an
/// image").
const BASE_ACTIONS: [&str; 2] = ["BatchGetImage", "GetDownloadUrlForLayer"];

impl Scope<'_> {
    /// The ARNs of the bases' repositories in private registries of ECR, without those of `repositories`.
    fn base_arns(&self, repositories: &[String]) -> Vec<String> {
        let arn = |base: &Reference| {
            let PrivateRegistry { account, region } = PrivateRegistry::of_host(&base.host)?;
            Some(format!("arn:{}:ecr:{region}:{account}:repository/{}", partition(&region), base.name))
        };
        let arns = self.bases.iter().filter_map(arn).filter(|it| !repositories.contains(it));
        arns.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{resource}", partition(self.region), self.region, self.account)
    }

    fn has_lifecycle(&self, is_wanted: fn(&LifecyclePolicy) -> bool) -> bool {
        self.repositories.iter().filter_map(|it| it.lifecycle_policy.as_ref()).any(is_wanted)
    }

    fn has_repository_policy(&self) -> bool {
        self.repositories.iter().any(|it| it.repository_policy.is_some())
    }
}

/// The actions on a repository that AWS checks for requests of the registry.
fn actions_of(requests: &[RegistryRequest]) -> Vec<&'static str> {
    let of_registry = registry_actions(Role::Node);
    requests.iter().flat_map(|it| it.actions()).copied().filter(|it| !of_registry.contains(it)).collect()
}

/// Actions that do not support resource-level permissions.
fn registry_actions(role: Role) -> Vec<&'static str> {
    match role {
        Role::Ci | Role::Node => vec!["GetAuthorizationToken"],
        Role::Provision => vec!["GetAuthorizationToken", "GetRegistryScanningConfiguration"],
        // The section "Registry" of `ecr status`.
        Role::Read => vec![
            "DescribePullThroughCacheRules",
            "DescribeRegistry",
            "DescribeRepositoryCreationTemplates",
            "GetAccountSetting",
            "GetAuthorizationToken",
            "GetRegistryScanningConfiguration",
            "GetSigningConfiguration",
            "ListPullTimeUpdateExclusions",
        ],
    }
}

fn repository_actions(role: Role, scope: &Scope<'_>) -> Vec<&'static str> {
    match role {
        Role::Node => actions_of(&RegistryRequest::OF_PULL),
        Role::Ci => {
            let mut actions = actions_of(&RegistryRequest::OF_PUSH);
            // The first two for the gates, the third for `push --since`, `resolve` and `promote`, the fourth for `promote`.
            actions.extend([
                "DescribeImageScanFindings",
                "DescribeImageSigningStatus",
                "DescribeImages",
                "GetLifecyclePolicy",
                "DescribeRepositories",
            ]);
            actions.extend(scope.project.map(|_| "ListTagsForResource"));
            actions
        }
        Role::Provision => {
            let mut actions = vec![
                "CreateRepository",
                "DeleteRepository",
                "DescribeImages",
                "DescribeRepositories",
                "ListTagsForResource",
                "PutImageScanningConfiguration",
                "PutImageTagMutability",
                "TagResource",
                // For `lifecycle preview --aws`.
                "BatchGetImage",
                "GetLifecyclePolicy",
                "GetLifecyclePolicyPreview",
                "StartLifecyclePolicyPreview",
            ];
            if scope.has_lifecycle(|it| matches!(it, LifecyclePolicy::Document(_))) {
                actions.push("PutLifecyclePolicy");
            }
            if scope.has_lifecycle(|it| matches!(it, LifecyclePolicy::Absent)) {
                actions.push("DeleteLifecyclePolicy");
            }
            if scope.has_repository_policy() {
                actions.extend(["GetRepositoryPolicy", "SetRepositoryPolicy"]);
            }
            actions
        }
        Role::Read => {
            let mut actions = vec![
                "BatchGetImage",
                "DescribeImageScanFindings",
                "DescribeImages",
                "DescribeRepositories",
                "GetLifecyclePolicy",
                "ListTagsForResource",
            ];
            actions.extend(scope.has_repository_policy().then_some("GetRepositoryPolicy"));
            actions
        }
    }
}

/// The use of customer managed KMS keys, which ECR requires of the creator of a repository.
fn kms_statement(scope: &Scope<'_>) -> Option<Statement> {
    let encryptions = scope.repositories.iter().filter_map(|it| it.encryption.as_ref());
    let keys = encryptions.filter(|it| it.kind != EncryptionType::Aes256).filter_map(|it| it.kms_key.clone());
    let mut resource: Vec<_> = keys.filter(|it| is_key_arn(it)).collect();
    resource.sort();
    resource.dedup();
    let action = ["kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"].map(str::to_owned).to_vec();
    let keys = Statement { sid: "Keys", effect: "Allow", action, resource, condition: None };
    (!keys.resource.is_empty()).then_some(keys)
}

/// Whether `key` is the ARN of a KMS key. In the resource element of a policy, key IDs and aliases match no request.
pub fn is_key_arn(key: &str) -> bool {
    key.starts_with("arn:") && key.contains(":key/")
}

/// The partition of a region (AWS General Reference, "Amazon Resource Names").
pub fn partition(region: &str) -> &'static str {
    const PREFIXES: [(&str, &str); 8] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eu-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    PREFIXES
        .into_iter()
        .find(|(prefix, _)| region.starts_with(prefix))
        .map_or("aws", |(_, partition)| partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_depends_on_the_region() {
        for (region, wanted) in [
            ("us-east-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eusc-de-east-1", "aws-eusc"),
        ] {
            assert_eq!(partition(region), wanted);
        }
    }

    #[test]
    fn document_without_repositories_has_no_statement_about_them() {
        let account = "123456789012".parse().unwrap();
        let scope = Scope {
            region: "us-east-1",
            account: &account,
            repositories: &[],
            bases: &[],
            project: None,
            orphans: false,
            registry: None,
        };
        assert_eq!(PolicyDocument::new(Role::Node, &scope).statement.len(), 1);
    }
}
