//! The session of a command that uses a registry: workspace, endpoint, identity, account guard.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use ecr_embedded::{DEFAULT_PORT, Server};
use ecr_oci::http::{HttpClient, Limits};
use ecr_types::RepositoryName;

pub use super::load::{load_environments, load_every, load_quietly, load_workspace, warn_of_near_misses};

use super::endpoint::{client_config, connection_target, local_config};
use crate::aws::ignored_writes::IgnoredWrites;
use crate::aws::{self, Aws, Identity, Reads, ServiceError};
use crate::cli::error::Failure;
use crate::cli::flags::CommonArgs;
use crate::cli::report::Header;
use crate::cli::shell::Shell;
use crate::config::desired::{Desired, DesiredRepository};
use crate::config::workspace::Workspace;
use crate::plan::observed::Observed;
use crate::plan::{self, Plan};

/// The endpoint, region and credentials of a command. No request has been made yet.
pub struct Connection {
    aws: Arc<Aws>,
    server: Option<Arc<Server>>,
    flags: RegistryFlags,
}

/// The flags of a command that select a registry, for the commands that it names in its advice.
#[derive(Debug, Clone, Default)]
struct RegistryFlags {
    is_local: bool,
    data: Option<PathBuf>,
    environment: Option<String>,
}

impl RegistryFlags {
    fn new(common: &CommonArgs) -> Self {
        let (registry, environment) = (&common.registry, common.workspace.environment.clone());
        Self { is_local: registry.local, data: registry.data.clone(), environment }
    }
}

impl Connection {
    /// Finds the endpoint, the region and the credentials. With `--local`, starts the embedded ECR unless it
    /// is running.
    pub async fn open(shell: &Shell, common: &CommonArgs, workspace: &Workspace) -> Result<Self, Failure> {
        let http = http_client(shell, common.registry.limits());
        let (target, server) = connection_target(shell, common, workspace, &http).await?;
        let aws = Arc::new(Aws::connect(&target, http).await?);
        Ok(Self { aws, server: server.map(Arc::new), flags: RegistryFlags::new(common) })
    }

    /// The same for a further session of a command, which has one embedded ECR for all accounts.
    pub async fn open_beside(
        first: &Session<'_>,
        common: &CommonArgs,
        workspace: &Workspace,
    ) -> Result<Self, Failure> {
        let http = first.aws.http().clone();
        let target = match first.aws.endpoint().filter(|_| common.registry.local) {
            Some(url) => local_config(url, common, workspace)?,
            None => client_config(common, workspace),
        };
        let aws = Arc::new(Aws::connect(&target, http).await?);
        Ok(Self { aws, server: first.server.clone(), flags: RegistryFlags::new(common) })
    }

    /// The clients.
    pub fn aws(&self) -> &Aws {
        &self.aws
    }

    /// The clients, without the embedded ECR.
    pub fn into_aws(self) -> Arc<Aws> {
        self.aws
    }
}

/// The HTTP client of a command. The shell says for which host it waits and, with `-v`,
/// what it asks.
pub fn http_client(shell: &Shell, limits: Limits) -> HttpClient {
    let client = HttpClient::new(limits).with_observer(Shell::PATIENCE, shell.wait_printer());
    match shell.request_printer() {
        Some(printer) => client.with_log(printer),
        None => client,
    }
}

/// A session whose identity is known and whose account is allowed.
pub struct Session<'a> {
    pub shell: &'a Shell,
    pub workspace: Workspace,
    pub aws: Arc<Aws>,
    /// The identity that the credentials belong to.
    pub identity: Identity,
    /// The embedded ECR that runs inside this command, if any.
    server: Option<Arc<Server>>,
    flags: RegistryFlags,
}

/// The state of repositories, and the errors of those that could not be read.
pub type Observation = (Observed, std::collections::BTreeMap<RepositoryName, ServiceError>);

