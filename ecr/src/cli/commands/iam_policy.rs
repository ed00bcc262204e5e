//! `ecr iam-policy`: prints a least-privilege IAM policy, or the trust policy of a role.

use std::collections::BTreeSet;

use anyhow::Context;
use clap::ValueEnum;
use ecr_oci::reference::Reference;
use ecr_types::RegistryId;
use ecr_types::human::some_of;

use super::endpoint::{client_config, local_account, local_region};
use super::session::{Connection, http_client, load_workspace};
use crate::aws::Aws;
use crate::aws::iam::{
    MANAGED_POLICY_MAX_SIZE, Pipeline, PolicyDocument, RegistryScope, Role, Scope, TrustPolicy, is_key_arn,
};
use crate::aws::private_registry::PrivateRegistry;
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::shell::Shell;
use crate::config::desired::Service;
use crate::config::workspace::Workspace;

/// Prints the policy of a role. Calls AWS only for the account ID, and only if the workspace does not
/// configure it.
pub async fn run(flags: &flags::IamPolicy, shell: &Shell) -> Result<Exit, Failure> {
    if flags.orphans && !matches!(flags.role, Role::Provision | Role::Read) {
        let failure = Failure::new("--orphans is valid only for the roles `provision` and `read`");
        return Err(failure.with_help("the other roles do not look for orphans: omit --orphans"));
    }
    if flags.registry && !matches!(flags.role, Role::Provision | Role::Ci) {
        let failure = Failure::new("--registry is valid only for the roles `ci` and `provision`");
        return Err(failure.with_help("the policies of the other roles do not depend on it: omit --registry"));
    }
    let workspace = load_workspace(shell, &flags.common).await?;
    if !flags.trust.is_empty() {
        return print_trust_policy(flags, shell, &workspace).await;
    }
    let repositories = flags.common.selection.repositories(&workspace.desired)?;
    let bases = bases(&flags.common.selection.services(&workspace.desired)?, &workspace);
    let (account, region) = account_and_region(flags, &workspace, shell).await?;
    let scope = Scope {
        region: &region,
        account: &account,
        repositories: &repositories,
        bases: &bases,
        project: workspace.desired.project.as_deref(),
        orphans: flags.orphans,
        registry: registry_scope(flags, shell, &workspace).await?,
    };
    let document = PolicyDocument::new(flags.role, &scope);
    shell.document(&document);
    warn_of_size(shell, &document);
    warn_of_gaps(flags, shell, &scope);
    note_foreign_bases(flags, shell, &scope);
    note_registry(flags, shell, &scope);
    let name = name_of(flags.role);
    shell.help(format!(
        "save the policy as policy.json, then run `aws iam create-policy --policy-name ecr-{name} \
         --policy-document file://policy.json`"
    ));
    Ok(Exit::Done)
}

/// What `--registry` adds; `None` without the flag. The document would be incomplete without a rule that cannot be read.
async fn registry_scope<'a>(
    flags: &flags::IamPolicy,
    shell: &Shell,
    workspace: &'a Workspace,
) -> Result<Option<RegistryScope<'a>>, Failure> {
    let desired = &workspace.desired.registry;
    let none = RegistryScope { desired, signing: Vec::new(), pull_through: Vec::new() };
    match flags.role {
        _ if !flags.registry => Ok(None),
        Role::Ci => {
            let connection = Connection::open(shell, &flags.common, workspace).await?;
            let rules =
                tokio::try_join!(connection.aws().signing_rules(), connection.aws().pull_through_rules());
            let (signing, pull_through) = rules.context("failed to read the rules of the registry")?;
            Ok(Some(RegistryScope { signing, pull_through, ..none }))
        }
        _ if desired.is_configured() => Ok(Some(none)),
        _ => Err(super::registry::not_configured()),
    }
}

/// The name of a role on the command line.
fn name_of(role: Role) -> String {
    role.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
}

/// Prints the trust policy of a role that pipelines assume.
async fn print_trust_policy(
    flags: &flags::IamPolicy,
    shell: &Shell,
    workspace: &Workspace,
) -> Result<Exit, Failure> {
    if flags.role == Role::Node {
        let failure = Failure::new("--trust is not valid for the role `node`");
        return Err(failure.with_help("machines get their role from EC2, not from a pipeline: omit --trust"));
    }
    let (account, region) = account_and_region(flags, workspace, shell).await?;
    shell.document(&TrustPolicy::new(&account, &region, &flags.trust));
    flags.trust.iter().for_each(|it| note_subject(shell, it));
    let name = name_of(flags.role);
    shell.help(format!(
        "save the policy as trust.json, then run `aws iam create-role --role-name ecr-{name} \
         --assume-role-policy-document file://trust.json`"
    ));
    let providers: BTreeSet<_> = flags.trust.iter().map(Pipeline::provider).collect();
    for (url, audience) in providers {
        shell.help(format!(
            "an account needs the identity provider once: `aws iam create-open-id-connect-provider --url {url} \
             --client-id-list {audience}`"
        ));
    }
    Ok(Exit::Done)
}

