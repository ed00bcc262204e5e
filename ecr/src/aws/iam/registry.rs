//! What the settings of the whole registry require of a role.

use std::collections::BTreeSet;

use ecr_types::namespace;

use super::{Condition, RegistryScope, Role, Scope, Statement};
use crate::aws::private_registry::PrivateRegistry;

/// The further statements of a role.
pub(super) fn statements(role: Role, scope: &Scope<'_>, registry: &RegistryScope<'_>) -> Vec<Statement> {
    match role {
        Role::Ci => vec![signing(scope, registry), caches(scope, registry)],
        Role::Provision => provision(scope, registry),
        Role::Node | Role::Read => Vec::new(),
    }
}

/// The use of the profiles with which ECR signs what is pushed (Amazon ECR user guide, "Managed signing", prerequisites).
fn signing(scope: &Scope<'_>, registry: &RegistryScope<'_>) -> Statement {
    let is_used =
        |rule: &&crate::registry::SigningRule| scope.repositories.iter().any(|it| rule.covers(&it.name));
    let profiles: BTreeSet<_> =
        registry.signing.iter().filter(is_used).map(|it| it.profile.clone()).collect();
    statement("Signing", &["signer:SignPayload"], profiles.into_iter().collect())
}

/// The first pull of a base through a cache, which makes its repository (Amazon ECR user guide, "IAM permissions required to
/// sync an upstream registry").
fn caches(scope: &Scope<'_>, registry: &RegistryScope<'_>) -> Statement {
    let own = PrivateRegistry { account: scope.account.clone(), region: scope.region.to_owned() };
    let is_cached = |name: &str| registry.pull_through.iter().any(|it| it.covers(name));
    let bases = scope.bases.iter().filter(|it| PrivateRegistry::of_host(&it.host).as_ref() == Some(&own));
    let names: BTreeSet<_> = bases.map(|it| it.name.to_string()).filter(|it| is_cached(it)).collect();
    let arns = names.iter().map(|it| scope.arn("ecr", &format!("repository/{it}"))).collect();
    statement("Caches", &["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"], arns)
}

/// Reading and writing the settings that the workspace configures.
fn provision(scope: &Scope<'_>, registry: &RegistryScope<'_>) -> Vec<Statement> {
    let desired = registry.desired;
    let mut settings = Vec::new();
    if desired.blob_mounting.is_some() {
        settings.extend(["ecr:GetAccountSetting", "ecr:PutAccountSetting"]);
    }
    if !desired.writes_template {
        return vec![statement("RegistrySettings", &settings, everything(&settings))];
    }
    settings.extend([
        "ecr:CreateRepositoryCreationTemplate",
        "ecr:DescribeRepositoryCreationTemplates",
        "ecr:UpdateRepositoryCreationTemplate",
    ]);
    // "Creating a repository creation template", IAM permissions: what the template does, its author may do.
    let mut of_template = vec!["ecr:CreateRepository"];
    of_template.extend(desired.template.lifecycle_policy.as_ref().map(|_| "ecr:PutLifecyclePolicy"));
    let below = match desired.template.prefix.as_str() {
        namespace::ROOT => "repository/*".to_owned(),
        prefix => format!("repository/{prefix}/*"),
    };
    let role: Vec<_> = desired.template.custom_role_arn.iter().cloned().collect();
    vec![
        statement("RegistrySettings", &settings, everything(&settings)),
        statement("TemplateRepositories", &of_template, vec![scope.arn("ecr", &below)]),
        Statement {
            condition: Some(Condition {
                string_equals: [("iam:PassedToService", SERVICE.to_owned())].into(),
            }),
            ..statement("TemplateRole", &["iam:PassRole"], role)
        },
    ]
}

fn everything(actions: &[&str]) -> Vec<String> {
    actions.first().map(|_| "*".to_owned()).into_iter().collect()
}

/// The service principal of ECR.
const SERVICE: &str = "ecr.amazonaws.com";

fn statement(sid: &'static str, actions: &[&str], resource: Vec<String>) -> Statement {
    let mut action: Vec<_> = actions.iter().map(|it| (*it).to_owned()).collect();
    action.sort();
    Statement { sid, effect: "Allow", action, resource, condition: None }
}
