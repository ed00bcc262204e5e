//! `ecr iam-policy`: a document to paste.

use anyhow::Context;
use clap::ValueEnum;
use ecr_oci::http::HttpClient;
use ecr_types::RegistryId;
use ecr_types::human::some_of;

use super::session::{local_account, local_region};
use crate::aws::iam::{MANAGED_POLICY_MAX_SIZE, PolicyDocument, Role, Scope, is_key_arn};
use crate::aws::{Aws, ClientConfig};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::shell::Shell;
use crate::config::workspace::Workspace;

/// Prints the policy of a role. AWS is asked only for what the workspace does not say: the account.
pub async fn run(flags: &flags::IamPolicy, shell: &Shell) -> Result<Exit, Failure> {
    if flags.orphans && !matches!(flags.role, Role::Provision | Role::Read) {
        let failure = Failure::new("--orphans goes with the roles provision and read");
        return Err(failure.with_help("neither pushing nor pulling looks for orphans"));
    }
    let workspace = Workspace::load(flags.common.workspace.manifest_path.as_deref())?;
    let repositories = flags.common.selection.repositories(&workspace.desired)?;
    let (account, region) = place(flags, &workspace).await?;
    let scope = Scope {
        region: &region,
        account: &account,
        repositories: &repositories,
        project: workspace.desired.project.as_deref(),
        orphans: flags.orphans,
    };
    let document = PolicyDocument::new(flags.role, &scope);
    shell.print(serde_json::to_string_pretty(&document).unwrap_or_default());
    shell.json(&document);
    if document.size() > MANAGED_POLICY_MAX_SIZE {
        shell.warn(format!(
            "the document has {} characters, and a managed policy may have {MANAGED_POLICY_MAX_SIZE}",
            document.size()
        ));
        shell.help("make several documents, each for some of the services, with -p or --exclude");
    }
    if repositories.is_empty() {
        shell.warn("the workspace has no repository, so that the document allows next to nothing");
    }
    let keys = repositories.iter().filter_map(|it| it.encryption.as_ref()?.kms_key.as_deref());
    let unnamed: Vec<_> = keys.filter(|it| flags.role == Role::Provision && !is_key_arn(it)).collect();
    if !unnamed.is_empty() {
        shell
            .warn(format!("KMS keys that are not named by their ARN are left out: {}", some_of(&unnamed, 3)));
    }
    let name = flags.role.to_possible_value();
    let name = name.as_ref().map_or("policy", |it| it.get_name());
    shell.help(format!(
        "save it as policy.json, then `aws iam create-policy --policy-name ecr-{name} --policy-document \
         file://policy.json`"
    ));
    Ok(Exit::Done)
}

async fn place(flags: &flags::IamPolicy, workspace: &Workspace) -> Result<(RegistryId, String), Failure> {
    let pinned = workspace.desired.account_id.clone();
    let region = flags.common.workspace.region.clone();
    let workspace_region = workspace.desired.region.clone();
    if flags.common.registry.local {
        return Ok((local_account(pinned), local_region(region, workspace_region)?.to_string()));
    }
    let profile = flags.common.registry.aws_profile.clone();
    let target = ClientConfig::Environment { region, workspace_region, profile };
    let aws = Aws::connect(&target, HttpClient::default()).await?;
    let account = match pinned {
        Some(account) => account,
        None => {
            let identity = aws.identity().await.context("failed to find out which AWS account this is");
            identity
                .map_err(|it| match Failure::from(it) {
                    failure if failure.help.is_some() => failure,
                    failure => failure.with_help("or write `account-id` below [workspace.metadata.ecr]"),
                })?
                .account
        }
    };
    Ok((account, aws.region().to_owned()))
}
