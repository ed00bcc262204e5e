//! `ecr lifecycle check`: reports errors and likely mistakes in lifecycle policies, without a registry.

use ecr_lifecycle::{Document, Environments, lint};
use ecr_oci::http::Limits;
use ecr_types::document::Place;
use ecr_types::human::count;

use crate::cli::commands::session::warn_of_near_misses;
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{CheckReport, PolicyError, PolicyWarning};
use crate::cli::shell::Shell;
use crate::config::files;
use crate::config::workspace::Workspace;

/// Checks one file, or every policy that the workspace uses.
pub async fn run(flags: &flags::LifecycleCheck, shell: &Shell) -> Result<Exit, Failure> {
    let (policies, environments) = match &flags.file {
        Some(path) => {
            let policy = (Place::file(&path.to_string_lossy()), files::read(path)?);
            (vec![policy], Environments::default())
        }
        None => {
            let patience = shell.patience(Limits::default().total);
            let found = Workspace::lifecycle_policies(flags.manifest_path.as_deref(), &patience)?;
            warn_of_near_misses(shell, &found.near_misses);
            (found.policies, found.environments)
        }
    };
    shell.verbose("Loaded", count(policies.len() as u64, "lifecycle policy"));
    let mut report = CheckReport::default();
    for (place, text) in &policies {
        check(place, text, &environments, &mut report);
    }
    report.valid = report.errors.is_empty();
    shell.print_findings(&report.errors, "error", PolicyError::lines);
    shell.print_findings(&report.warnings, "warning", PolicyWarning::lines);
    let (errors, warnings) = (report.errors.len() as u64, report.warnings.len() as u64);
    let counts = format!("{}, {}", count(errors, "error"), count(warnings, "warning"));
    shell.status("Checked", format!("{}: {counts}", count(policies.len() as u64, "policy")));
    if policies.is_empty() {
        shell.help("pass a policy file, or set `lifecycle-policy` below [workspace.metadata.ecr]");
    }
    shell.json(&report);
    Ok(if report.valid { Exit::Done } else { Exit::Failed })
}

/// Findings in a policy that is embedded in another file have the place of the policy in that file.
fn check(place: &Place, text: &str, environments: &Environments, report: &mut CheckReport) {
    let is_inline = place.line > 0;
    match Document::parse(&place.file, text) {
        Ok(document) => report.warnings.extend(lint(document.policy(), environments).into_iter().map(|it| {
            let own = if is_inline { place } else { document.place(it.rule) }.clone();
            PolicyWarning::new(it, &own)
        })),
        Err(findings) => report.errors.extend(findings.into_iter().map(|mut it| {
            if is_inline {
                it.place = place.clone();
            }
            PolicyError::new(it)
        })),
    }
}
