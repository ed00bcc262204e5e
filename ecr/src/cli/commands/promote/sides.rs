//! The registries of a promotion: where the images are, and where they shall be. They may be the same.

use std::sync::Arc;

use anyhow::Context;
use ecr_oci::registry::{RegistryClient, RemoteRepository};
use ecr_types::RepositoryName;

use crate::aws::{AuthorizationToken, Aws, Reads, ServiceError};
use crate::cli::commands::registry_client::{image_source, registry_client};
use crate::cli::commands::session::{Connection, Session, load_quietly, load_workspace};
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::flags::CommonArgs;
use crate::cli::shell::Shell;
use crate::config::desired::Service;
use crate::config::workspace::Workspace;
use crate::plan::observed::Observed;
use crate::promotion::EnvironmentTag;

/// Both sides of a promotion.
pub(super) struct Sides<'a> {
    source: Side<'a>,
    /// `None` if it is the source.
    target: Option<Side<'a>>,
    /// The tag that images get.
    pub tag: EnvironmentTag,
    /// Whether the tag is that of an environment, so that one that moves leaves a tag for the image before.
    pub is_environment: bool,
    /// The name of the target's environment.
    pub environment: Option<String>,
    /// What images are promoted to, for messages.
    pub label: String,
    /// The tag of the source's environment.
    pub source_tag: Option<EnvironmentTag>,
    /// The names of the services, in their order.
    pub services: Vec<String>,
}

/// A registry, with the repositories of the services.
pub(super) struct Side<'a> {
    pub session: Session<'a>,
    pub observed: Observed,
    token: AuthorizationToken,
}

/// Opens the registries.
pub(super) async fn open<'a>(flags: &flags::Promote, shell: &'a Shell) -> Result<Sides<'a>, Failure> {
    let source_name = flags.rollback.as_ref().or(flags.from.as_ref());
    let source_flags = in_environment(&flags.common, source_name);
    let workspace = load_workspace(shell, &source_flags).await?;
    let is_environment = |name: &String| workspace.environment_names.contains(name);
    let target_name = flags.rollback.clone().or(flags.to.clone().filter(is_environment));
    let own_name = workspace.desired.environment.as_ref().map(|it| it.name.clone());
    let other = target_name.as_ref().filter(|it| Some(*it) != own_name.as_ref());
    let other = match other {
        Some(name) => Some(load_named(shell, &flags.common, name).await?),
        None => None,
    };
    let tag = tag(flags, other.as_ref().unwrap_or(&workspace), target_name.as_ref())?;
    let services: Vec<String> = {
        let services = source_flags.selection.services(&workspace.desired)?;
        services.iter().map(|it| it.name.clone()).collect()
    };
    if services.is_empty() {
        let failure = Failure::new("no service is selected");
        return Err(failure
            .with_help("select a service with -p, or add a table [package.metadata.ecr] to a Cargo.toml"));
    }
    let source_tag = workspace.desired.environment.as_ref().map(|it| it.tag());
    let label = target_name.clone().unwrap_or_else(|| tag.to_string());
    let source = Side::open(shell, &source_flags, workspace, &services, None).await?;
    let target = match (other, &target_name) {
        (Some(workspace), Some(name)) => {
            let target_flags = in_environment(&flags.common, Some(name));
            Some(Side::open(shell, &target_flags, workspace, &services, Some(&source.session)).await?)
        }
        _ => None,
    };
    let (is_environment, environment) = (target_name.is_some(), target_name);
    Ok(Sides { source, target, tag, is_environment, environment, label, source_tag, services })
}

/// The flags for another environment.
fn in_environment(common: &CommonArgs, name: Option<&String>) -> CommonArgs {
    let mut common = common.clone();
    if name.is_some() {
        common.workspace.environment = name.cloned();
    }
    common
}

async fn load_named(shell: &Shell, common: &CommonArgs, name: &String) -> Result<Workspace, Failure> {
    let mut workspaces = load_quietly(shell, &in_environment(common, Some(name))).await?;
    workspaces.pop().ok_or_else(|| Failure::new(format!("there is no environment `{name}`")))
}