impl<'a> Session<'a> {
    /// Loads the workspace, connects, and refuses an account other than the configured one.
    pub async fn open(shell: &'a Shell, common: &CommonArgs) -> Result<Self, Failure> {
        let workspace = load_workspace(shell, common).await?;
        Self::connect(shell, common, workspace).await
    }

    /// The same, with a workspace that is already loaded.
    pub async fn connect(
        shell: &'a Shell,
        common: &CommonArgs,
        workspace: Workspace,
    ) -> Result<Self, Failure> {
        let connection = Connection::open(shell, common, &workspace).await?;
        Self::identify_and_read(shell, workspace, connection, async |_| ()).await.map(|(session, ())| session)
    }

    /// Opens a session, and reads the selected repositories while the identity is requested. With
    /// `looks_for_orphans`, a workspace may be without repositories. `reads_lifecycle_policy` returns whether to
    /// read a repository's lifecycle policy.
    pub async fn open_and_observe(
        shell: &'a Shell,
        common: &CommonArgs,
        looks_for_orphans: bool,
        reads_lifecycle_policy: fn(&DesiredRepository) -> bool,
    ) -> Result<(Self, Vec<DesiredRepository>, Observation), Failure> {
        tokio::task::spawn_blocking(aws::preload);
        let workspace = load_workspace(shell, common).await?;
        Self::observe_workspace(shell, common, workspace, looks_for_orphans, reads_lifecycle_policy).await
    }

    /// The same, with a workspace that is already loaded.
    pub async fn observe_workspace(
        shell: &'a Shell,
        common: &CommonArgs,
        workspace: Workspace,
        looks_for_orphans: bool,
        reads_lifecycle_policy: fn(&DesiredRepository) -> bool,
    ) -> Result<(Self, Vec<DesiredRepository>, Observation), Failure> {
        let desired = match looks_for_orphans {
            true => common.selection.repositories_or_none(&workspace.desired)?,
            false => common.selection.repositories(&workspace.desired)?,
        };
        let connection = Connection::open(shell, common, &workspace).await?;
        let read = async |aws: &Aws| observe(aws, &desired, reads_lifecycle_policy).await;
        let (session, observation) = Self::identify_and_read(shell, workspace, connection, read).await?;
        Ok((session, desired, observation?))
    }

    /// Requests the identity, calls `read` at the same time, and refuses an account other than the configured
    /// one.
    pub async fn identify_and_read<T>(
        shell: &'a Shell,
        workspace: Workspace,
        connection: Connection,
        read: impl AsyncFnOnce(&Aws) -> T,
    ) -> Result<(Self, T), Failure> {
        let Connection { aws, server, flags } = connection;
        // On another thread: in a dev build, the SDK spends milliseconds of CPU time per request.
        let identity_request = tokio::spawn({
            let aws = aws.clone();
            async move { aws.identity().await }
        });
        let is_guarded = !flags.is_local;
        let identify = async {
            let identity = identity_request.await.context("the request for the identity was interrupted")?;
            let identity = identity.context("failed to identify the AWS account")?;
            if is_guarded { require_account(&workspace.desired, identity) } else { Ok(identity) }
        };
        // A wrong account is reported at once, without waiting for `read`.
        let (identity, read) = tokio::try_join!(identify, async { Ok(read(&aws).await) })?;
        Ok((Self { shell, workspace, aws, identity, server, flags }, read))
    }

    /// The desired state of the registry.
    pub fn desired(&self) -> &Desired {
        &self.workspace.desired
    }

    /// The configured project.
    pub fn project(&self) -> Option<&str> {
        self.desired().project.as_deref()
    }

    /// The maximum number of concurrent requests.
    pub fn aws_concurrency(&self) -> usize {
        self.aws.concurrency()
    }

    /// The flags that select the same registry in another command, each preceded by a space.
    pub fn registry_flags(&self) -> String {
        let local = if self.flags.is_local { format!(" --local{}", self.data_flag()) } else { String::new() };
        let environment = self.flags.environment.as_ref().map(|it| format!(" -e {it}"));
        local + &environment.unwrap_or_default()
    }

