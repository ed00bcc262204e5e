//! Repository creation templates: the settings of repositories that a push, a pull-through cache or replication creates.

use std::collections::BTreeMap;

use ecr_lifecycle::StoredPolicy;
use ecr_types::{RepositoryName, namespace};
use serde_json::{Value, json};

use crate::config::desired::DesiredTemplate;

/// The value of `appliedFor` of a template for pushes to repositories that do not exist.
pub const CREATE_ON_PUSH: &str = "CREATE_ON_PUSH";

/// A template of the registry (service model, `RepositoryCreationTemplate`).
#[derive(Debug, Clone, PartialEq)]
pub struct CreationTemplate {
    /// The namespace that it is about, or `ROOT`.
    pub prefix: String,
    /// `PULL_THROUGH_CACHE`, `REPLICATION`, `CREATE_ON_PUSH`.
    pub applied_for: Vec<String>,
    /// The API value of `imageTagMutability`.
    pub image_tag_mutability: String,
    pub lifecycle_policy: Option<StoredPolicy>,
    pub tags: BTreeMap<String, String>,
    /// The role with which ECR sets KMS keys and resource tags.
    pub custom_role_arn: Option<String>,
}

impl CreationTemplate {
    /// Whether its namespace holds a repository.
    pub fn covers(&self, name: &RepositoryName) -> bool {
        namespace::covers(&self.prefix, name.as_str())
    }

    /// Whether it cannot create a repository: it has resource tags, and no role that may set them.
    pub fn is_broken(&self) -> bool {
        !self.tags.is_empty() && self.custom_role_arn.is_none()
    }

    /// The fields in which it differs from a desired template, with both values.
    pub fn differences(&self, desired: &DesiredTemplate) -> Vec<(&'static str, Value, Value)> {
        let mut differences = Vec::new();
        let mut compare = |field, observed: Value, desired: Value| {
            if observed != desired {
                differences.push((field, observed, desired));
            }
        };
        compare(
            "imageTagMutability",
            json!(self.image_tag_mutability),
            json!(desired.image_tag_mutability.as_str()),
        );
        compare("appliedFor", json!(self.applied_for), json!(applied_for(Some(self))));
        if let Some(policy) = &desired.lifecycle_policy {
            let stored = self.lifecycle_policy.as_ref();
            if stored.and_then(StoredPolicy::document) != Some(policy) {
                compare(
                    "lifecyclePolicy",
                    json!(stored.map(StoredPolicy::to_json)),
                    policy.policy().to_json(),
                );
            }
        }
        if desired.custom_role_arn.is_some() {
            compare("customRoleArn", json!(self.custom_role_arn), json!(desired.custom_role_arn));
            compare("resourceTags", json!(self.tags), json!(desired.tags));
        }
        differences
    }
}

/// The value of `appliedFor` of a desired template: pushes, and what an existing one is for already.
pub fn applied_for(existing: Option<&CreationTemplate>) -> Vec<String> {
    let mut applied = existing.map(|it| it.applied_for.clone()).unwrap_or_default();
    if !applied.iter().any(|it| it == CREATE_ON_PUSH) {
        applied.push(CREATE_ON_PUSH.to_owned());
    }
    applied
}

/// The members of a request that creates a template.
pub fn describe(desired: &DesiredTemplate) -> Value {
    let mut members = json!({
        "appliedFor": [CREATE_ON_PUSH],
        "imageTagMutability": desired.image_tag_mutability.as_str(),
    });
    if let Some(policy) = &desired.lifecycle_policy {
        members["lifecyclePolicy"] = policy.policy().to_json();
    }
    if let Some(role) = &desired.custom_role_arn {
        members["customRoleArn"] = json!(role);
        members["resourceTags"] = json!(desired.tags);
    }
    members
}
