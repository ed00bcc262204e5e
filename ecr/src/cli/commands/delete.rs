//! `ecr delete`: shows the repositories, asks for confirmation, and deletes them. If one is refused, none is
//! deleted.

use std::collections::BTreeMap;

use anyhow::Context;
use ecr_types::RepositoryName;
use ecr_types::human::{count, counted, size};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::parts::{Part, run_parts};
use super::session::Session;
use crate::aws::{Failures, ImageTotals, LIST_TAGS, Reads, ServiceError};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{DeleteEntry, DeleteOutcome, DeleteReport};
use crate::cli::shell::Shell;
use crate::plan::observed::{Observed, ObservedRepository};
use crate::plan::{foreign_owner, is_owner_unknown};

/// Deletes the repositories of the workspace with all their images.
pub async fn run(flags: &flags::Delete, shell: &Shell) -> Result<Exit, Failure> {
    shell.has_no_effect_yet("nothing was deleted");
    let session = Session::open(shell, &flags.common).await?;
    let mut candidates = candidates(&session, flags).await?;
    session.warn_of_denials();
    let exit = if candidates.iter().any(|it| it.entry.outcome == DeleteOutcome::Refused) {
        Exit::Refused
    } else if !candidates.iter().any(|it| it.exists) {
        Exit::Done
    } else if !confirmed(&session, flags, &candidates).await {
        Exit::Refused
    } else {
        delete(&session, &mut candidates).await
    };
    let help = refusal_help(&session, flags, &candidates);
    finish(&session, candidates, exit);
    help.iter().for_each(|it| shell.help(it));
    Ok(exit)
}

/// A repository to delete.
struct Candidate {
    exists: bool,
    /// Whether the project that it belongs to could not be read.
    is_owner_unknown: bool,
    entry: DeleteEntry,
}

async fn candidates(session: &Session<'_>, flags: &flags::Delete) -> Result<Vec<Candidate>, Failure> {
    let selection = &flags.common.selection;
    let desired = match flags.orphans {
        true => selection.repositories_or_none(session.desired())?,
        false => selection.repositories(session.desired())?,
    };
    let mut names: Vec<_> = desired.iter().map(|it| it.name.clone()).collect();
    if flags.orphans {
        names.extend(session.orphans().await?.ok_or_else(|| unknown_orphans(session))?);
    }
    let reads = |_: &RepositoryName| Reads { tags: true, ..Reads::default() };
    let (observed, failures) =
        session.aws.observe(&names, reads).await.context("failed to read the repositories")?;
    session.print_header(&observed).await?;
    // If a project is configured, a repository without its tags has an unknown owner, whatever the reason is.
    let needs_owner = session.project().is_some();
    let (untagged, failures): (Failures, Failures) =
        failures.into_iter().partition(|(_, error)| needs_owner && error.operation() == LIST_TAGS);
    if let Some((name, error)) = failures.into_iter().next() {
        return Err(anyhow::Error::new(error).context(format!("failed to read repository `{name}`")).into());
    }
    let protected = |name: &RepositoryName| desired.iter().any(|it| it.name == *name && it.protect);
    let each = names.into_iter().map(|name| {
        let is_protected = protected(&name);
        let guards =
            Guards { is_protected, assumes_owned: flags.assume_owned, untagged: untagged.get(&name) };
        candidate(session, name, guards, &observed)
    });
    stream::iter(each).buffered(session.aws_concurrency()).try_collect().await
}

/// The refusal to delete orphans that are unknown.
fn unknown_orphans(session: &Session<'_>) -> Failure {
    let reason = session.no_orphans_reason();
    session.warn_of_denials();
    let help = match session.project() {
        None => "write `project = \"...\"` below [workspace.metadata.ecr], or omit --orphans",
        Some(_) => "use credentials with ecr:ListTagsForResource, or omit --orphans",
    };
    Failure::refused(format!("nothing was deleted: orphans cannot be identified, because {reason}"))
        .with_help(help)
}

/// What decides whether a repository is refused, in addition to its resource tags.
#[derive(Clone, Copy)]
struct Guards<'a> {
    is_protected: bool,
    /// `--assume-owned`.
    assumes_owned: bool,
    /// Why the resource tags could not be read, other than a missing permission.
    untagged: Option<&'a ServiceError>,
}

