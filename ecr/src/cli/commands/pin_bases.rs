//! `ecr pin-bases`: adds and renews the digests of base images in the manifests.

use std::collections::BTreeMap;

use anyhow::Context;
use ecr_oci::bases::{BaseCache, BaseImages, Login, PullEvent};
use ecr_oci::credentials::Credentials;
use ecr_oci::reference::Reference;
use ecr_types::document::Place;
use ecr_types::error::one_line;
use ecr_types::human::count;
use futures_util::stream::{self, StreamExt};

use super::bases::source;
use super::session::{Connection, http_client, load_workspace};
use crate::aws::private_registry::PrivateRegistry;
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{PinReport, PinnedBase};
use crate::cli::shell::Shell;
use crate::config::workspace::Workspace;
use crate::config::{files, pins};

/// Shows what each base's tag names now, and writes it with `--write`.
pub async fn run(flags: &flags::PinBases, shell: &Shell) -> Result<Exit, Failure> {
    let workspace = load_workspace(shell, &flags.common).await?;
    let bases = bases(flags, &workspace)?;
    let images = images(flags, shell, &workspace, &bases).await?;
    let on_event = |event: PullEvent<'_>| match event {
        PullEvent::Problem(problem) => shell.warn(problem),
        PullEvent::WaitingForHelper => shell.status("Waiting", "for a credential helper"),
        PullEvent::Fetching(_) | PullEvent::Received(_) => {}
    };
    let each = bases.iter().map(async |(place, base)| match &base.digest {
        // There is nothing to ask for.
        Some(digest) if base.tag.is_none() => PinnedBase::new(place, base, digest),
        _ => match images.digest(base, &on_event).await {
            Ok(now) => PinnedBase::new(place, base, &now),
            Err(error) => PinnedBase::failed(place, base, one_line(&error)),
        },
    });
    let limit = usize::from(flags.common.registry.concurrency);
    let mut found: Vec<_> = stream::iter(each).buffered(limit).collect().await;
    if flags.write {
        write(&workspace, &mut found);
    }
    Ok(finish(flags, shell, found))
}

fn finish(flags: &flags::PinBases, shell: &Shell, bases: Vec<PinnedBase>) -> Exit {
    bases.iter().for_each(|it| shell.print(it.line()));
    for base in &bases {
        if let Some(error) = &base.error {
            shell.bad_status("Failed", format!("{}: {error}", base.base));
        }
    }
    let failed = bases.iter().filter(|it| it.error.is_some()).count();
    let changes = bases.iter().filter(|it| it.error.is_none() && it.change().is_some()).count();
    let verb = if flags.write { "pinned" } else { "to pin" };
    let mut text = format!("{}, {changes} {verb}", count(bases.len() as u64, "base"));
    if failed > 0 {
        text += &format!(", {failed} failed");
    }
    shell.status("Finished", text);
    if changes > 0 && !flags.write {
        shell.help("`cargo xtask ecr pin-bases --write` writes the digests into the manifests");
    }
    shell.json(&PinReport { bases, written: flags.write });
    match failed {
        0 if flags.check && changes > 0 => Exit::Changes,
        0 => Exit::Done,
        _ => Exit::Failed,
    }
}

/// The bases of the selected services, each position once. A reference that is none is a problem of `push`, too.
fn bases(flags: &flags::PinBases, workspace: &Workspace) -> Result<Vec<(Place, Reference)>, Failure> {
    let services = flags.common.selection.services(&workspace.desired)?;
    let mut bases = BTreeMap::new();
    for base in services.iter().filter_map(|it| it.image.base.as_ref()).filter(|it| it.value != "scratch") {
        let reference = base.value.parse::<Reference>().with_context(|| base.place.to_string())?;
        bases.insert(base.place.clone(), reference);
    }
    Ok(bases.into_iter().collect())
}

/// The registries of the bases. AWS is asked for a password only if a base is in a private registry of ECR.
async fn images(
    flags: &flags::PinBases,
    shell: &Shell,
    workspace: &Workspace,
    bases: &[(Place, Reference)],
) -> Result<BaseImages, Failure> {
    let mirrors = workspace.desired.base_mirrors.clone();
    let cache = BaseCache::new(workspace.target.join("xtask-ecr/bases"));
    let http = http_client(shell, flags.common.registry.limits());
    let is_private = |it: &Reference| PrivateRegistry::of_host(&mirrors.source(it).host).is_some();
    if flags.common.registry.local || !bases.iter().any(|(_, it)| is_private(it)) {
        let images = BaseImages::new(cache, http, None);
        return Ok(images.with_source(Box::new(move |it| mirrors.source(it))));
    }
    let aws = Connection::open(shell, &flags.common, workspace).await?.into_aws();
    let token = aws.authorization_token().await.context("failed to get an authorization token")?;
    let host = aws.registry_host(token.host()).map_err(anyhow::Error::new)?;
    let credentials = Credentials::Basic { user: "AWS".to_owned(), password: token.password };
    let images = BaseImages::new(cache, http, Some(Login { host, credentials }));
    Ok(images.with_source(source(mirrors, aws)))
}

/// Writes the digests. Of several bases in a line, the last one is written first, so that the positions stay right.
fn write(workspace: &Workspace, bases: &mut [PinnedBase]) {
    for base in bases.iter_mut().rev().filter(|it| it.error.is_none()) {
        let Some(pinned) = base.change().map(str::to_owned) else { continue };
        let place = Place { line: base.line, column: base.column, ..Place::file(&base.file) };
        let edit = |text: &str| pins::replace(text, &place, &base.base, &pinned);
        base.error = match files::edit(&workspace.root.join(&base.file), edit) {
            Ok(true) => None,
            Ok(false) => Some(format!("not written: {place} is not a plain string; write `{pinned}` there")),
            Err(error) => Some(format!("failed to write `{}`: {error}", base.file)),
        };
    }
}
