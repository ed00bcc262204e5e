//! The settings of the whole registry: read for `ecr status`, planned and written where `--registry` asks for it.

use ecr_types::RepositoryName;
use ecr_types::human::count;

use super::parts::{Part, run_parts};
use super::session::Session;
use crate::aws::ServiceError;
use crate::cli::error::Failure;
use crate::cli::report::{RegistryChange, RegistryStatus, RegistryStepReport};
use crate::registry::{self, RegistrySettings, RegistryStep, SharedLayers};

/// The section of `ecr status` about selected repositories, and whether all settings were read. A setting is null without the
/// permission, and where the server does not have the operation, with a warning. Another error makes the command fail.
pub fn status(
    session: &Session<'_>,
    names: &[RepositoryName],
    (settings, errors): (RegistrySettings, Vec<ServiceError>),
    layers: &SharedLayers,
) -> (RegistryStatus, bool) {
    let shell = session.shell;
    let (unknown, failed): (Vec<_>, Vec<_>) =
        errors.into_iter().partition(ServiceError::is_unknown_operation);
    if let [first, others @ ..] = unknown.as_slice() {
        let more = match others.len() {
            0 => String::new(),
            n => format!(" (and {})", count(n as u64, "other setting")),
        };
        shell.warn(format!("the server does not tell a setting of the registry{more}: {first}"));
    }
    for error in &failed {
        shell.bad_status("Failed", format!("settings of the registry: {error}"));
        error.help().iter().for_each(|it| shell.help(it));
    }
    let template = &session.desired().registry.template;
    (RegistryStatus::new(&settings, names, template, layers.repeated_bytes()), failed.is_empty())
}

/// The changes that `--registry` makes; `None` without the flag.
pub async fn plan(session: &Session<'_>, is_wanted: bool) -> Result<Option<Vec<RegistryStep>>, Failure> {
    if !is_wanted {
        return Ok(None);
    }
    let desired = &session.desired().registry;
    if !desired.is_configured() {
        return Err(not_configured());
    }
    let (settings, errors) = session.aws.configured_settings(desired).await;
    session.warn_of_denials();
    match registry::plan(desired, &settings) {
        Ok(steps) => Ok(Some(steps)),
        Err(unknown) => Err(match errors.into_iter().find(|it| it.operation() == unknown.action) {
            Some(error) => {
                anyhow::Error::new(error).context("failed to read a setting of the registry").into()
            }
            None => Failure::new(unknown.to_string()).with_help(
                "`cargo xtask ecr iam-policy provision --registry` prints the policy that allows it",
            ),
        }),
    }
}

/// The failure where `--registry` would do nothing.
pub fn not_configured() -> Failure {
    let failure = Failure::new("--registry: the workspace configures no setting of the registry");
    failure.with_help(
        "add a table [workspace.metadata.ecr.registry] with `blob-mounting` or `creation-template` to the root \
         Cargo.toml",
    )
}

/// Makes the changes, one after the other.
pub async fn apply(session: &Session<'_>, steps: &[RegistryStep]) -> Vec<RegistryChange> {
    let parts = run_parts(session.shell, steps, 1, async |step| apply_step(session, step).await).await;
    let each = parts.into_iter().zip(steps);
    let change = |(part, step): (Part<Option<String>>, &RegistryStep)| RegistryChange {
        step: RegistryStepReport::from(step),
        error: match part {
            Part::Done(error) => error,
            Part::Running => Some("interrupted: whether it was changed is unknown".to_owned()),
            Part::Waiting => Some("interrupted before it was begun".to_owned()),
        },
    };
    each.map(change).collect()
}

/// Makes a change, and returns the error if it failed.
async fn apply_step(session: &Session<'_>, step: &RegistryStep) -> Option<String> {
    let shell = session.shell;
    match session.aws.apply_to_registry(&step.write).await {
        Ok(()) => {
            shell.status("Updated", format!("registry settings ({})", step.field));
            None
        }
        Err(error) => {
            shell.bad_status("Failed", format!("registry settings ({}): {error}", step.field));
            error.help().iter().for_each(|it| shell.help(it));
            Some(error.to_string())
        }
    }
}
