//! `ecr serve`: runs the embedded ECR until Ctrl-C.

use std::path::PathBuf;

use anyhow::Context;
use ecr_embedded::{Builder, Server, StartError};
use ecr_oci::http::Limits;
use ecr_types::{Region, RegistryId, human};
use serde_json::json;

use super::endpoint::{local_account, local_region, start_server};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::shell::Shell;
use crate::config::environments::{EnvironmentChoice, Otherwise};
use crate::config::files;
use crate::config::workspace::{Workspace, named_environment};

struct ServeSettings {
    data: PathBuf,
    account: RegistryId,
    region: Region,
    builder: Builder,
}

/// Serves until the process is interrupted.
pub async fn run(flags: &flags::Serve, shell: &Shell) -> Result<Exit, Failure> {
    let ServeSettings { data, account, region, builder } = settings(flags, shell)?;
    if flags.check {
        return check(&data, shell);
    }
    let folder = data.display();
    if let Some(seed) = &flags.seed {
        shell.status("Seeding", seed.display());
    }
    let server = start_server(builder, shell, Limits::default().total).await.map_err(start_failure)?;
    let url = server.url();
    shell.status("Serving", format!("{url} (account {account}, region {region})"));
    shell.status("State", &folder);
    let data = flags.data.as_ref().map(|it| format!(" --data {}", it.display())).unwrap_or_default();
    shell.help(format!(
        "use it with --local{data}; for other clients, `export AWS_ENDPOINT_URL={url} AWS_REGION={region} \
         AWS_DEFAULT_REGION={region} AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local`"
    ));
    shell.print(&url);
    shell.json(&json!({"url": url, "account": account, "region": region}));
    // Ctrl-C is the way to end it, and no error.
    shell.until_interrupted(std::future::pending::<()>()).await;
    Ok(Exit::Done)
}

fn start_failure(error: StartError) -> Failure {
    let help = match &error {
        StartError::Running { .. } => {
            Some("use the running server with --local, or choose another directory with --data")
        }
        StartError::Listen { .. } => Some("choose another port with --port, or --port 0 for any free port"),
        StartError::Busy { .. } | StartError::State(_) => None,
    };
    let failure = Failure::from(anyhow::Error::new(error));
    match help {
        Some(help) => failure.with_help(help),
        None => failure,
    }
}

/// Verifies the records, the blobs and the references of a state.
fn check(data: &std::path::Path, shell: &Shell) -> Result<Exit, Failure> {
    let checked = ecr_embedded::check(data).map_err(start_failure)?;
    checked.damaged.iter().for_each(|it| shell.print(it));
    let (damaged, blobs) = (checked.damaged.len(), checked.damaged_blobs);
    let found = human::count((checked.whole + blobs) as u64, "blob");
    let other = match damaged - blobs {
        0 => String::new(),
        n => format!("; {}", human::count(n as u64, "other problem")),
    };
    shell.status("Checked", format!("{found}: {} intact, {blobs} damaged{other}", checked.whole));
    if damaged > 0 {
        shell.help("push the images again, or delete the affected repositories or the data directory");
    }
    shell.json(&json!({"whole": checked.whole, "damaged": checked.damaged}));
    Ok(if damaged == 0 { Exit::Done } else { Exit::Failed })
}

/// The settings from the flags and the workspace. Outside of a workspace, `--data` is required.
fn settings(flags: &flags::Serve, shell: &Shell) -> Result<ServeSettings, Failure> {
    let patience = shell.patience(Limits::default().total);
    let named = named_environment(flags.workspace.environment.as_deref());
    let choice = EnvironmentChoice { named, otherwise: Otherwise::DefaultOrOwn };
    let loaded = Workspace::load(flags.workspace.manifest_path.as_deref(), &choice, &patience);
    let workspace = match (loaded, &flags.data) {
        (Ok(workspaces), _) => workspaces.into_iter().next(),
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
    let builder = for_tests(flags, builder)?;
    let builder = match &flags.request_log {
        Some(path) => builder.request_log(path),
        None => builder,
    };
    Ok(ServeSettings { data, account, region, builder })
}

/// The settings that tests of other programs need.
fn for_tests(flags: &flags::Serve, builder: Builder) -> Result<Builder, Failure> {
    let builder =
        flags.account.iter().fold(builder, |it, pair| it.account_of(&pair.key, pair.account.clone()));
    let builder = if flags.compat == flags::Compat::Oci { builder.oci() } else { builder };
    let builder = if flags.control { builder.control() } else { builder };
    let builder = if flags.ecr_hosts { builder.ecr_hosts() } else { builder };
    let builder = flags.now.map_or(builder.clone(), |now| builder.now(now));
    #[cfg(feature = "tls")]
    let builder = if flags.tls { builder.tls() } else { builder };
    match &flags.seed {
        None => Ok(builder),
        Some(path) => {
            let seeded = builder.seed(&files::read(path)?);
            Ok(seeded.with_context(|| format!("`{}` is not a seed", path.display()))?)
        }
    }
}
