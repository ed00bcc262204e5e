//! The impact of new lifecycle policies, and the confirmation before they are written.

use std::path::Path;

use ecr_lifecycle::Document;
use ecr_lifecycle::impact::Impact;
use ecr_lifecycle::in_use::InUse;
use ecr_types::human::count;
use futures_util::stream::{self, StreamExt};

use super::session::Session;
use crate::aws::{Failures, Manifests};
use crate::cli::error::Failure;
use crate::cli::report::impact_lines;
use crate::clock::now;
use crate::config::files;
use crate::plan::{Plan, RepositoryPlan};

/// The images listed in the file of `--in-use`.
pub fn in_use(session: &Session<'_>, path: Option<&Path>) -> Result<InUse, Failure> {
    let Some(path) = path else { return Ok(InUse::default()) };
    let found = InUse::parse(&files::read_list(path)?);
    if found.is_empty() {
        session.shell.warn(format!("`{}` lists no image", path.display()));
    }
    Ok(found)
}

/// Adds the impact of the new lifecycle policies to the plan of each existing repository. Returns the
/// repositories whose images could not be read. A missing permission to list images is reported as one of the
/// session's denials.
pub async fn estimate_impact(session: &Session<'_>, plan: &mut Plan, in_use: &InUse) -> Failures {
    let changes: Vec<(&mut RepositoryPlan, Document)> = plan.lifecycle_changes().collect();
    let each = changes.into_iter().map(|(plan, document)| async move {
        let images = match session.aws.inventory(&plan.name, Manifests::Indexes).await {
            Ok(inventory) => inventory?.images,
            Err(error) => return Some((plan.name.clone(), error)),
        };
        let name = plan.name.clone();
        let impact =
            Impact::estimate(document.policy(), &images, now(), |image| in_use.names(name.as_str(), image));
        plan.expires = Some(impact).filter(|it| !it.is_nothing());
        None
    });
    let failed: Vec<_> = stream::iter(each).buffer_unordered(session.aws_concurrency()).collect().await;
    session.warn_of_denials();
    failed.into_iter().flatten().collect()
}

/// Refuses policies that would expire or archive images in use, and asks for confirmation if they would
/// expire or archive tagged images. Nothing has been written yet.
pub async fn confirm(session: &Session<'_>, plan: &Plan, yes: bool) -> Result<(), Failure> {
    let impacts = || plan.repositories.iter().filter_map(|it| Some((&it.name, it.expires.as_ref()?)));
    let total = |of: fn(&Impact) -> usize| impacts().map(|(_, it)| of(it)).sum::<usize>() as u64;
    let (in_use, tags) = (total(|it| it.in_use.len()), total(Impact::affected_tags));
    for (name, impact) in impacts() {
        let verb = verb(std::iter::once(impact));
        session.shell.warn(format!(
            "the new lifecycle policy of `{name}` {verb} expire or archive images within a day"
        ));
        impact_lines(impact).iter().for_each(|it| session.shell.eprint(it));
    }
    let verb = verb(impacts().map(|(_, it)| it));
    if in_use > 0 {
        let message =
            format!("a lifecycle policy {verb} expire or archive {} in use", count(in_use, "image"));
        let help = "change the policy so that it keeps them (see `cargo xtask ecr lifecycle preview`), or stop using \
                    them first";
        return Err(Failure::refused(message).with_help(help));
    }
    if tags == 0 || yes {
        return Ok(());
    }
    let images = format!("images with {}", count(tags, "tag"));
    if !session.shell.can_ask() {
        let message = format!(
            "a lifecycle policy {verb} expire or archive {images}, and stdin is not a terminal, so it cannot \
             be confirmed"
        );
        let help = "pass --yes to confirm; `cargo xtask ecr lifecycle preview` lists each image";
        return Err(Failure::refused(message).with_help(help));
    }
    match session.shell.confirm(&format!("{images} {verb} be expired or archived. Continue?")).await {
        true => Ok(()),
        false => Err(Failure::refused("nothing was written: not confirmed")),
    }
}

/// Whether images go for certain, or depending on what AWS does not document, or both.
fn verb<'a>(impacts: impl Iterator<Item = &'a Impact> + Clone) -> &'static str {
    let is_certain = impacts.clone().any(|it| it.images + it.archived > 0);
    match impacts.clone().any(|it| it.may_go.is_some()) {
        true if is_certain => "would or may",
        true => "may",
        false => "would",
    }
}