/// The tag that images get: that of the target's environment, or the one of `--to`.
fn tag(
    flags: &flags::Promote,
    target: &Workspace,
    environment: Option<&String>,
) -> Result<EnvironmentTag, Failure> {
    let of_environment = target.desired.environment.as_ref().filter(|it| Some(&it.name) == environment);
    if let Some(environment) = of_environment {
        return Ok(environment.tag());
    }
    let text = flags.to.as_deref().unwrap_or_default();
    text.parse().map_err(|error| {
        let failure =
            Failure::from(anyhow::Error::new(error).context("--to names neither an environment nor a tag"));
        match target.environment_names.is_empty() {
            true => failure,
            false => failure.with_help(format!(
                "the environments are {}",
                ecr_types::human::listed(&target.environment_names)
            )),
        }
    })
}

impl<'a> Sides<'a> {
    pub(super) fn source(&self) -> &Side<'a> {
        &self.source
    }

    pub(super) fn target(&self) -> &Side<'a> {
        self.target.as_ref().unwrap_or(&self.source)
    }

    /// Whether both sides are one registry, in which blobs can be mounted.
    pub(super) fn is_one_registry(&self) -> bool {
        let (source, target) = (&self.source.session, &self.target().session);
        let registry =
            |it: &Session<'_>| (it.identity.account.clone(), it.aws.region().to_owned(), it.aws.endpoint());
        registry(source) == registry(target)
    }

    pub(super) fn warn_of_denials(&self) {
        self.source.session.warn_of_denials();
        self.target().session.warn_of_denials();
    }
}

impl<'a> Side<'a> {
    async fn open(
        shell: &'a Shell,
        common: &CommonArgs,
        workspace: Workspace,
        services: &[String],
        first: Option<&Session<'_>>,
    ) -> Result<Self, Failure> {
        let connection = match first {
            Some(first) => Connection::open_beside(first, common, &workspace).await?,
            None => Connection::open(shell, common, &workspace).await?,
        };
        let selected = workspace.desired.services.iter().filter(|it| services.contains(&it.name));
        let names: Vec<_> = selected.map(|it| it.repository.clone()).collect();
        let reads = |_: &RepositoryName| Reads { lifecycle_policy: true, tags: true, ..Reads::default() };
        let read = async |aws: &Aws| tokio::join!(aws.observe(&names, reads), aws.authorization_token());
        let (session, (observed, token)) =
            Session::identify_and_read(shell, workspace, connection, read).await?;
        let (observed, failures) = observed.context("failed to read the repositories")?;
        if let Some((name, error)) = failures.into_iter().next() {
            return Err(anyhow::Error::new(error)
                .context(format!("failed to read the repository `{name}`"))
                .into());
        }
        let token = token.map_err(|it: ServiceError| anyhow::Error::new(it));
        let token = token.context("failed to get an authorization token")?;
        session.print_header(&observed).await?;
        Ok(Self { session, observed, token })
    }

    pub(super) fn service(&self, name: &str) -> Option<&Service> {
        self.session.desired().services.iter().find(|it| it.name == name)
    }

    /// The host of the registry, if a repository exists.
    pub(super) fn host(&self) -> Option<&str> {
        self.observed.repositories.values().find_map(|it| it.uri.split_once('/')).map(|(host, _)| host)
    }

    /// The host, as it is printed.
    pub(super) fn shown_host(&self) -> Option<String> {
        self.host().map(|it| self.session.display_reference(it))
    }

    /// A client that writes to the registry.
    pub(super) fn client(&self) -> anyhow::Result<RegistryClient> {
        let host = self.checked_host()?;
        registry_client(&self.session.aws, host, &self.token)
    }

    /// A client that reads a repository of the registry.
    pub(super) fn reader(&self, name: &RepositoryName) -> anyhow::Result<Arc<RemoteRepository>> {
        let host = self.checked_host()?;
        image_source(&self.session.aws, host, name, &self.token)
    }

    /// The host, to which the password may be sent.
    fn checked_host(&self) -> anyhow::Result<&str> {
        let host = self.host().context("the registry has none of the repositories")?;
        self.token.require_host(host, self.session.aws.endpoint_host().as_deref())?;
        Ok(host)
    }
}
