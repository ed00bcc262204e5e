//! Before a lifecycle policy is written: what it would take, and whether that is meant.

use std::collections::BTreeMap;
use std::path::Path;

use ecr_lifecycle::Document;
use ecr_lifecycle::impact::Impact;
use ecr_lifecycle::in_use::InUse;
use ecr_types::RepositoryName;
use ecr_types::human::count;
use futures_util::stream::{self, StreamExt};

use super::session::Session;
use crate::aws::{Manifests, ServiceError};
use crate::cli::error::Failure;
use crate::cli::report::impact_lines;
use crate::clock::now;
use crate::config::files;
use crate::plan::{Plan, RepositoryPlan};

/// Repositories that could not be read, and why.
type Failures = BTreeMap<RepositoryName, ServiceError>;

/// The images that `--in-use FILE` names.
pub fn in_use(session: &Session<'_>, path: Option<&Path>) -> Result<InUse, Failure> {
    let Some(path) = path else { return Ok(InUse::default()) };
    let found = InUse::parse(&files::read(path)?);
    if found.is_empty() {
        session.shell.warn(format!("`{}` names no image", path.display()));
    }
    Ok(found)
}

/// Works out what the lifecycle policies of a plan would take from repositories that exist; gives those whose images
/// could not be read. Where images may not be listed, that is one of the session's denials.
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
        plan.expires = Some(impact).filter(|it| !it.is_nothing() || it.undocumented > 0);
        None
    });
    let failed: Vec<_> = stream::iter(each).buffer_unordered(session.aws_concurrency()).collect().await;
    session.warn_of_denials();
    failed.into_iter().flatten().collect()
}

/// Refuses what takes images in use; has a person agree to what takes tagged images. Nothing was written yet.
pub async fn consent(session: &Session<'_>, plan: &Plan, yes: bool) -> Result<(), Failure> {
    let impacts = || plan.repositories.iter().filter_map(|it| Some((&it.name, it.expires.as_ref()?)));
    let total = |of: fn(&Impact) -> usize| impacts().map(|(_, it)| of(it)).sum::<usize>() as u64;
    let (in_use, tags) = (total(|it| it.in_use.len()), total(|it| it.tags.len() + it.archived_tags.len()));
    for (name, impact) in impacts().filter(|(_, it)| !it.is_nothing()) {
        session.shell.warn(format!("the new lifecycle policy of `{name}` would take images within a day"));
        impact_lines(impact).iter().for_each(|it| session.shell.talk(it));
    }
    if in_use > 0 {
        let message = format!("a lifecycle policy would take {} in use", count(in_use, "image"));
        let help =
            "let the policy keep them (see `cargo xtask ecr lifecycle preview`), or stop using them first";
        return Err(Failure::refused(message).with_help(help));
    }
    if tags == 0 || yes {
        return Ok(());
    }
    let images = format!("images with {}", count(tags, "tag"));
    if !session.shell.can_ask() {
        let message =
            format!("a lifecycle policy would take {images}, and there is no terminal to confirm it on");
        let help = "pass --yes to accept it; `cargo xtask ecr lifecycle preview` shows each image";
        return Err(Failure::refused(message).with_help(help));
    }
    match session.shell.ask(&format!("{images} would go. Go on? [y/N]")).await.as_deref() {
        Some("y" | "Y" | "yes" | "Yes" | "YES") => Ok(()),
        _ => Err(Failure::refused("nothing was written: not confirmed")),
    }
}
