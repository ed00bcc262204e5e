//! `ecr plan`: what `create` would do, field by field. There is no write within its reach.

use ecr_lifecycle::in_use::InUse;
use ecr_types::human::count;

use super::expiry;
use super::session::{Session, names_lifecycle};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{PlanReport, RepositoryReport, plan_lines};
use crate::cli::shell::Shell;
use crate::plan::{Plan, Summary};

/// Prints the plan; with `--check`, the exit code tells whether it is empty.
pub async fn run(flags: &flags::Plan, shell: &Shell) -> Result<Exit, Failure> {
    let (session, desired, (observed, failures)) =
        Session::open_and_observe(shell, &flags.common, names_lifecycle).await?;
    let header = session.begin(&observed).await?;
    let mut plan = session.plan(&desired, &observed);
    let unweighed = expiry::estimate_impact(&session, &mut plan, &InUse::default()).await;
    if let Some((name, error)) = failures.into_iter().chain(unweighed).next() {
        return Err(anyhow::Error::new(error).context(format!("failed to read repository `{name}`")).into());
    }
    let orphans = if flags.orphans { Some(session.orphans().await?) } else { None };
    session.warn_of_denials();

    plan_lines(&plan).iter().for_each(|line| shell.print(line));
    for orphan in orphans.iter().flatten() {
        shell.print(format!("? {orphan}  (orphan: of this project, and not in the workspace)"));
    }
    shell.print(summary_line(&plan.summary(), orphans.as_ref().map(Vec::len)));
    shell.json(&PlanReport {
        header,
        repositories: plan.repositories.iter().map(RepositoryReport::from).collect(),
        orphans,
        summary: plan.summary(),
    });
    Ok(if flags.check { check(&plan) } else { Exit::Done })
}

/// 2 if `create` would write, else 5 if anything is another project's, else 1 if anything is blocked.
fn check(plan: &Plan) -> Exit {
    let summary = plan.summary();
    if plan.writes() {
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
