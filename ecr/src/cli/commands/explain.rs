//! `ecr explain`: every setting with the place that it comes from. No request is made.

use anyhow::Context;
use ecr_types::document::did_you_mean;
use ecr_types::human;

use super::load::{LIMIT, warn_of_near_misses};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{ExplainReport, ExplainedSetting};
use crate::cli::shell::Shell;
use crate::config::desired::Explained;
use crate::config::environments::{EnvironmentChoice, Otherwise};
use crate::config::workspace::{Explanation, Workspace, named_environment, outside};

/// Prints the settings of the workspace and of the selected services.
pub async fn run(flags: &flags::Explain, shell: &Shell) -> Result<Exit, Failure> {
    let Explanation { environment, settings, near_misses } = load(flags, shell).await?;
    shell.verbose("Loaded", human::count(settings.len() as u64, "setting"));
    warn_of_near_misses(shell, &near_misses);
    let selected = selected(flags, settings)?;
    let settings = selected.into_iter().filter_map(ExplainedSetting::new).collect();
    let report = ExplainReport { environment, settings };
    report.lines().into_iter().for_each(|it| shell.print(it));
    shell.json(&report);
    Ok(Exit::Done)
}

async fn load(flags: &flags::Explain, shell: &Shell) -> Result<Explanation, Failure> {
    let outside = outside(flags.workspace.region.clone(), flags.aws_profile.clone());
    let (manifest, patience) = (flags.workspace.manifest_path.clone(), shell.patience(LIMIT));
    let named = named_environment(flags.workspace.environment.as_deref());
    let choice = EnvironmentChoice { named, otherwise: Otherwise::Default };
    let loading = tokio::task::spawn_blocking(move || {
        Workspace::explain(manifest.as_deref(), &choice, &outside, &patience)
    });
    let mut explained = loading.await.context("failed to read the workspace")??;
    match (explained.pop(), explained.is_empty()) {
        (Some(explanation), true) => Ok(explanation),
        _ => Err(Failure::new("several environments are selected").with_help("name one of them")),
    }
}

/// The settings that the flags select. A name or a key that nothing has is an error.
fn selected(flags: &flags::Explain, settings: Vec<Explained>) -> Result<Vec<Explained>, Failure> {
    let services = settings.iter().filter_map(|it| it.service.as_ref());
    let services: Vec<_> = services.map(|it| (it.package.as_str(), it.name.as_str())).collect();
    let is_wanted = flags.selection.service_matcher(&services)?;
    let keys: Vec<String> = settings.iter().map(|it| it.key.clone()).collect();
    let has_key = |it: &Explained| match &flags.key {
        Some(key) => {
            it.key == *key || it.key.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with('.'))
        }
        None => true,
    };
    // With a selection of services, those of the workspace are not meant.
    let is_of = |it: &Explained| match &it.service {
        Some(service) => is_wanted(&service.package, &service.name),
        None => flags.selection.package.is_empty(),
    };
    let selected: Vec<_> = settings.into_iter().filter(|it| is_of(it) && has_key(it)).collect();
    match (&flags.key, selected.is_empty()) {
        (Some(key), true) => {
            let failure = Failure::new(format!("there is no setting `{key}`"));
            Err(match did_you_mean(key, keys.iter().map(String::as_str)) {
                Some(similar) => failure.with_help(format!("did you mean `{similar}`?")),
                None => failure.with_help("without a key, `cargo xtask ecr explain` lists all settings"),
            })
        }
        _ => Ok(selected),
    }
}
