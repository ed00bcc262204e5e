//! Loads the workspace, in the environments that a command is for.

use std::time::{Duration, Instant};

use anyhow::Context;
use ecr_types::document::Problem;
use ecr_types::human::{self, listed};

use crate::cli::error::Failure;
use crate::cli::flags::CommonArgs;
use crate::cli::shell::Shell;
use crate::config::desired::Desired;
use crate::config::environments::{EnvironmentChoice, Otherwise};
use crate::config::workspace::{Workspace, named_environment};

/// How long cargo and git may take in a command that has no `--network-timeout`.
pub const LIMIT: Duration = Duration::from_secs(120);

/// Loads the workspace in the environment that is selected, and warns of tables that are probably mistyped.
pub async fn load_workspace(shell: &Shell, common: &CommonArgs) -> Result<Workspace, Failure> {
    let mut workspaces = load_environments(shell, common).await?;
    match (workspaces.pop(), workspaces.is_empty()) {
        (Some(workspace), true) => Ok(workspace),
        (last, _) => {
            let selected = workspaces.iter().chain(&last).filter_map(|it| it.desired.environment.as_ref());
            let names: Vec<_> = selected.map(|it| &it.name).collect();
            let failure = Failure::new(format!("several environments are selected: {}", listed(&names)));
            Err(failure.with_help("only `ecr plan` takes several: name one of them"))
        }
    }
}

/// Loads the workspace once for each environment that is selected. There is at least one.
pub async fn load_environments(shell: &Shell, common: &CommonArgs) -> Result<Vec<Workspace>, Failure> {
    Ok(with_warnings(shell, load(shell, common, Otherwise::Default).await?))
}

/// The same, without warnings.
pub async fn load_quietly(shell: &Shell, common: &CommonArgs) -> Result<Vec<Workspace>, Failure> {
    load(shell, common, Otherwise::Default).await
}

/// Loads the workspace once for each environment that is named, and for all if none is. There is at least one.
pub async fn load_every(shell: &Shell, common: &CommonArgs) -> Result<Vec<Workspace>, Failure> {
    Ok(with_warnings(shell, load(shell, common, Otherwise::Every).await?))
}

fn with_warnings(shell: &Shell, workspaces: Vec<Workspace>) -> Vec<Workspace> {
    let first = workspaces.first().map_or(&[][..], |it| &it.desired.near_misses);
    warn_of_near_misses(shell, first);
    workspaces
}

async fn load(shell: &Shell, common: &CommonArgs, otherwise: Otherwise) -> Result<Vec<Workspace>, Failure> {
    let (manifest, limit) = (common.workspace.manifest_path.clone(), common.registry.network_timeout);
    let patience = shell.patience(limit);
    let named = named_environment(common.workspace.environment.as_deref());
    let choice = EnvironmentChoice { named, otherwise };
    // On another thread, so that Ctrl-C is noticed meanwhile.
    let began = Instant::now();
    let loading =
        tokio::task::spawn_blocking(move || Workspace::load(manifest.as_deref(), &choice, &patience));
    let workspaces = loading.await.context("failed to read the workspace")??;
    workspaces.iter().for_each(|it| tell_of(shell, it, began.elapsed()));
    Ok(workspaces)
}

/// With `-v`, says what was loaded.
fn tell_of(shell: &Shell, workspace: &Workspace, time: Duration) {
    let Desired { environment, repositories, services, .. } = &workspace.desired;
    let environment = environment.as_ref().map(|it| format!(", environment {}", it.name));
    shell.verbose(
        "Loaded",
        format!(
            "{}{}: {}, {} in {} ms",
            workspace.root.join("Cargo.toml").display(),
            environment.unwrap_or_default(),
            human::count(services.len() as u64, "service"),
            human::count(repositories.len() as u64, "repository"),
            time.as_millis()
        ),
    );
}

/// Warns of tables that are probably mistyped.
pub fn warn_of_near_misses(shell: &Shell, near_misses: &[Problem]) {
    for problem in near_misses {
        shell.warn(format!("{}: {}", problem.place, problem.message));
        problem.help.iter().for_each(|it| shell.help(it));
    }
}
