//! `ecr serve`: the embedded ECR, until Ctrl-C.

use std::path::PathBuf;

use ecr_embedded::{Builder, Server, StartError};
use ecr_types::{Region, RegistryId, human};
use serde_json::json;

use super::session::{local_account, local_region, start};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::shell::Shell;
use crate::config::workspace::Workspace;

/// What to serve.
struct Settings {
    data: PathBuf,
    account: RegistryId,
    region: Region,
    builder: Builder,
}

/// Serves until the process is interrupted.
pub async fn run(flags: &flags::Serve, shell: &Shell) -> Result<Exit, Failure> {
    let Settings { data, account, region, builder } = settings(flags)?;
    if flags.check {
        return check(&data, shell);
    }
    let folder = data.display();
    let tell = || shell.status("Blocking", format!("waiting for another command on `{folder}`"));
    let server = start(builder, tell).await.map_err(start_failure)?;
    let url = server.url();
    shell.status("Serving", format!("{url} (account {account}, region {region})"));
    shell.status("State", &folder);
    let data = flags.data.as_ref().map(|it| format!(" --data {}", it.display())).unwrap_or_default();
    shell.help(format!(
        "commands with --local{data} use it; other clients: `export AWS_ENDPOINT_URL={url} AWS_REGION={region} \
         AWS_DEFAULT_REGION={region} AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local`"
    ));
    shell.print(&url);
    shell.json(&json!({"url": url, "account": account, "region": region}));
    // Ctrl-C ends every command; see `crate::run`.
    std::future::pending::<()>().await;
    Ok(Exit::Done)
}

fn start_failure(error: StartError) -> Failure {
    let help = match &error {
        StartError::Running { .. } => Some("use it with --local, or name another folder with --data"),
        StartError::Listen { .. } => Some("name another port with --port, or 0 for any free one"),
        StartError::Busy(_) | StartError::State(_) => None,
    };
    let failure = Failure::from(anyhow::Error::new(error));
    match help {
        Some(help) => failure.with_help(help),
        None => failure,
    }
}

/// Verifies every digest.
fn check(data: &std::path::Path, shell: &Shell) -> Result<Exit, Failure> {
    let checked = ecr_embedded::check(data).map_err(start_failure)?;
    checked.damaged.iter().for_each(|it| shell.print(it));
    let damaged = checked.damaged.len();
    let blobs = human::count((checked.whole + damaged) as u64, "blob");
    shell.status("Checked", format!("{blobs}: {} whole, {damaged} damaged", checked.whole));
    if damaged > 0 {
        shell.help("delete the repositories concerned, or move the folder away; pushing again brings blobs that are missing");
    }
    shell.json(&json!({"whole": checked.whole, "damaged": checked.damaged}));
    Ok(if damaged == 0 { Exit::Done } else { Exit::Failed })
}

/// Outside of a workspace, a folder must be named.
fn settings(flags: &flags::Serve) -> Result<Settings, Failure> {
    let workspace = match (Workspace::load(flags.workspace.manifest_path.as_deref()), &flags.data) {
        (Ok(workspace), _) => Some(workspace),
        (Err(_), Some(_)) => None,
        (Err(error), None) => return Err(error.into()),
    };
    let desired = workspace.as_ref().map(|it| &it.desired);
    let region = local_region(flags.workspace.region.clone(), desired.and_then(|it| it.region.clone()))?;
    let account = flags.account_id.clone().or_else(|| desired.and_then(|it| it.account_id.clone()));
    let data = flags.data.clone().or_else(|| workspace.as_ref().map(|it| it.target.join("ecr-local")));
    let data = data.unwrap_or_default();
    let account = local_account(account);
    let builder = Server::builder().data(&data).port(flags.port).announce();
    let builder = builder.account(account.clone()).region(region.clone());
    let builder = flags.fault.iter().cloned().fold(builder, Builder::fault);
    let builder = flags.allow_host.iter().fold(builder, Builder::allow_host);
    let builder = match &flags.request_log {
        Some(path) => builder.request_log(path),
        None => builder,
    };
    Ok(Settings { data, account, region, builder })
}
