//! What every command that talks to a registry begins with: workspace, endpoint, identity, account guard.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ecr_embedded::{Builder, DEFAULT_PORT, Server, StartError};
use ecr_oci::http::HttpClient;
use ecr_types::{Region, RegistryId, RepositoryName};

use crate::aws::ignored_writes::IgnoredWrites;
use crate::aws::{self, Aws, ClientConfig, Identity, Reads, ServiceError};
use crate::cli::error::Failure;
use crate::cli::flags::Common;
use crate::cli::report::Header;
use crate::cli::shell::Shell;
use crate::config::desired::{Desired, DesiredRepository};
use crate::config::workspace::Workspace;
use crate::plan::observed::Observed;
use crate::plan::{self, Plan};

/// Where a command is going to talk. Nobody was asked anything yet.
pub struct Connection {
    aws: Arc<Aws>,
    server: Option<Server>,
    is_local: bool,
    data: Option<PathBuf>,
}

impl Connection {
    /// Finds the endpoint, the region and the credentials; starts the embedded ECR where that is wanted.
    pub async fn open(shell: &Shell, common: &Common, workspace: &Workspace) -> Result<Self, Failure> {
        let (target, server) = target(shell, common, workspace).await?;
        let http = HttpClient::new(common.registry.limits());
        let aws = Arc::new(Aws::connect(&target, http).await?);
        let (is_local, data) = (common.registry.local, common.registry.data.clone());
        Ok(Self { aws, server, is_local, data })
    }
}

/// A command's connections.
pub struct Session<'a> {
    /// Where to talk.
    pub shell: &'a Shell,
    /// The workspace and what it asks for.
    pub workspace: Workspace,
    /// The clients.
    pub aws: Arc<Aws>,
    /// Who the credentials belong to.
    pub identity: Identity,
    /// The embedded ECR of this very command, if it runs one.
    server: Option<Server>,
    is_local: bool,
    data: Option<PathBuf>,
}

/// Repositories as they are, and those that could not be read.
pub type Observation = (Observed, std::collections::BTreeMap<RepositoryName, ServiceError>);

impl<'a> Session<'a> {
    /// Reads the workspace, connects, and refuses the wrong account. Nothing is written anywhere.
    pub async fn open(shell: &'a Shell, common: &Common) -> Result<Self, Failure> {
        let workspace = Workspace::load(common.workspace.manifest_path.as_deref())?;
        Self::connect(shell, common, workspace).await
    }

    /// The same with a workspace that was read already.
    pub async fn connect(shell: &'a Shell, common: &Common, workspace: Workspace) -> Result<Self, Failure> {
        let connection = Connection::open(shell, common, &workspace).await?;
        Self::identify_and(shell, workspace, connection, async |_| ()).await.map(|(session, ())| session)
    }

    /// Opens a session, and looks at the selected repositories while the account is asked for. `wants_lifecycle` tells whose
    /// lifecycle policies count.
    pub async fn open_and_observe(
        shell: &'a Shell,
        common: &Common,
        wants_lifecycle: fn(&DesiredRepository) -> bool,
    ) -> Result<(Self, Vec<DesiredRepository>, Observation), Failure> {
        tokio::task::spawn_blocking(aws::preload);
        let workspace = Workspace::load(common.workspace.manifest_path.as_deref())?;
        let desired = common.selection.repositories(&workspace.desired)?;
        let connection = Connection::open(shell, common, &workspace).await?;
        let read = async |aws: &Aws| observe(aws, &desired, wants_lifecycle).await;
        let (session, observation) = Self::identify_and(shell, workspace, connection, read).await?;
        Ok((session, desired, observation?))
    }

    /// Asks who we are, and whatever else can be read meanwhile; refuses the wrong account.
    pub async fn identify_and<T>(
        shell: &'a Shell,
        workspace: Workspace,
        connection: Connection,
        read: impl AsyncFnOnce(&Aws) -> T,
    ) -> Result<(Self, T), Failure> {
        let Connection { aws, server, is_local, data } = connection;
        // On another thread: an SDK that is not optimised works for milliseconds on each request.
        let asked = tokio::spawn({
            let aws = aws.clone();
            async move { aws.identity().await }
        });
        let pinned = workspace.desired.account_id.as_ref().filter(|_| !is_local);
        let identify = async {
            let identity = asked.await.context("the question for the account was interrupted")?;
            let identity = identity.context("failed to find out which AWS account this is")?;
            guard_account(pinned, identity)
        };
        // The wrong account is told at once, whatever the rest is still waiting for.
        let (identity, read) = tokio::try_join!(identify, async { Ok(read(&aws).await) })?;
        Ok((Self { shell, workspace, aws, identity, server, is_local, data }, read))
    }

