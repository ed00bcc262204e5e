//! IAM policies for the people and machines that use a workspace's repositories: what each command needs, nothing else.
//!
//! Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon Elastic Container
//! Registry"; Amazon ECR user guide, "Pushing an image" and "Encryption at rest" (required IAM permissions).

use std::collections::BTreeMap;

use ecr_types::{EncryptionType, RegistryId};
use serde::Serialize;

use crate::config::desired::{DesiredRepository, LifecyclePolicy, MANAGED_BY};

/// Whom a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// A pipeline that builds and pushes: `push`, with `--fail-on`.
    Ci,
    /// A machine that pulls: an EKS node.
    Node,
    /// Whoever makes repositories: `ecr plan`, `create`, `delete`, `lifecycle preview --aws`.
    Provision,
    /// Whoever looks: `ecr images`, `scan`, `status`, `lifecycle preview`.
    Read,
}

/// Where the repositories are.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The region.
    pub region: &'a str,
    /// The account.
    pub account: &'a RegistryId,
    /// The repositories.
    pub repositories: &'a [DesiredRepository],
    /// The project: with one, ownership is checked, which reads resource tags.
    pub project: Option<&'a str>,
    /// Whether `--orphans` is to work, which looks at every repository of the account.
    pub orphans: bool,
}

/// An IAM policy document that allows what a role needs, and nothing else (IAM, "JSON policy elements").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "PascalCase")]
pub struct Document {
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
        schemars(extend("enum" = ["Registry", "Repositories", "Orphans", "DeleteOrphans", "Keys"]))
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
            inner(regex(pattern = r"^(?:ecr|kms):[A-Z][A-Za-z]+$")),
            extend("uniqueItems" = true)
        )
    )]
    action: Vec<String>,
    /// The ARNs of the resources, or `*` for actions without resources.
    #[cfg_attr(
        test,
        schemars(
            length(min = 1),
            inner(regex(pattern = r"^(?:\*|arn:[a-z0-9-]+:(?:ecr|kms):[a-z0-9-]+:[0-9]{12}:.+)$")),
            extend("uniqueItems" = true)
        )
    )]
    resource: Vec<String>,
    /// The condition. Absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Condition"))]
    condition: Option<Condition>,
}

/// A condition on the resource tags of repositories (ECR user guide, "Using tag-based access control").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "PascalCase")]
struct Condition {
    /// The keys of the resource tags and their required values.
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

/// The most characters of a managed policy, white space aside (IAM quotas).
pub const MANAGED_POLICY: usize = 6144;

impl Document {
    /// The document of a role.
    pub fn new(role: Role, scope: &Scope<'_>) -> Self {
        let names = scope.repositories.iter().map(|it| it.name.as_str());
        let repositories: Vec<_> =
            names.map(|name| scope.arn("ecr", &format!("repository/{name}"))).collect();
        let anything = vec!["*".to_owned()];
        let mut statement = vec![
            Statement::new("Registry", registry_actions(role), anything),
            Statement::new("Repositories", repository_actions(role, scope), repositories),
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
            statement.extend(keys(scope));
        }
        // A workspace without repositories has nothing to allow there.
        statement.retain(|it| !it.resource.is_empty());
        Self { version: "2012-10-17", statement }
    }

    /// How much of IAM's quota the document takes.
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

impl Scope<'_> {
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

/// Actions that have no resource.
fn registry_actions(role: Role) -> Vec<&'static str> {
    match role {
        Role::Ci | Role::Node => vec!["GetAuthorizationToken"],
        Role::Provision | Role::Read => vec!["GetAuthorizationToken", "GetRegistryScanningConfiguration"],
    }
}

fn repository_actions(role: Role, scope: &Scope<'_>) -> Vec<&'static str> {
    match role {
        Role::Node => vec!["BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"],
        Role::Ci => {
            let mut actions = vec![
                "BatchCheckLayerAvailability",
                "BatchGetImage",
                "CompleteLayerUpload",
                "DescribeImageScanFindings",
                "DescribeRepositories",
                "InitiateLayerUpload",
                "PutImage",
                "UploadLayerPart",
            ];
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
                // What `lifecycle preview --aws` asks for, also with a policy that is not in use yet.
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

/// What ECR does in the creator's name with a customer's key.
fn keys(scope: &Scope<'_>) -> Option<Statement> {
    let encryptions = scope.repositories.iter().filter_map(|it| it.encryption.as_ref());
    let keys = encryptions.filter(|it| it.kind != EncryptionType::Aes256).filter_map(|it| it.kms_key.clone());
    let mut resource: Vec<_> = keys.filter(|it| is_key_arn(it)).collect();
    resource.sort();
    resource.dedup();
    let action = ["kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"].map(str::to_owned).to_vec();
    let keys = Statement { sid: "Keys", effect: "Allow", action, resource, condition: None };
    (!keys.resource.is_empty()).then_some(keys)
}

/// Whether a policy can name a KMS key so: by its ARN. An alias or an identifier matches no request.
pub fn is_key_arn(key: &str) -> bool {
    key.starts_with("arn:") && key.contains(":key/")
}

/// The partition that a region belongs to (AWS General Reference, "Amazon Resource Names").
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
    fn partitions_follow_regions() {
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
    fn no_repositories_means_no_statement_about_them() {
        let account = "123456789012".parse().unwrap();
        let scope = Scope {
            region: "us-east-1",
            account: &account,
            repositories: &[],
            project: None,
            orphans: false,
        };
        assert_eq!(Document::new(Role::Node, &scope).statement.len(), 1);
    }
}
