//! `ecr plan`: shows what `ecr create` would change. It makes no write request.

use ecr_lifecycle::in_use::InUse;
use ecr_types::human::count;

use super::session::{Session, configures_lifecycle_policy, load_environments};
use super::tagged::{Wanted, revision};
use super::{expiry, registry};
use crate::aws;
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{
    EnvironmentPlan, EnvironmentPlans, PlanReport, RegistryStepReport, RepositoryReport, plan_lines,
    registry_lines,
};
use crate::cli::shell::Shell;
use crate::cli::table::Tone;
use crate::config::tag_template::{InvalidTag, TagValues};
use crate::config::workspace::Workspace;
use crate::plan::{Plan, Summary};

/// Prints the plan, of each environment that is selected. With `--check`, the exit code shows whether there are changes.
pub async fn run(flags: &flags::Plan, shell: &Shell) -> Result<Exit, Failure> {
    tokio::task::spawn_blocking(aws::preload);
    let workspaces = load_environments(shell, &flags.common).await?;
    let mut parts = Vec::new();
    let is_single = workspaces.len() == 1;
    for workspace in workspaces {
        let environment = workspace.desired.environment.as_ref().map(|it| it.name.clone());
        if is_single {
            let (report, exit) = plan_workspace(flags, shell, workspace).await?;
            shell.json(&report);
            return Ok(exit);
        }
        let name = environment.unwrap_or_default();
        shell.print(Tone::Title.paint(&name));
        parts.push(match plan_workspace(flags, shell, workspace).await {
            Ok((report, exit)) => (EnvironmentPlan::Planned(Box::new(report)), exit),
            Err(failure) => {
                shell.eprint_failure(&failure);
                (EnvironmentPlan::failed(name, &failure), failure.exit)
            }
        });
    }
    let (environments, exits): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    shell.json(&EnvironmentPlans { environments });
    Ok(Exit::of_parts(exits))
}

/// Plans a workspace in one environment, and prints the plan for people.
async fn plan_workspace(
    flags: &flags::Plan,
    shell: &Shell,
    workspace: Workspace,
) -> Result<(PlanReport, Exit), Failure> {
    let (common, reads) = (&flags.common, configures_lifecycle_policy);
    warn_of_tags(flags, shell, &workspace).await?;
    let (session, desired, (observed, failures)) =
        Session::observe_workspace(shell, common, workspace, flags.orphans, reads).await?;
    let header = session.print_header(&observed).await?;
    let mut plan = session.plan(&desired, &observed);
    let unestimated = expiry::estimate_impact(&session, &mut plan, &InUse::default()).await;
    if let Some((name, error)) = failures.into_iter().chain(unestimated).next() {
        return Err(anyhow::Error::new(error).context(format!("failed to read repository `{name}`")).into());
    }
    let orphans = if flags.orphans { session.orphans_or_warning().await? } else { None };
    let settings = registry::plan(&session, flags.registry).await?;
    session.warn_of_denials();

    plan_lines(&plan).iter().for_each(|line| shell.print(line));
    for orphan in orphans.iter().flatten() {
        shell.print(format!("? {orphan}  (orphan: belongs to this project, but is not in the workspace)"));
    }
    settings.iter().flat_map(|it| registry_lines(it)).for_each(|line| shell.print(line));
    shell.print(summary_line(&plan.summary(), orphans.as_ref().map(Vec::len)));
    let report = PlanReport {
        header,
        repositories: plan.repositories.iter().map(RepositoryReport::from).collect(),
        orphans,
        summary: plan.summary(),
        registry_settings: settings.as_ref().map(|it| it.iter().map(RegistryStepReport::from).collect()),
    };
    let changes_settings = settings.is_some_and(|it| !it.is_empty());
    Ok((report, if flags.check { check(&plan, changes_settings) } else { Exit::Done }))
}

/// Warns of tags that `push` could not make of what is checked out. Nothing is asked unless a tag needs it.
async fn warn_of_tags(flags: &flags::Plan, shell: &Shell, workspace: &Workspace) -> Result<(), Failure> {
    let services = flags.common.selection.services(&workspace.desired)?;
    let wanted: Vec<_> = services.iter().map(|it| Wanted::service(it)).collect();
    let limit = flags.common.registry.network_timeout;
    let revision = revision(shell, workspace, &wanted, &[], limit).await?;
    for service in services {
        let values = TagValues { version: &service.package.version, revision: &revision, digest: None };
        for template in service.tag_templates().iter().filter(|it| it.needs_revision()) {
            match template.render(&values) {
                Ok(_) | Err(InvalidTag::NoImage(_) | InvalidTag::NoPullRequest(_)) => {}
                Err(error) => shell.warn(format!("{}: {error}", service.name)),
            }
        }
    }
    Ok(())
}

/// The exit code of `--check`: 2 if `create` would write, 5 if a repository belongs to another project, 1 if
/// a change is blocked; the first that applies.
fn check(plan: &Plan, changes_settings: bool) -> Exit {
    let summary = plan.summary();
    if plan.writes() || changes_settings {
        Exit::Changes
    } else if summary.foreign > 0 {
        Exit::Refused
    } else if summary.blocked > 0 {
        Exit::Failed
    } else {
        Exit::Done
    }
}

fn summary_line(summary: &Summary, orphans: Option<usize>) -> String {
    let optional = [("blocked", summary.blocked), ("foreign", summary.foreign)];
    let optional = optional.into_iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!(", {n} {word}"));
    let orphans = orphans.map(|n| format!(", {}", count(n as u64, "orphan")));
    format!(
        "Plan: {} to create, {} to change, {} unchanged{}{}",
        summary.create,
        summary.change,
        summary.unchanged,
        optional.collect::<String>(),
        orphans.unwrap_or_default()
    )
}
