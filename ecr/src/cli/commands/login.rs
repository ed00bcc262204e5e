//! `ecr login`: docker's or podman's login for people who want it; `push` needs none.

use std::time::Duration;

use anyhow::Context;
use ecr_lifecycle::Timestamp;
use ecr_types::human::{age, printable};

use super::session::Session;
use crate::aws::AuthorizationToken;
use crate::build::docker::Engine;
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{LoggedIn, LoginReport, PrintedToken};
use crate::cli::shell::Shell;
use crate::clock::now;

/// Logs in, or prints the token.
pub async fn run(flags: &flags::Login, shell: &Shell) -> Result<Exit, Failure> {
    let engine = if flags.print_token { None } else { Some(engine(flags)?) };
    let session = Session::open(shell, &flags.common).await?;
    if session.ends_with_command() {
        let failure = Failure::new("the embedded ECR would end with this command");
        let data = session.data_flag();
        return Err(
            failure.with_help(format!("start it with `cargo xtask ecr serve{data}`, and log in meanwhile"))
        );
    }
    let token = session.aws.authorization_token().await.context("failed to get a token")?;
    session.begin_at(Some(token.host().to_owned()));
    if token.expires_at.is_some_and(|it| it <= now()) {
        shell.warn("the token has expired already, if the clocks are right");
    }
    match engine {
        Some(engine) => log_in(shell, engine, &token).await?,
        None => print(shell, &token),
    }
    Ok(Exit::Done)
}

fn engine(flags: &flags::Login) -> Result<Engine, Failure> {
    Engine::find(flags.engine.as_deref()).ok_or_else(|| {
        no_engine().with_help(
            "install one of them, name another program with --engine PATH, or pass --print-token; \
             `cargo xtask push` needs none of them",
        )
    })
}

/// What needs docker or podman cannot be done.
pub fn no_engine() -> Failure {
    let failure = Failure::new("neither docker nor podman is installed");
    failure.with_help("install one of them, or name another program with --engine PATH")
}

async fn log_in(shell: &Shell, engine: Engine, token: &AuthorizationToken) -> Result<(), Failure> {
    let (host, password) = (token.host().to_owned(), token.password.clone());
    let name = engine.name().to_owned();
    let login = tokio::task::spawn_blocking(move || engine.login(&host, USER, &password));
    let login = tokio::time::timeout(PATIENCE, login).await;
    let login = login.with_context(|| format!("{name} has not logged in within {PATIENCE:?}"))?;
    let said = login.context("the login was interrupted")?.map_err(|error| {
        let is_started = error.downcast_ref::<std::io::Error>().is_none();
        let failure =
            Failure::from(error.context(format!("failed to log in to {} with {name}", token.host())));
        if is_started {
            return failure;
        }
        failure.with_help("name a program with docker's command line: --engine docker, podman or PATH")
    })?;
    if said.to_lowercase().contains("warning") {
        shell
            .warn(format!("{name}: {}", printable(&said.replace('\n', " ")).trim_start_matches("WARNING! ")));
    }
    shell.status("Logged in", format!("to {} with {name}, {}", token.host(), until(token)));
    shell.json(&LoginReport::LoggedIn(LoggedIn {
        engine: name,
        expires_at: token.expires_at,
        registry: token.host().to_owned(),
        username: USER,
    }));
    Ok(())
}

fn print(shell: &Shell, token: &AuthorizationToken) {
    shell.print(&token.password);
    shell.status("Token", format!("of user {USER} for {}, {}", token.host(), until(token)));
    shell.json(&LoginReport::PrintedToken(PrintedToken {
        expires_at: token.expires_at,
        password: token.password.clone(),
        registry: token.host().to_owned(),
        username: USER,
    }));
}

/// How long an engine may take, which has to reach the registry itself.
const PATIENCE: Duration = Duration::from_secs(120);
/// The user of every token (ECR user guide, "Private registry authentication").
const USER: &str = "AWS";

fn until(token: &AuthorizationToken) -> String {
    let left = |it: Timestamp| age(it.since(now()) as f64 / 1e9 + 1.0);
    match token.expires_at {
        Some(at) => format!("until {at} ({})", left(at)),
        None => "for twelve hours".to_owned(),
    }
}