    /// What the workspace asks for.
    pub fn desired(&self) -> &Desired {
        &self.workspace.desired
    }

    /// The project, if there is one.
    pub fn project(&self) -> Option<&str> {
        self.desired().project.as_deref()
    }

    /// How many requests go side by side.
    pub fn aws_concurrency(&self) -> usize {
        self.aws.concurrency()
    }

    /// The flags that lead another command to the same registry, with a space before each.
    pub fn local_flags(&self) -> String {
        if self.is_local { format!(" --local{}", self.data_flag()) } else { String::new() }
    }

    /// ` --data DIR`, where one was given.
    pub fn data_flag(&self) -> String {
        self.data.as_ref().map(|it| format!(" --data {}", it.display())).unwrap_or_default()
    }

    /// The repositories as they are, with everything that a plan compares.
    pub async fn observe(&self, desired: &[DesiredRepository]) -> Result<Observation, Failure> {
        observe(&self.aws, desired, names_lifecycle).await
    }

    /// The plan; what is known to be without effect is blocked in it.
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

    /// What earlier runs learned.
    pub fn ignored_writes(&self) -> IgnoredWrites {
        IgnoredWrites::new(&self.workspace.target)
    }

    /// Names of repositories of this project that the workspace does not name.
    pub async fn orphans(&self) -> Result<Vec<RepositoryName>, Failure> {
        let context = "failed to look for orphans";
        let mut others = self.aws.all_repositories().await.context(context)?;
        others.retain(|(name, _)| !self.desired().repositories.iter().any(|it| it.name == *name));
        let tags = self.aws.tags_of(others).await.context(context)?;
        let is_orphan = |tags: &crate::plan::observed::Reading<_>| {
            tags.known().is_some_and(|it| plan::is_orphan(it, self.project()))
        };
        Ok(tags.into_iter().filter(|(_, tags)| is_orphan(tags)).map(|(name, _)| name).collect())
    }

    /// Tells account, region, registry and project; every command begins with that. The registry's host is what
    /// the API returns, never a pattern of ours.
    pub async fn begin(&self, observed: &Observed) -> Result<Header, Failure> {
        let from_uri = observed.repositories.values().find_map(|it| it.uri.split_once('/'));
        let registry = match from_uri {
            Some((host, _)) => Some(host.to_owned()),
            None => match self.aws.authorization_token().await {
                Ok(token) => Some(token.host().to_owned()),
                Err(error) if error.is_denied() => {
                    let skipped = "the registry's host is not known before a repository exists";
                    self.aws.denials().add("ecr:GetAuthorizationToken", skipped, "");
                    None
                }
                Err(error) => {
                    return Err(anyhow::Error::new(error).context("failed to find the registry").into());
                }
            },
        };
        Ok(self.begin_at(registry))
    }

    /// The same where the registry's host is known.
    pub fn begin_at(&self, registry: Option<String>) -> Header {
        let header = Header {
            account: self.identity.account.to_string(),
            region: self.aws.region().to_owned(),
            registry: registry.map(|it| self.shown(&it)),
            project: self.project().map(str::to_owned),
        };
        let host = header.registry.as_deref().unwrap_or("(unknown host)");
        let project = header.project.as_deref().map(|it| format!(", project {it}")).unwrap_or_default();
        let kind = if self.is_local { ", embedded ECR" } else { "" };
        self.shell.status(
            "Registry",
            format!("{host} (account {}, region {}{project}{kind})", header.account, header.region),
        );
        self.warn_of_denials();
        header
    }

    /// One warning for each missing permission that was not told yet.
    pub fn warn_of_denials(&self) {
        self.aws.denials().take_messages().iter().for_each(|it| self.shell.warn(it));
    }

    /// A host or reference as it is to be printed: that of a server which ends with this command carries the
    /// port that `ecr serve` would use.
    pub fn shown(&self, reference: &str) -> String {
        match &self.server {
            Some(server) => {
                let own = server.url().trim_start_matches("http://").to_owned();
                reference.replacen(&own, &format!("127.0.0.1:{DEFAULT_PORT}"), 1)
            }
            None => reference.to_owned(),
        }
    }

