//! Where a command finds its registry: at AWS, or in an embedded ECR, which it may have to start or to wait for.

use std::time::Duration;

use ecr_embedded::{Builder, Server, StartError};
use ecr_oci::http::HttpClient;
use ecr_types::{Region, RegistryId};

use crate::aws::ClientConfig;
use crate::cli::error::Failure;
use crate::cli::flags::CommonArgs;
use crate::cli::shell::Shell;
use crate::config::workspace::Workspace;

/// The endpoint and credentials of a command, and the embedded ECR that was started for it.
pub async fn connection_target(
    shell: &Shell,
    common: &CommonArgs,
    workspace: &Workspace,
    http: &HttpClient,
) -> Result<(ClientConfig, Option<Server>), Failure> {
    if !common.registry.local {
        return Ok((client_config(common, workspace), None));
    }
    let region = local_region(common.workspace.region.clone(), workspace.desired.region.clone())?;
    let data = common.registry.data.clone().unwrap_or_else(|| workspace.target.join("ecr-local"));
    let account = local_account(workspace.desired.account_id.clone());
    let builder = Server::builder().data(&data).region(region.clone()).account(account.clone());
    let (url, server) = match start_server(builder, shell, common.registry.network_timeout).await {
        Ok(server) => (server.url(), Some(server)),
        Err(StartError::Running { url, process, .. }) => {
            require_answer(http, &url, process).await?;
            (url, None)
        }
        Err(error @ StartError::Busy { .. }) => {
            let help = "wait longer with --network-timeout, or choose another directory with --data";
            return Err(Failure::from(anyhow::Error::new(error)).with_help(help));
        }
        Err(error) => return Err(anyhow::Error::new(error).into()),
    };
    Ok((ClientConfig::Local { url, region: region.to_string(), account }, server))
}

/// The configuration of clients of an embedded ECR that runs, in the account and region of the workspace's environment.
pub fn local_config(
    url: String,
    common: &CommonArgs,
    workspace: &Workspace,
) -> Result<ClientConfig, Failure> {
    let region = local_region(common.workspace.region.clone(), workspace.desired.region.clone())?;
    let account = local_account(workspace.desired.account_id.clone());
    Ok(ClientConfig::Local { url, region: region.to_string(), account })
}

/// The configuration of the clients of AWS. The region and the profile of the environment that was selected are more specific
/// than those of the process's variables, which are the same for all environments.
pub fn client_config(common: &CommonArgs, workspace: &Workspace) -> ClientConfig {
    let environment = workspace.desired.environment.as_ref();
    let of_environment = environment.and_then(|it| it.region.as_ref()).map(|it| it.value.clone());
    ClientConfig::Environment {
        region: common.workspace.region.clone().or(of_environment),
        workspace_region: workspace.desired.region.clone(),
        profile: common.registry.aws_profile.clone(),
        environment_profile: environment.and_then(|it| it.profile.as_ref()).map(|it| it.value.clone()),
    }
}

/// Starts the embedded ECR. Waits while another command uses its data, at most for `limit`, and says so.
pub async fn start_server(builder: Builder, shell: &Shell, limit: Duration) -> Result<Server, StartError> {
    const PAUSE: Duration = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    let mut told_at = Duration::from_millis(500);
    loop {
        let error = match builder.clone().start().await {
            Err(error @ StartError::Busy { .. }) => error,
            result => return result,
        };
        if waited >= limit {
            return Err(error);
        }
        if waited >= told_at {
            shell.status("Blocking", format!("waiting for the embedded ECR: {error}"));
            told_at += Duration::from_secs(30);
        }
        tokio::time::sleep(PAUSE).await;
        waited += PAUSE;
    }
}

/// Fails if the `ecr serve` at `url` does not answer. Its process holds the data, so that no other server can take its place.
async fn require_answer(http: &HttpClient, url: &str, process: Option<u32>) -> Result<(), Failure> {
    let Err(error) = http.get(&format!("{url}/v2/")).await else { return Ok(()) };
    // Another failure is that of a server that has just ended, or is about to: the requests that follow say more.
    if error.idle().is_none() {
        return Ok(());
    }
    let failure = anyhow::Error::new(error).context(format!("the embedded ECR at {url} does not answer"));
    let help = match process {
        Some(id) => format!(
            "process {id} runs it, and may be suspended: continue it with `kill -CONT {id}`, or end it with `kill -KILL {id}`"
        ),
        None => "the `ecr serve` that runs it may be suspended: continue it, or end it".to_owned(),
    };
    Err(Failure::from(failure).with_help(help))
}

/// The region of the embedded ECR: that of the flag, the workspace, or the default.
pub fn local_region(flag: Option<String>, workspace: Option<String>) -> Result<Region, Failure> {
    match flag.or(workspace) {
        Some(region) => Ok(region.parse().map_err(anyhow::Error::new)?),
        None => Ok(ecr_embedded::default_region()),
    }
}

/// The account of the embedded ECR: the configured one, or the default.
pub fn local_account(pinned: Option<RegistryId>) -> RegistryId {
    pinned.unwrap_or_else(ecr_embedded::default_account)
}
