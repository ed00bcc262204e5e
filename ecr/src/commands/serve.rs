//! `ecr serve`: the embedded ECR, until Ctrl-C.

use crate::error::{Exit, Failure};
use crate::flags;
use crate::local::lock::{self, Holder};
use crate::local::{self, Options, Server};
use crate::shell::Shell;
use crate::words::count;
use crate::workspace::Workspace;

use super::session::local_account;

/// Serves until the process is interrupted.
pub async fn run(flags: &flags::Serve, shell: &Shell) -> Result<Exit, Failure> {
    let options = options(flags)?;
    let folder = options.data.display().to_string();
    let tell = || shell.status("Blocking", format!("waiting for another command on `{folder}`"));
    let lock = match lock::wait(&options.data, tell).await? {
        Holder::Us(lock) => lock,
        Holder::Server(url) => {
            return Err(Failure::new(format!("an embedded ECR already runs on this state, at {url}"))
                .with_help("use it with --local, or name another folder with --data"));
        }
    };
    if flags.check {
        return check(&options, lock, shell);
    }
    let server = Server::start(&options, lock).await.map_err(|error| {
        Failure::from(error).with_help("is the port taken? name another with --port, or 0 for any free one")
    })?;
    lock::announce(&options.data, &server.url())?;
    shell.status(
        "Serving",
        format!("{} (account {}, region {})", server.url(), options.account, options.region),
    );
    shell.status("State", options.data.display());
    let data = flags.data.as_ref().map(|it| format!(" --data {}", it.display())).unwrap_or_default();
    shell.help(format!(
        "commands with --local{data} use it; other clients: `export AWS_ENDPOINT_URL={} AWS_REGION={region} \
         AWS_DEFAULT_REGION={region} AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local`",
        server.url(),
        region = options.region
    ));
    shell.print(server.url());
    shell.json(
        &serde_json::json!({"url": server.url(), "account": options.account, "region": options.region}),
    );
    // Ctrl-C ends every command; see `crate::run`.
    std::future::pending::<()>().await;
    Ok(Exit::Done)
}

/// Verifies every digest.
fn check(options: &Options, lock: lock::Lock, shell: &Shell) -> Result<Exit, Failure> {
    let (whole, damaged) = local::check(&options.data, lock)?;
    damaged.iter().for_each(|it| shell.print(it));
    let blobs = count(whole as u64 + damaged.len() as u64, "blob");
    shell.status("Checked", format!("{blobs}: {whole} whole, {} damaged", damaged.len()));
    if !damaged.is_empty() {
        shell.help("delete the repositories concerned, or move the folder away; pushing again brings blobs that are missing");
    }
    shell.json(&serde_json::json!({"whole": whole, "damaged": damaged}));
    Ok(if damaged.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Outside of a workspace, a folder must be named.
fn options(flags: &flags::Serve) -> Result<Options, Failure> {
    let workspace = match (Workspace::load(flags.workspace.manifest_path.as_deref()), &flags.data) {
        (Ok(workspace), _) => Some(workspace),
        (Err(_), Some(_)) => None,
        (Err(error), None) => return Err(error),
    };
    let desired = workspace.as_ref().map(|it| &it.desired);
    let region = flags.workspace.region.clone().or_else(|| desired.and_then(|it| it.region.clone()));
    let account = flags.account_id.clone().or_else(|| desired.and_then(|it| it.account_id.clone()));
    let data = flags.data.clone().or_else(|| workspace.as_ref().map(|it| it.target.join("ecr-local")));
    Ok(Options {
        data: data.unwrap_or_default(),
        port: flags.port,
        account: local_account(account),
        region: region.unwrap_or_else(|| "us-east-1".to_owned()),
        faults: flags.fault.clone(),
        keeps_log: false,
        allowed_hosts: flags.allow_host.clone(),
        request_log: flags.request_log.clone(),
    })
}