    /// Whether what was printed can be reached only once `ecr serve` runs.
    pub fn ends_with_command(&self) -> bool {
        self.server.is_some()
    }
}

/// Gives the identity back, unless the workspace is pinned to another account. The embedded ECR belongs to nobody.
fn guard_account(pinned: Option<&RegistryId>, identity: Identity) -> Result<Identity, Failure> {
    match pinned {
        Some(pinned) if *pinned != identity.account => Err(Failure::refused(format!(
            "the credentials belong to account {}, and the workspace is pinned to account {pinned}",
            identity.account
        ))
        .with_help(format!(
            "use the credentials of account {pinned} (--aws-profile, AWS_PROFILE), or change `account-id` below \
             [workspace.metadata.ecr]; these are {}",
            identity.arn
        ))),
        _ => Ok(identity),
    }
}

/// Whether the workspace says anything of a repository's lifecycle policy.
pub fn names_lifecycle(desired: &DesiredRepository) -> bool {
    desired.lifecycle_policy.is_some()
}

/// The repositories as they are, with everything that a plan compares.
pub async fn observe(
    aws: &Aws,
    desired: &[DesiredRepository],
    wants_lifecycle: fn(&DesiredRepository) -> bool,
) -> Result<Observation, Failure> {
    let names: Vec<_> = desired.iter().map(|it| it.name.clone()).collect();
    let reads = |name: &RepositoryName| {
        let desired = desired.iter().find(|it| it.name == *name);
        Reads {
            lifecycle_policy: desired.is_some_and(wants_lifecycle),
            repository_policy: desired.is_some_and(|it| it.repository_policy.is_some()),
            tags: true,
        }
    };
    let (mut observed, failures) =
        aws.observe(&names, reads).await.context("failed to look at the repositories")?;
    if plan::needs_scanning_rules(desired, &observed) {
        let rules = aws.scanning_rules().await;
        observed.scanning_rules = rules.context("failed to read the registry's scanning rules")?;
    }
    Ok((observed, failures))
}

async fn target(
    shell: &Shell,
    common: &Common,
    workspace: &Workspace,
) -> Result<(ClientConfig, Option<Server>), Failure> {
    let workspace_region = workspace.desired.region.clone();
    let region = common.workspace.region.clone();
    if !common.registry.local {
        let profile = common.registry.aws_profile.clone();
        return Ok((ClientConfig::Environment { region, workspace_region, profile }, None));
    }
    let region = local_region(region, workspace_region)?;
    let data = common.registry.data.clone().unwrap_or_else(|| workspace.target.join("ecr-local"));
    let account = local_account(workspace.desired.account_id.clone());
    let builder = Server::builder().data(&data).region(region.clone()).account(account);
    let tell = || shell.status("Blocking", format!("waiting for another command on `{}`", data.display()));
    let (url, server) = match start(builder, tell).await {
        Ok(server) => (server.url(), Some(server)),
        Err(StartError::Running { url, .. }) => (url, None),
        Err(error) => return Err(anyhow::Error::new(error).into()),
    };
    Ok((ClientConfig::Local { url, region: region.to_string() }, server))
}

/// Starts the embedded ECR; waits while another short-lived command has its state, and says so once.
pub async fn start(builder: Builder, tell: impl FnOnce()) -> Result<Server, StartError> {
    let mut tell = Some(tell);
    let mut waits = 0;
    loop {
        match builder.clone().start().await {
            Err(StartError::Busy(_)) => {}
            result => return result,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        waits += 1;
        if waits == 25
            && let Some(tell) = tell.take()
        {
            tell();
        }
    }
}

/// The region of the embedded ECR: the flag's, else the workspace's.
pub fn local_region(flag: Option<String>, workspace: Option<String>) -> Result<Region, Failure> {
    match flag.or(workspace) {
        Some(region) => Ok(region.parse().map_err(anyhow::Error::new)?),
        None => Ok(ecr_embedded::default_region()),
    }
}

/// The account of the embedded ECR: that of the workspace, if it is pinned to one.
pub fn local_account(pinned: Option<RegistryId>) -> RegistryId {
    pinned.unwrap_or_else(ecr_embedded::default_account)
}
