//! Who may do what: repository and registry policies, and the fault `deny`.
//!
//! There is no IAM here: within its own account, a caller may do what no policy denies. In another account, a caller may do
//! what the policy of the repository or of the registry allows (Amazon ECR user guide, "Private repository policies" and
//! "Registry permissions").

use ecr_types::policy::{Decision, Policy, PolicyKind, Request};
use ecr_types::{RepositoryName, permission};

use super::model::{Registry, RegistryKey, Repository};
use super::shared::Shared;

/// The repository that a request is about.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub name: &'a RepositoryName,
    /// `None` if there is none with this name.
    pub repository: Option<&'a Repository>,
}

/// A request to be checked.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    pub registry: &'a RegistryKey,
    /// The settings and the policy of the registry.
    pub record: &'a Registry,
    /// The ARN of the caller.
    pub caller: &'a str,
    /// The operation without the prefix `ecr:`.
    pub operation: &'a str,
    /// `None` for the registry as a whole.
    pub target: Option<Target<'a>>,
}

/// The actions that a registry policy of the first version is about (Amazon ECR user guide, "Registry permissions").
const SCOPE_V1: [&str; 3] = ["BatchImportUpstreamImage", "CreateRepository", "ReplicateImage"];

impl Access<'_> {
    /// ECR's message if the request is denied. The resource is named as ECR names it (ministryofjustice/cloud-platform#7245).
    pub fn denial(&self, shared: &Shared) -> Option<String> {
        let action = permission::of_operation(self.operation);
        let resource = match self.target {
            Some(Target { name, .. }) => self.registry.arn_of(name),
            None => "*".to_owned(),
        };
        let refused = |why: &str| {
            let caller = self.caller;
            Some(format!(
                "User: {caller} is not authorized to perform: ecr:{action} on resource: {resource} {why}"
            ))
        };
        if shared.faults.denies(action) {
            return refused(&format!("because no identity-based policy allows the ecr:{action} action"));
        }
        match self.decision(shared, action, &resource) {
            Decision::Denied => refused("with an explicit deny in a resource-based policy"),
            Decision::Silent if !self.is_own() => {
                refused(&format!("because no resource-based policy allows the ecr:{action} action"))
            }
            _ => None,
        }
    }

    /// Whether the caller is of the account of the registry.
    fn is_own(&self) -> bool {
        self.caller.split(':').nth(4) == Some(self.registry.account.as_str())
    }

    /// What the policies say together.
    fn decision(&self, shared: &Shared, action: &str, resource: &str) -> Decision {
        // Everybody gets a token, and learns who they are.
        if action == "GetAuthorizationToken" {
            return Decision::Allowed;
        }
        let repository = self.target.and_then(|it| it.repository);
        let of_repository = repository.and_then(|it| it.settings.repository_policy.as_deref());
        let policies = [
            (of_repository, PolicyKind::Repository),
            (registry_policy(self.record, action), PolicyKind::Registry),
        ];
        let is_about_policies = action.ends_with("Policy");
        let action = format!("ecr:{action}");
        let request =
            Request { caller: self.caller, action: &action, resource, is_secure: shared.is_secure() };
        let decide = |(text, kind): (Option<&str>, _)| match Policy::parse(text?, kind) {
            Ok(policy) => Some(policy.decide(&request)),
            // An older version took what ECR refuses. What such a policy denies is not known; it can be replaced.
            Err(_) => (!is_about_policies).then_some(Decision::Denied),
        };
        let decisions: Vec<_> = policies.into_iter().filter_map(decide).collect();
        let order = [Decision::Denied, Decision::Allowed, Decision::AllowedToAccount];
        order.into_iter().find(|it| decisions.contains(it)).unwrap_or(Decision::Silent)
    }
}

/// The policy of a registry, if it is about an action.
fn registry_policy<'a>(registry: &'a Registry, action: &str) -> Option<&'a str> {
    let is_v1 = registry.settings.get("REGISTRY_POLICY_SCOPE").is_some_and(|it| it == "V1");
    registry.policy.as_deref().filter(|_| !is_v1 || SCOPE_V1.contains(&action))
}
