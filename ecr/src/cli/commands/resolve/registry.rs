//! The images that the registry has under tags, or that it runs.

use anyhow::Context;
use ecr_lifecycle::StorageClass;
use ecr_types::{Digest, ImageTag};
use futures_util::stream::{self, StreamExt};

use super::Images;
use crate::aws::{Aws, Manifests, Reads};
use crate::cli::commands::session::{Connection, Session};
use crate::cli::commands::tagged::{Missing, TagLookup, Wanted, revision};
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::shell::Shell;
use crate::config::workspace::Workspace;
use crate::deployment::DeployedImage;
use crate::promotion::History;

/// Looks the images up by their tags: that of `--tag`, else the configured ones.
pub(super) async fn images(
    flags: &flags::Resolve,
    shell: &Shell,
    workspace: Workspace,
    wanted: Vec<Wanted>,
) -> Result<Images, Failure> {
    let (tag, limit) = (flags.tag.as_ref(), flags.common.registry.network_timeout);
    let revision = revision(shell, &workspace, &wanted, flags.tag.as_slice(), limit).await?;
    let connection = Connection::open(shell, &flags.common, &workspace).await?;
    let names: Vec<_> = wanted.iter().map(|it| it.repository.clone()).collect();
    let read = async |aws: &Aws| aws.observe(&names, |_| Reads::default()).await;
    let (session, observed) = Session::identify_and_read(shell, workspace, connection, read).await?;
    let (observed, mut failures) = observed.context("failed to read the repositories")?;
    session.print_header(&observed).await?;
    let lookup = TagLookup { session: &session, tag, revision };
    let each = wanted.iter().map(|it| (it, failures.remove(&it.repository))).map(|(it, failure)| {
        let found = observed.repositories.get(&it.repository);
        let lookup = &lookup;
        async move {
            let image = match (failure, found) {
                (Some(error), _) => Err(Missing::failed(&it.repository, &error.into())),
                (None, Some(found)) if flags.current => current(lookup.session, it, &found.uri).await,
                (None, Some(found)) => tagged(lookup, it, &found.uri).await,
                (None, None) => Err(lookup.absent(it)),
            };
            (it.repository.clone(), image)
        }
    });
    let images = stream::iter(each).buffer_unordered(session.aws_concurrency()).collect().await;
    session.warn_of_denials();
    Ok(images)
}

/// The image with the tag, in a repository with the address `uri`.
async fn tagged(lookup: &TagLookup<'_>, wanted: &Wanted, uri: &str) -> Result<DeployedImage, Missing> {
    let found = lookup.find(wanted).await?;
    Ok(deployed(lookup.session, wanted, uri, found.tag, found.digest))
}

/// The image that the environment runs.
async fn current(session: &Session<'_>, wanted: &Wanted, uri: &str) -> Result<DeployedImage, Missing> {
    let name = &wanted.repository;
    let inventory = session.aws.required_inventory(name, Manifests::None).await;
    let inventory = inventory.map_err(|it| Missing::failed(name, &it))?;
    let tag = session.desired().environment.as_ref().map(|it| it.tag());
    let history = History::in_environment(&inventory, tag.as_ref());
    let flags = session.registry_flags();
    let current = history.current.ok_or_else(|| Missing {
        message: format!("`{name}` has no tagged image"),
        help: Some(format!("push one with `cargo xtask push -p {}{flags}`", wanted.name())),
    })?;
    let image = &inventory.images[current.image];
    if image.storage_class == StorageClass::Archive {
        return Err(Missing::archived(name, &format!(":{}", current.tag), &image.digest));
    }
    let tag = current.tag.parse().map_err(|it: ecr_types::InvalidName| Missing::failed(name, &it.into()))?;
    Ok(deployed(session, wanted, uri, tag, image.digest.clone()))
}

fn deployed(
    session: &Session<'_>,
    wanted: &Wanted,
    uri: &str,
    tag: ImageTag,
    digest: Digest,
) -> DeployedImage {
    let uri = session.display_reference(uri);
    let host = uri.split_once('/').map_or(uri.as_str(), |(host, _)| host).to_owned();
    wanted.deployed(host, Some(tag), digest)
}