    /// ` --data DIR` if the flag was given, otherwise empty.
    pub fn data_flag(&self) -> String {
        self.flags.data.as_ref().map(|it| format!(" --data {}", it.display())).unwrap_or_default()
    }

    /// Reads everything that a plan compares.
    pub async fn observe(&self, desired: &[DesiredRepository]) -> Result<Observation, Failure> {
        observe(&self.aws, desired, configures_lifecycle_policy).await
    }

    /// The plan. Changes that are known to have no effect are blocked in it.
    pub fn plan(&self, desired: &[DesiredRepository], observed: &Observed) -> Plan {
        let known = self.ignored_writes().known();
        let mut plan = plan::plan(desired, self.project(), observed);
        for repository in &mut plan.repositories {
            if let Some(found) = observed.repositories.get(&repository.name) {
                repository.block_ignored(&found.arn, &known);
            }
        }
        plan
    }

    /// The changes without effect that earlier runs recorded.
    pub fn ignored_writes(&self) -> IgnoredWrites {
        IgnoredWrites::new(&self.workspace.target)
    }

    /// The repositories that belong to this project, but are not in the workspace. `None` is unknown: without a
    /// project, or without the permission to read the resource tags, which name the project.
    pub async fn orphans(&self) -> Result<Option<Vec<RepositoryName>>, Failure> {
        if self.project().is_none() {
            return Ok(None);
        }
        let context = "failed to look for orphans";
        let mut others = self.aws.all_repositories().await.context(context)?;
        others.retain(|(name, _)| !self.desired().repositories.iter().any(|it| it.name == *name));
        let tags = self.aws.tags_of(others).await.context(context)?;
        let is_orphan = |tags: &crate::plan::observed::Property<_>| {
            tags.known().is_some_and(|it| plan::is_orphan(it, self.project()))
        };
        if !tags.is_empty() && tags.iter().all(|(_, tags)| tags.known().is_none()) {
            return Ok(None);
        }
        Ok(Some(tags.into_iter().filter(|(_, tags)| is_orphan(tags)).map(|(name, _)| name).collect()))
    }

    /// The same, with a warning if it is unknown.
    pub async fn orphans_or_warning(&self) -> Result<Option<Vec<RepositoryName>>, Failure> {
        let orphans = self.orphans().await?;
        if orphans.is_none() {
            self.shell.warn(format!("orphans cannot be identified: {}", self.no_orphans_reason()));
        }
        Ok(orphans)
    }

