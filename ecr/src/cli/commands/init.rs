//! `ecr init`: what a workspace needs to use the tool, as a diff, or written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use ecr_oci::http::Limits;
use ecr_types::human::count;

use super::load::LIMIT;
use super::session::http_client;
use crate::adoption::{self, FileChange, NoProposal, Proposal, Surroundings};
use crate::aws::caller::Caller;
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::InitReport;
use crate::cli::shell::Shell;
use crate::config::files;
use crate::config::workspace;

/// The time within which AWS says whose the credentials are. The command does without.
const AWS_LIMIT: Duration = Duration::from_secs(5);

/// Shows the proposal, and writes it with `--write`. The only request is the one for the owner of the credentials, if there are
/// any.
pub async fn run(flags: &flags::Init, shell: &Shell) -> Result<Exit, Failure> {
    let (root, proposal) = propose(flags, shell).await?;
    let report = InitReport::new(&proposal, flags.write);
    report.lines().iter().for_each(|it| shell.print(it));
    if !flags.write {
        report.files.iter().flat_map(|it| it.diff.lines()).for_each(|it| shell.print(it));
    }
    report.notes.iter().for_each(|it| shell.note(it));
    if flags.write {
        proposal.changes.iter().try_for_each(|it| write(&root, it, shell))?;
    }
    finish(flags, shell, &proposal);
    shell.json(&report);
    Ok(Exit::Done)
}

async fn propose(flags: &flags::Init, shell: &Shell) -> Result<(PathBuf, Proposal), Failure> {
    let (manifest, patience) = (flags.manifest_path.clone(), shell.patience(LIMIT));
    let source = flags.source.clone();
    let looking = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let (root, found) = workspace::surroundings(manifest.as_deref(), &patience)?;
        let source = source.map(|it| adoption::look::source(&root, &it)).transpose()?;
        Ok((root, found, source))
    });
    let asking = Caller::find(http_client(shell, Limits::within(AWS_LIMIT)));
    let (looked, caller) = tokio::join!(looking, asking);
    let (root, found, source) = looked.context("failed to read the workspace")??;
    let found = Surroundings { caller, ..found };
    let proposal = adoption::propose(&found, flags.way, source.as_ref()).map_err(|error: NoProposal| {
        let help = error.help();
        Failure::from(anyhow::Error::new(error)).with_help(help)
    })?;
    Ok((root, proposal))
}

fn write(root: &Path, change: &FileChange, shell: &Shell) -> Result<(), Failure> {
    let path = root.join(&change.path);
    let written = match &change.old {
        Some(_) => files::edit(&path, |_| Some(change.new.clone())).map(drop),
        None => files::create(&path, change.new.as_bytes()),
    };
    written.with_context(|| format!("failed to write `{}`", change.path))?;
    shell.status(if change.old.is_some() { "Changed" } else { "Created" }, &change.path);
    Ok(())
}

fn finish(flags: &flags::Init, shell: &Shell, proposal: &Proposal) {
    let files = count(proposal.changes.len() as u64, "file");
    match (proposal.changes.is_empty(), flags.write) {
        (true, _) => shell.status("Finished", "nothing to do: the workspace has all that it needs"),
        (false, true) => {
            shell.status("Finished", format!("{files} written"));
            shell.help("`cargo xtask push --local --create` pushes the images to the embedded ECR, without an account");
        }
        (false, false) => {
            shell.status("Finished", format!("{files} to write"));
            shell.help("`cargo xtask ecr init --write` writes them");
        }
    }
}
