//! `ecr deployed`: what each environment runs, by the tags of images.

use anyhow::Context;
use ecr_lifecycle::StorageClass;
use ecr_types::RepositoryName;
use ecr_types::error::one_line;
use futures_util::stream::{self, StreamExt};

use super::session::{Session, load_every};
use crate::aws::{Aws, Manifests, Reads};
use crate::cli::commands::session::Connection;
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{DeployedEnvironment, DeployedImage, DeployedReport, DeployedService};
use crate::cli::shell::Shell;
use crate::clock::now;
use crate::config::desired::Service;
use crate::config::workspace::Workspace;
use crate::inventory::Inventory;
use crate::plan::observed::ObservedRepository;
use crate::promotion::{Deployed, EnvironmentTag, History, goes_soon};

/// Shows the environments that are selected; all of them without `-e`.
pub async fn run(flags: &flags::Deployed, shell: &Shell) -> Result<Exit, Failure> {
    // Every environment is meant, even if there is a default one.
    let workspaces = load_every(shell, &flags.common).await?;
    let mut environments = Vec::new();
    for workspace in workspaces {
        let name = workspace.desired.environment.as_ref().map(|it| it.name.clone());
        environments.push(match environment(flags, shell, workspace).await {
            Ok(services) => DeployedEnvironment { name, services, error: None },
            Err(failure) => {
                shell.eprint_failure(&failure);
                DeployedEnvironment { name, services: Vec::new(), error: Some(one_line(&failure)) }
            }
        });
    }
    let report = DeployedReport { environments };
    report.lines(now(), shell.width()).into_iter().for_each(|it| shell.print(it));
    shell.json(&report);
    let is_failed =
        |it: &DeployedEnvironment| it.error.is_some() || it.services.iter().any(|it| it.error.is_some());
    Ok(if report.environments.iter().any(is_failed) { Exit::Failed } else { Exit::Done })
}

async fn environment(
    flags: &flags::Deployed,
    shell: &Shell,
    workspace: Workspace,
) -> Result<Vec<DeployedService>, Failure> {
    let services = flags.common.selection.services(&workspace.desired)?;
    let services: Vec<Service> = services.into_iter().cloned().collect();
    let environment = workspace.desired.environment.as_ref();
    let tag = environment.map(|it| it.tag());
    let names: Vec<_> = services.iter().map(|it| it.repository.clone()).collect();
    let connection = Connection::open(shell, &flags.common, &workspace).await?;
    let reads = |_: &RepositoryName| Reads { lifecycle_policy: true, ..Reads::default() };
    let read = async |aws: &Aws| aws.observe(&names, reads).await;
    let (session, observed) = Session::identify_and_read(shell, workspace, connection, read).await?;
    let (observed, mut failures) = observed.context("failed to read the repositories")?;
    session.print_header(&observed).await?;
    let each = services.iter().map(|it| (it, failures.remove(&it.repository))).map(|(it, failure)| {
        let (session, tag, found) = (&session, tag.as_ref(), observed.repositories.get(&it.repository));
        async move {
            let result = match (failure, found) {
                (Some(error), _) => Err(error.into()),
                (None, None) => Ok((None, None)),
                (None, Some(found)) => images(session, it, tag, found).await,
            };
            service(shell, it, result)
        }
    });
    let services = stream::iter(each).buffered(session.aws_concurrency()).collect().await;
    session.warn_of_denials();
    Ok(services)
}

type Images = (Option<DeployedImage>, Option<DeployedImage>);

fn service(shell: &Shell, service: &Service, images: anyhow::Result<Images>) -> DeployedService {
    let (package, repository) = (service.package.name.clone(), service.repository.clone());
    let (images, error) = match images {
        Ok(images) => (images, None),
        Err(error) => (Images::default(), Some(one_line(error.as_ref()))),
    };
    error.iter().for_each(|it| shell.bad_status("Failed", format!("{repository}: {it}")));
    let (current, previous) = images;
    DeployedService { service: service.key.clone(), package, repository, current, previous, error }
}

/// The image that runs, and the one before.
async fn images(
    session: &Session<'_>,
    service: &Service,
    tag: Option<&EnvironmentTag>,
    observed: &ObservedRepository,
) -> anyhow::Result<Images> {
    let inventory = session.aws.required_inventory(&service.repository, Manifests::None).await?;
    let history = History::in_environment(&inventory, tag);
    let image = |it: Option<Deployed>| it.map(|it| image(&inventory, observed, it));
    Ok((image(history.current), image(history.previous)))
}

fn image(inventory: &Inventory, observed: &ObservedRepository, deployed: Deployed) -> DeployedImage {
    let image = &inventory.images[deployed.image];
    let will_expire = match observed.lifecycle_policy.known() {
        None => None,
        Some(None) => Some(false),
        Some(Some(stored)) => {
            stored.document().map(|it| goes_soon(it.policy(), &inventory.images, deployed.image, now()))
        }
    };
    DeployedImage {
        tag: deployed.tag,
        digest: image.digest.clone(),
        since: deployed.since,
        will_expire,
        archived: image.storage_class == StorageClass::Archive,
    }
}