    /// Why [`Session::orphans`] are unknown.
    pub fn no_orphans_reason(&self) -> &'static str {
        match self.project() {
            None => "no project is configured",
            Some(_) => "the resource tags of the repositories may not be read",
        }
    }

    /// Prints the registry, account, region and project, as the first output of a command. The host is the
    /// one that the API returns: it is never derived from account and region.
    pub async fn print_header(&self, observed: &Observed) -> Result<Header, Failure> {
        let from_uri = observed.repositories.values().find_map(|it| it.uri.split_once('/'));
        let registry = match from_uri {
            Some((host, _)) => Some(host.to_owned()),
            None => match self.aws.authorization_token().await {
                Ok(token) => Some(token.host().to_owned()),
                Err(error) if error.is_denied() => {
                    let skipped = "the registry's host name is unknown until a repository exists";
                    self.aws.denials().add("ecr:GetAuthorizationToken", skipped, "");
                    None
                }
                Err(error) => {
                    return Err(anyhow::Error::new(error)
                        .context("failed to find the registry's host name")
                        .into());
                }
            },
        };
        Ok(self.print_header_with_host(registry))
    }

    /// The same, with a host that is already known.
    pub fn print_header_with_host(&self, registry: Option<String>) -> Header {
        let header = Header {
            account: self.identity.account.to_string(),
            region: self.aws.region().to_owned(),
            registry: registry.map(|it| self.display_reference(&it)),
            project: self.project().map(str::to_owned),
            environment: self.desired().environment.as_ref().map(|it| it.name.clone()),
        };
        let host = header.registry.as_deref().unwrap_or("(unknown host)");
        let project = header.project.as_deref().map(|it| format!(", project {it}")).unwrap_or_default();
        let environment = header.environment.as_deref().map(|it| format!("{it}, ")).unwrap_or_default();
        let kind = if self.flags.is_local { ", embedded ECR" } else { "" };
        let (account, region) = (&header.account, &header.region);
        self.shell.status(
            "Registry",
            format!("{host} ({environment}account {account}, region {region}{project}{kind})"),
        );
        self.warn_of_denials();
        header
    }

    /// Prints one warning for each missing permission that was not reported yet.
    pub fn warn_of_denials(&self) {
        self.aws.denials().take_messages().iter().for_each(|it| self.shell.warn(it));
    }

    /// A host or reference as printed. If the embedded ECR runs inside this command, its port is replaced by
    /// the one that `ecr serve` uses.
    pub fn display_reference(&self, reference: &str) -> String {
        match &self.server {
            Some(server) => {
                let own = server.url().trim_start_matches("http://").to_owned();
                reference.replacen(&own, &format!("127.0.0.1:{DEFAULT_PORT}"), 1)
            }
            None => reference.to_owned(),
        }
    }

    /// Whether the embedded ECR runs inside this command, so that its addresses are reachable only while `ecr
    /// serve` runs.
    pub fn has_own_server(&self) -> bool {
        self.server.is_some()
    }
}

/// Returns the identity unless the workspace, or its environment, is pinned to another account.
fn require_account(desired: &Desired, identity: Identity) -> Result<Identity, Failure> {
    let Some(pinned) = desired.account_id.as_ref().filter(|it| **it != identity.account) else {
        return Ok(identity);
    };
    let pinning = desired.environment.as_ref().filter(|it| it.account_id.is_some());
    let (subject, table) = match pinning {
        Some(it) => {
            (format!("environment `{}`", it.name), format!("workspace.metadata.ecr.environments.{}", it.name))
        }
        None => ("the workspace".to_owned(), "workspace.metadata.ecr".to_owned()),
    };
    let failure = Failure::refused(format!(
        "the credentials belong to account {}, but {subject} is pinned to account {pinned}",
        identity.account
    ));
    Err(failure.with_help(format!(
        "use the credentials of account {pinned} (--aws-profile, AWS_PROFILE), or change `account-id` below [{table}]; \
         the current identity is {}",
        identity.arn
    )))
}

/// Whether the workspace configures the lifecycle policy of a repository.
pub fn configures_lifecycle_policy(desired: &DesiredRepository) -> bool {
    desired.lifecycle_policy.is_some()
}

/// Reads everything that a plan compares.
pub async fn observe(
    aws: &Aws,
    desired: &[DesiredRepository],
    reads_lifecycle_policy: fn(&DesiredRepository) -> bool,
) -> Result<Observation, Failure> {
    let names: Vec<_> = desired.iter().map(|it| it.name.clone()).collect();
    let reads = |name: &RepositoryName| {
        let desired = desired.iter().find(|it| it.name == *name);
        Reads {
            lifecycle_policy: desired.is_some_and(reads_lifecycle_policy),
            repository_policy: desired.is_some_and(|it| it.repository_policy.is_some()),
            tags: true,
        }
    };
    let (mut observed, failures) =
        aws.observe(&names, reads).await.context("failed to read the repositories")?;
    if plan::needs_scanning_rules(desired, &observed) {
        let rules = aws.scanning_rules().await;
        observed.scanning_rules = rules.context("failed to read the registry's scanning rules")?;
    }
    Ok((observed, failures))
}