/// Says what the subject of a pipeline was assumed to be.
fn note_subject(shell: &Shell, pipeline: &Pipeline) {
    let path = pipeline.path();
    if pipeline.is_default_branch() {
        shell.note(format!(
            "only the branch `main` of `{path}` may assume the role: name another one as in --help"
        ));
    }
    if pipeline.has_reusable_name() {
        shell.note(format!(
            "if `{path}` was made, renamed or transferred since July 2026, its subject has the numbers of owner and \
             repository: write github:OWNER@OWNER-ID/REPO@REPO-ID"
        ));
    }
}

/// The base images of services, as they are pulled. A push reports the ones that are not references.
fn bases(services: &[&Service], workspace: &Workspace) -> Vec<Reference> {
    let bases = services.iter().filter_map(|it| it.image.base.as_ref());
    let bases = bases.filter_map(|it| it.value.parse().ok());
    bases.map(|it: Reference| workspace.desired.base_mirrors.source(&it)).collect()
}

fn warn_of_size(shell: &Shell, document: &PolicyDocument) {
    if document.size() > MANAGED_POLICY_MAX_SIZE {
        shell.warn(format!(
            "the policy has {} characters, but IAM limits managed policies to {MANAGED_POLICY_MAX_SIZE}",
            document.size()
        ));
        shell.help("split the policy: select some of the services for each part with -p or --exclude");
    }
}

/// Warns of what the policy cannot permit.
fn warn_of_gaps(flags: &flags::IamPolicy, shell: &Shell, scope: &Scope<'_>) {
    if scope.repositories.is_empty() {
        shell.warn("the policy permits almost nothing: no repository is selected");
    }
    let keys = scope.repositories.iter().filter_map(|it| it.encryption.as_ref()?.kms_key.as_deref());
    let without_arn: Vec<_> = keys.filter(|it| flags.role == Role::Provision && !is_key_arn(it)).collect();
    if !without_arn.is_empty() {
        shell.warn(format!(
            "the policy omits KMS keys that are not configured as a key ARN: {}",
            some_of(&without_arn, 3)
        ));
    }
    if scope.orphans && scope.project.is_none() {
        shell.warn("orphans cannot be identified: no project is configured");
    }
}

/// A base in another account also takes the permission of that account, which this policy cannot give.
fn note_foreign_bases(flags: &flags::IamPolicy, shell: &Shell, scope: &Scope<'_>) {
    let account = scope.account;
    let is_foreign =
        |base: &&Reference| PrivateRegistry::of_host(&base.host).is_some_and(|it| it.account != *account);
    for base in scope.bases.iter().filter(is_foreign).filter(|_| flags.role == Role::Ci) {
        shell.note(format!(
            "base `{base}` is in another account: the policy of that repository must allow account {account} to pull"
        ));
    }
}

/// Says what the document does not hold of the settings of the registry.
fn note_registry(flags: &flags::IamPolicy, shell: &Shell, scope: &Scope<'_>) {
    let is_own =
        |it: &&Reference| PrivateRegistry::of_host(&it.host).is_some_and(|it| it.account == *scope.account);
    let own = scope.bases.iter().find(is_own).filter(|_| flags.role == Role::Ci && scope.registry.is_none());
    if let Some(base) = own {
        shell.note(format!(
            "if a pull-through cache rule covers base `{base}`, pass --registry: the first pull needs more permissions"
        ));
    }
    if scope.registry.as_ref().is_some_and(|it| it.desired.writes_template && flags.role == Role::Provision) {
        shell.note(
            "with the first template of an account ECR creates the service-linked role AWSServiceRoleForECRTemplate, \
             which needs iam:CreateServiceLinkedRole once",
        );
    }
}

async fn account_and_region(
    flags: &flags::IamPolicy,
    workspace: &Workspace,
    shell: &Shell,
) -> Result<(RegistryId, String), Failure> {
    let pinned = workspace.desired.account_id.clone();
    if flags.common.registry.local {
        let region = local_region(flags.common.workspace.region.clone(), workspace.desired.region.clone())?;
        return Ok((local_account(pinned), region.to_string()));
    }
    let config = client_config(&flags.common, workspace);
    let aws = Aws::connect(&config, http_client(shell, flags.common.registry.limits())).await?;
    let account = match pinned {
        Some(account) => account,
        None => {
            let identity = aws.identity().await.context("failed to identify the AWS account");
            identity
                .map_err(|it| match Failure::from(it) {
                    failure if failure.help.is_some() => failure,
                    failure => failure.with_help("set `account-id` below [workspace.metadata.ecr]"),
                })?
                .account
        }
    };
    Ok((account, aws.region().to_owned()))
}
