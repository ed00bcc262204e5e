//! `promote`: gives images that exist the tag of an environment, or a further tag.
//!
//! [`sides`] opens the registries, [`plan`] finds the image of each service and decides which tag it gets and what speaks
//! against that, and [`apply`] copies and tags. Nothing is written before all plans are made.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ecr_types::human::{count, counted};
use ecr_types::lock;
use futures_util::stream::{self, StreamExt};

use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{PromoteOutcome, PromoteReport, PromotedEntry};
use crate::cli::shell::Shell;

mod apply;
mod gate;
mod plan;
mod sides;

use plan::{Planned, Promotion, Reason, ReasonKind, State};
use sides::Sides;

/// The number of images that are copied side by side.
const CONCURRENCY: usize = 4;

/// The result of a service.
struct Done {
    entry: PromotedEntry,
    exit: Exit,
    help: Option<String>,
}

/// Promotes the images of the selected services. A service that fails does not stop the others; one that is refused does.
pub async fn run(flags: &flags::Promote, shell: &Shell) -> Result<Exit, Failure> {
    shell.has_no_effect_yet("nothing was promoted");
    let sides = sides::open(flags, shell).await?;
    let planned = plan::plan(flags, &sides).await?;
    sides.warn_of_denials();
    let (mut promotions, mut done) = (Vec::new(), BTreeMap::new());
    for (n, Planned { entry, promotion }) in planned.into_iter().enumerate() {
        match promotion {
            Ok(promotion) => promotions.push((n, entry, promotion)),
            Err(missing) => drop(done.insert(n, failed(entry, missing.message, missing.help))),
        }
    }
    gate::apply(flags, &sides, &mut promotions).await?;
    done.values().for_each(|it| report(shell, it));
    if let Some(refusal) = refusal(flags, shell, &sides, &promotions).await {
        done.extend(
            promotions.into_iter().map(|(n, entry, it)| (n, refused(flags, entry, &it, refusal.exit))),
        );
        done.values().filter(|it| it.exit == refusal.exit).for_each(|it| report(shell, it));
        refusal.help.iter().for_each(|it| shell.help(it));
        return Ok(finish(shell, &sides, done));
    }
    done.extend(promote(flags, shell, &sides, promotions).await);
    Ok(finish(shell, &sides, done))
}

/// Why nothing is promoted.
struct Refusal {
    exit: Exit,
    help: Option<String>,
}

/// Asks where a reason needs it. `None` if all promotions may go on.
async fn refusal(
    flags: &flags::Promote,
    shell: &Shell,
    sides: &Sides<'_>,
    promotions: &[(usize, PromotedEntry, Promotion)],
) -> Option<Refusal> {
    let kinds: Vec<_> = promotions.iter().flat_map(|(_, _, it)| &it.reasons).map(|it| it.kind).collect();
    if kinds.iter().any(|it| *it != ReasonKind::Confirmable) {
        let help = "leave the refused services out with --exclude".to_owned();
        let exit = if kinds.contains(&ReasonKind::Final) { Exit::Refused } else { Exit::Gate };
        return Some(Refusal { exit, help: Some(help).filter(|_| promotions.len() > 1) });
    }
    if kinds.is_empty() || flags.yes || flags.dry_run {
        return None;
    }
    if !shell.can_ask() {
        let help =
            "pass --yes to promote all the same; stdin is not a terminal, so that it cannot be confirmed";
        return Some(Refusal { exit: Exit::Refused, help: Some(help.to_owned()) });
    }
    for (_, entry, promotion) in promotions {
        promotion.reasons.iter().for_each(|it| shell.warn(format!("{}: {}", entry.name(), it.text)));
    }
    let images = count(promotions.len() as u64, "image");
    let is_confirmed = shell.confirm(&format!("Promote {images} to {}?", sides.label)).await;
    (!is_confirmed).then_some(Refusal { exit: Exit::Refused, help: None })
}

async fn promote(
    flags: &flags::Promote,
    shell: &Shell,
    sides: &Sides<'_>,
    promotions: Vec<(usize, PromotedEntry, Promotion)>,
) -> BTreeMap<usize, Done> {
    let (all, told) = (Mutex::new(BTreeMap::new()), AtomicUsize::new(0));
    let entries: Vec<_> = promotions.iter().map(|(n, entry, _)| (*n, entry.clone())).collect();
    let step = async {
        let each = promotions.into_iter().map(|(n, entry, promotion)| {
            let all = &all;
            async move {
                let done = match &promotion.state {
                    State::Unchanged(_) => succeeded(entry, PromoteOutcome::Unchanged),
                    State::Conflict { error, help, .. } => conflict(entry, error.clone(), Some(help.clone())),
                    State::Tag(_) if flags.dry_run => succeeded(entry, PromoteOutcome::DryRun),
                    State::Tag(tag) => apply::apply(sides, entry, &promotion, tag).await,
                };
                lock(all).insert(n, done);
                n
            }
        });
        // In the order of the services, whichever ends first.
        let mut ends = std::pin::pin!(stream::iter(each).buffered(CONCURRENCY));
        while let Some(n) = ends.next().await {
            lock(&all).get(&n).iter().for_each(|it| report(shell, it));
            told.fetch_add(1, Ordering::Relaxed);
        }
    };
    shell.until_interrupted(step).await;
    let mut all = all.into_inner().unwrap_or_default();
    for (n, entry) in entries.into_iter().skip(told.into_inner()) {
        let done = all.entry(n).or_insert_with(|| {
            let reason = "interrupted: run the command again to complete it";
            Done { exit: Exit::Interrupted, ..failed(entry, reason.to_owned(), None) }
        });
        report(shell, done);
    }
    all
}

