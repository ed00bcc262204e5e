//! `ecr login`: logs docker or podman in to the registry.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use ecr_lifecycle::Timestamp;
use ecr_types::human::age;

use super::session::Session;
use crate::aws::AuthorizationToken;
use crate::build::docker::{Engine, LoginHelper};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{LoggedIn, LoginReport, PrintedToken};
use crate::cli::shell::Shell;
use crate::clock::now;

/// Logs in, or prints the password.
pub async fn run(flags: &flags::Login, shell: &Shell) -> Result<Exit, Failure> {
    let engine = if flags.print_token { None } else { Some(engine(flags)?) };
    let session = Session::open(shell, &flags.common).await?;
    if session.has_own_server() {
        let failure = Failure::new("the embedded ECR is not running");
        let data = session.data_flag();
        return Err(failure.with_help(format!(
            "start it with `cargo xtask ecr serve{data}`, then log in from another terminal"
        )));
    }
    let token = session.aws.authorization_token().await.context("failed to get an authorization token")?;
    session.print_header_with_host(Some(token.host().to_owned()));
    if token.expires_at.is_some_and(|it| it <= now()) {
        shell.warn("the token has already expired; check the clock of this machine");
    }
    match engine {
        Some(engine) => {
            // docker connects to the host of a reference: that of the API, or the one for FIPS or dual-stack.
            let other = session.aws.registry_host(token.host()).map_err(anyhow::Error::new)?;
            let hosts: BTreeSet<_> = [token.host().to_owned(), other].into();
            log_in(shell, engine, &token, &hosts, flags.common.registry.network_timeout).await?;
        }
        None => print_token(shell, &token),
    }
    Ok(Exit::Done)
}

fn engine(flags: &flags::Login) -> Result<Engine, Failure> {
    Engine::find(flags.engine.as_deref()).ok_or_else(|| {
        no_engine().with_help(
            "install one of them, choose another program with --engine PATH, or pass --print-token; `cargo \
             xtask push` needs neither of them",
        )
    })
}

/// The failure of a command that needs docker or podman.
pub fn no_engine() -> Failure {
    let failure = Failure::new("neither docker nor podman is installed");
    failure.with_help("install one of them, or choose another program with --engine PATH")
}

async fn log_in(
    shell: &Shell,
    engine: Engine,
    token: &AuthorizationToken,
    hosts: &BTreeSet<String>,
    limit: Duration,
) -> Result<(), Failure> {
    let name = engine.name().to_owned();
    let mut expires_at = None;
    for host in hosts {
        let (probed, key) = (engine.clone(), host.clone());
        let helper = tokio::task::spawn_blocking(move || probed.login_helper(&key));
        // A program that cannot be run fails below, with its error.
        let helper = helper.await.context("the login was interrupted")?.unwrap_or_default();
        match &helper {
            Some(helper) if helper.logs_in_by_itself() => check_helper(shell, &name, helper, host).await?,
            helper => {
                store(shell, engine.clone(), helper.as_ref(), token, host, limit).await?;
                expires_at = token.expires_at;
            }
        }
    }
    shell.json(&LoginReport::LoggedIn(LoggedIn {
        engine: name,
        expires_at,
        registry: token.host().to_owned(),
        username: USER,
    }));
    Ok(())
}

/// Asks a helper that logs in by itself whether it does so for this registry. docker can store no login in it.
async fn check_helper(shell: &Shell, engine: &str, helper: &LoginHelper, host: &str) -> Result<(), Failure> {
    let (asked, key) = (helper.clone(), host.to_owned());
    let mut asking = tokio::task::spawn_blocking(move || asked.knows(&key));
    let answer = match tokio::time::timeout(Shell::PATIENCE, &mut asking).await {
        Ok(answer) => answer,
        Err(_) => {
            shell.status("Waiting", format!("for {}", helper.program()));
            asking.await
        }
    };
    let error = match answer.context("the login was interrupted")? {
        Ok(true) => {
            shell.status(
                "Logged in",
                format!("to {host} by {helper}, which gets a token whenever {engine} asks"),
            );
            return Ok(());
        }
        Ok(false) => anyhow::anyhow!("{} has no credentials for {host}", helper.program()),
        Err(error) => error.into(),
    };
    let failure = format!(
        "{engine} cannot store a login for {host}: it is set to {helper}, which logs in by itself, but failed"
    );
    Err(Failure::from(error.context(failure)).with_help(helper.way_around(host)))
}

/// Lets the engine log in and store that.
async fn store(
    shell: &Shell,
    engine: Engine,
    helper: Option<&LoginHelper>,
    token: &AuthorizationToken,
    host: &str,
    limit: Duration,
) -> Result<(), Failure> {
    let (key, password) = (host.to_owned(), token.password.clone());
    let name = engine.name().to_owned();
    let patience = shell.patience(limit);
    let login = tokio::task::spawn_blocking(move || engine.login(&key, USER, &password, &patience)).await;
    let output =
        login.context("the login was interrupted")?.map_err(|error| {
            let is_started = !error.chain().any(|it| it.is::<std::io::Error>());
            let failure = Failure::from(error.context(format!("failed to log in to {host} with {name}")));
            match helper {
                _ if !is_started => failure
                    .with_help("choose docker, podman, or the path of a compatible program with --engine"),
                Some(helper) if failure.help.is_none() => failure
                    .with_help(format!("{name} stores logins with {helper}; {}", helper.way_around(host))),
                _ => failure,
            }
        })?;
    if output.to_lowercase().contains("warning") {
        shell.warn(format!("{name}: {}", output.replace('\n', " ").trim_start_matches("WARNING! ")));
    }
    shell.status("Logged in", format!("to {host} with {name}, {}", validity(token)));
    Ok(())
}

fn print_token(shell: &Shell, token: &AuthorizationToken) {
    shell.print(&token.password);
    shell.status("Token", format!("for user {USER} of {}, valid {}", token.host(), validity(token)));
    shell.json(&LoginReport::PrintedToken(PrintedToken {
        expires_at: token.expires_at,
        password: token.password.clone(),
        registry: token.host().to_owned(),
        username: USER,
    }));
}

/// The user of every token (ECR user guide, "Private registry authentication").
const USER: &str = "AWS";

fn validity(token: &AuthorizationToken) -> String {
    // The login has taken a part of the first of twelve hours.
    let remaining = |it: Timestamp| age(it.since(now()) as f64 / 1e9 + 60.0);
    match token.expires_at {
        Some(at) => format!("until {at} ({})", remaining(at)),
        None => "for 12 hours".to_owned(),
    }
}