async fn candidate(
    session: &Session<'_>,
    name: RepositoryName,
    guards: Guards<'_>,
    observed: &Observed,
) -> Result<Candidate, Failure> {
    if let Some(error) = guards.untagged {
        let refusal = Some(format!("its owner is unknown: {error}"));
        let entry = DeleteEntry::new(name, DeleteOutcome::Refused, None, refusal);
        return Ok(Candidate { exists: true, is_owner_unknown: false, entry });
    }
    let Some(found) = observed.repositories.get(&name) else {
        let entry = DeleteEntry::new(name, DeleteOutcome::NotFound, Some(ImageTotals::default()), None);
        return Ok(Candidate { exists: false, is_owner_unknown: false, entry });
    };
    let totals = session.aws.image_totals(&name).await;
    let totals = totals.with_context(|| format!("failed to list the images of `{name}`"))?;
    let refusal = refusal(session, found, guards);
    let is_owner_unknown = is_owner_unknown(found, session.project());
    let outcome = if refusal.is_some() { DeleteOutcome::Refused } else { DeleteOutcome::Kept };
    Ok(Candidate { exists: true, is_owner_unknown, entry: DeleteEntry::new(name, outcome, totals, refusal) })
}

fn refusal(session: &Session<'_>, found: &ObservedRepository, guards: Guards<'_>) -> Option<String> {
    let project = session.project();
    if let Some(owner) = foreign_owner(found, project) {
        return Some(format!("owned by project `{owner}`"));
    }
    if guards.is_protected {
        return Some("protected (`protect = true`)".to_owned());
    }
    let is_unknown = is_owner_unknown(found, project) && !guards.assumes_owned;
    is_unknown.then(|| "its owner is unknown without permission for ecr:ListTagsForResource".to_owned())
}

impl DeleteEntry {
    fn new(
        name: RepositoryName,
        outcome: DeleteOutcome,
        totals: Option<ImageTotals>,
        error: Option<String>,
    ) -> Self {
        let (images, bytes) = (totals.map(|it| it.images), totals.map(|it| it.bytes));
        Self { name, outcome, images, bytes, error }
    }
}

/// Shows what would be deleted and asks the user to type the project's name or, without a project, the
/// account ID.
async fn confirmed(session: &Session<'_>, flags: &flags::Delete, candidates: &[Candidate]) -> bool {
    let shell = session.shell;
    for candidate in candidates.iter().filter(|it| it.exists) {
        shell.bad_status(
            "Will delete",
            format!("{}  {}", candidate.entry.name, image_totals_text(&candidate.entry)),
        );
    }
    if flags.yes {
        return true;
    }
    if !shell.can_ask() {
        shell.warn("nothing was deleted: stdin is not a terminal, so the deletion cannot be confirmed");
        shell.help("pass --yes to delete without confirmation");
        return false;
    }
    let expected = session.project().unwrap_or(session.identity.account.as_str());
    let what = if session.project().is_some() { "the project's name" } else { "the account ID" };
    let unknown = unknown_owners(candidates);
    let question = format!("{unknown}This cannot be undone. Type {what} (`{expected}`) to delete:");
    match shell.ask(&question).await {
        Some(typed) if typed == expected => return true,
        Some(_) => shell.warn(format!("nothing was deleted: the input is not `{expected}`")),
        None => shell.warn("nothing was deleted: there was no input"),
    }
    false
}

/// A sentence for the question about repositories that may belong to another project. Empty if there are none.
fn unknown_owners(candidates: &[Candidate]) -> String {
    match candidates.iter().filter(|it| it.is_owner_unknown).count() {
        0 => String::new(),
        n => format!("The ownership of {} could not be checked. ", count(n as u64, "repository")),
    }
}

fn image_totals_text(entry: &DeleteEntry) -> String {
    match (entry.images, entry.bytes) {
        (Some(images), Some(bytes)) => format!("{}, {}", count(images, "image"), size(bytes)),
        _ => "number of images unknown".to_owned(),
    }
}