fn succeeded(entry: PromotedEntry, outcome: PromoteOutcome) -> Done {
    Done { entry: PromotedEntry { outcome, ..entry }, exit: Exit::Done, help: None }
}

fn conflict(entry: PromotedEntry, error: String, help: Option<String>) -> Done {
    let entry = PromotedEntry { outcome: PromoteOutcome::Conflict, error: Some(error), ..entry };
    Done { entry, exit: Exit::Conflict, help }
}

fn failed(entry: PromotedEntry, error: String, help: Option<String>) -> Done {
    let entry = PromotedEntry { outcome: PromoteOutcome::Failed, error: Some(error), ..entry };
    Done { entry, exit: Exit::Failed, help }
}

fn refused(flags: &flags::Promote, entry: PromotedEntry, promotion: &Promotion, exit: Exit) -> Done {
    let counts = |it: &&Reason| !(it.kind == ReasonKind::Confirmable && flags.yes);
    let reasons: Vec<_> = promotion.reasons.iter().filter(counts).map(|it| it.text.clone()).collect();
    let outcome = match reasons.is_empty() {
        true => PromoteOutcome::Kept,
        false => PromoteOutcome::Refused,
    };
    Done { entry: PromotedEntry { outcome, reasons, ..entry }, exit, help: None }
}

fn report(shell: &Shell, done: &Done) {
    let entry = &done.entry;
    let tag = entry.tags.first().map(|it| format!(" as {it}")).unwrap_or_default();
    let from =
        entry.from.as_ref().and_then(|it| it.tag.as_ref()).map(|it| format!(" {it}")).unwrap_or_default();
    let name = format!("{}{from}", entry.name());
    let error = entry.error.as_deref().unwrap_or_default();
    match entry.outcome {
        PromoteOutcome::Promoted => shell.status("Promoted", format!("{name}{tag}{}", entry.sent())),
        PromoteOutcome::Unchanged => shell.status("Unchanged", format!("{name}{tag}")),
        PromoteOutcome::DryRun => {
            shell.status("Dry run", format!("{name}{tag}"));
            entry.reasons.iter().for_each(|it| shell.warn(format!("{}: {it}", entry.name())));
        }
        PromoteOutcome::Conflict => shell.bad_status("Conflict", format!("{name}: {error}")),
        PromoteOutcome::Refused => {
            entry.reasons.iter().for_each(|it| shell.bad_status("Refused", format!("{name}: {it}")));
        }
        PromoteOutcome::Kept => shell.status("Kept", format!("{name}: nothing was promoted")),
        PromoteOutcome::Failed => shell.bad_status("Failed", format!("{}: {error}", entry.name())),
    }
    done.help.iter().for_each(|it| shell.help(it));
}

/// Prints the references and the report, and returns the exit code.
fn finish(shell: &Shell, sides: &Sides<'_>, done: BTreeMap<usize, Done>) -> Exit {
    let is_there =
        |it: &&Done| matches!(it.entry.outcome, PromoteOutcome::Promoted | PromoteOutcome::Unchanged);
    let references = done.values().filter(is_there).filter_map(|it| it.entry.reference.as_ref());
    references.for_each(|it| shell.print(it));
    sides.warn_of_denials();
    let words = [
        (PromoteOutcome::Promoted, "promoted"),
        (PromoteOutcome::Unchanged, "unchanged"),
        (PromoteOutcome::DryRun, "to promote"),
        (PromoteOutcome::Conflict, "in conflict"),
        (PromoteOutcome::Refused, "refused"),
        (PromoteOutcome::Kept, "kept"),
        (PromoteOutcome::Failed, "failed"),
    ];
    let number = |outcome| done.values().filter(|it| it.entry.outcome == outcome).count();
    let counts = words.map(|(outcome, word)| (number(outcome), word));
    shell.status("Finished", counted(done.len(), "image", &counts));
    let exit = Exit::of_parts(done.values().map(|it| it.exit));
    shell.json(&PromoteReport {
        environment: sides.environment.clone(),
        registry: sides.target().shown_host(),
        images: done.into_values().map(|it| it.entry).collect(),
        interrupted: exit == Exit::Interrupted,
    });
    exit
}