async fn delete(session: &Session<'_>, candidates: &mut [Candidate]) -> Exit {
    let names: Vec<_> = candidates.iter().filter(|it| it.exists).map(|it| it.entry.name.clone()).collect();
    let each = candidates.iter_mut().filter(|it| it.exists).map(|it| &mut it.entry);
    let deleted = run_parts(session.shell, each, session.aws_concurrency(), async |entry| {
        match session.aws.delete_repository(&entry.name).await {
            Ok(true) => entry.outcome = DeleteOutcome::Deleted,
            Ok(false) => entry.outcome = DeleteOutcome::NotFound,
            Err(error) => fail(entry, error.to_string()),
        }
        print_entry(session.shell, entry);
        if entry.outcome == DeleteOutcome::Failed { Exit::Failed } else { Exit::Done }
    });
    let parts: BTreeMap<_, _> = names.into_iter().zip(deleted.await).collect();
    for it in candidates.iter_mut().filter(|it| parts.get(&it.entry.name) == Some(&Part::Running)) {
        fail(&mut it.entry, "interrupted: whether it was deleted is unknown".to_owned());
        print_entry(session.shell, &it.entry);
    }
    let exits = parts.into_values().map(|it| match it {
        Part::Done(exit) => Some(exit),
        Part::Waiting | Part::Running => None,
    });
    exits.collect::<Option<Vec<_>>>().map_or(Exit::Interrupted, Exit::of_parts)
}

fn fail(entry: &mut DeleteEntry, error: String) {
    entry.outcome = DeleteOutcome::Failed;
    entry.error = Some(error);
}

fn print_entry(shell: &Shell, entry: &DeleteEntry) {
    let (name, error) = (&entry.name, entry.error.as_deref().unwrap_or_default());
    match entry.outcome {
        DeleteOutcome::Deleted => shell.status("Deleted", format!("{name}  {}", image_totals_text(entry))),
        DeleteOutcome::NotFound => shell.status("Not found", name),
        DeleteOutcome::Refused => shell.bad_status("Refused", format!("{name}: {error}")),
        DeleteOutcome::Kept => shell.status("Kept", name),
        DeleteOutcome::Failed => shell.bad_status("Failed", format!("{name}: {error}")),
    }
}

/// What the user can do about refused repositories.
fn refusal_help(session: &Session<'_>, flags: &flags::Delete, candidates: &[Candidate]) -> Vec<String> {
    let is_refused = |it: &&Candidate| it.entry.outcome == DeleteOutcome::Refused;
    let mut help = Vec::new();
    if candidates.iter().any(|it| is_refused(&it)) {
        help.push("nothing was deleted; exclude the refused repositories with -p or --exclude".to_owned());
    }
    let is_unknown = candidates.iter().filter(is_refused).any(|it| it.is_owner_unknown);
    if let Some(project) = session.project().filter(|_| is_unknown && !flags.assume_owned) {
        help.push(format!(
            "use credentials with ecr:ListTagsForResource, or pass --assume-owned if the repositories belong to `{project}`"
        ));
    }
    help
}

fn finish(session: &Session<'_>, candidates: Vec<Candidate>, exit: Exit) {
    let shell = session.shell;
    let printed = [DeleteOutcome::Deleted, DeleteOutcome::Failed];
    let entries: Vec<_> = candidates.into_iter().map(|it| it.entry).collect();
    entries.iter().filter(|it| !printed.contains(&it.outcome)).for_each(|it| print_entry(shell, it));
    let words = [
        (DeleteOutcome::Deleted, "deleted"),
        (DeleteOutcome::NotFound, "not found"),
        (DeleteOutcome::Refused, "refused"),
        (DeleteOutcome::Kept, "kept"),
        (DeleteOutcome::Failed, "failed"),
    ];
    let counts =
        words.map(|(outcome, word)| (entries.iter().filter(|it| it.outcome == outcome).count(), word));
    shell.status("Finished", counted(entries.len(), "repository", &counts));
    shell.json(&DeleteReport {
        account: session.identity.account.to_string(),
        region: session.aws.region().to_owned(),
        project: session.project().map(str::to_owned),
        repositories: entries,
        interrupted: exit == Exit::Interrupted,
    });
}
