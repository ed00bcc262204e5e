//! `ecr lifecycle preview`: which images a policy would take, from a registry or from a list.

use futures_util::stream::{self, StreamExt, TryStreamExt};

use anyhow::Context;

use super::{policy_of, text_of};
use crate::aws::{Reads, ServicePreview};
use crate::commands::session::{Session, now};
use crate::desired::{self, Desired, DesiredRepository};
use crate::error::{Exit, Failure};
use crate::flags;
use crate::lifecycle::evaluate::{Decision, evaluate};
use crate::lifecycle::{Image, ImageList, Policy, Timestamp, read};
use crate::observed::Observed;
use crate::report::{Disagreement, PreviewReport, PreviewedRepository};
use crate::shell::Shell;
use crate::words::count;
use crate::workspace::Workspace;

/// Evaluates and prints.
pub async fn run(flags: &flags::LifecyclePreview, shell: &Shell) -> Result<Exit, Failure> {
    let policy = flags.policy.as_deref().map(policy_of).transpose()?;
    let repositories = match &flags.images {
        Some(path) => {
            let list = text_of(path)?.parse::<ImageList>();
            let list = list.with_context(|| format!("`{}` is no list of images", path.display()))?;
            offline(flags, list, policy.map(|(policy, _)| policy))?
        }
        None => online(flags, shell, policy).await?,
    };
    for repository in &repositories {
        repository.lines().iter().for_each(|it| shell.print(it));
    }
    let expired: usize = repositories.iter().map(|it| it.expired.len()).sum();
    let repositories_text = count(repositories.len() as u64, "repository");
    let text = format!("{repositories_text}, {} would expire", count(expired as u64, "image"));
    shell.status("Previewed", text);
    let differs = repositories.iter().any(|it| it.disagreements.as_ref().is_some_and(|it| !it.is_empty()));
    if differs {
        shell.warn("ECR's own preview differs: trust it, and please report the policy");
    }
    shell.json(&PreviewReport { repositories });
    Ok(Exit::Done)
}

/// Nothing but the files is looked at; the workspace only where it has to give the policy.
fn offline(
    flags: &flags::LifecyclePreview,
    list: ImageList,
    policy: Option<Policy>,
) -> Result<Vec<PreviewedRepository>, Failure> {
    let now = flags.now.or(list.now).unwrap_or_else(now);
    let workspace = match policy {
        Some(_) => None,
        None => Some(Workspace::load(flags.common.workspace.manifest_path.as_deref())?),
    };
    let each = list.repositories.into_iter().map(|(name, images)| {
        let configured = workspace.as_ref().map(|it| configured(&it.desired, name.as_deref())).transpose()?;
        let policy = policy.clone().or(configured.flatten()).unwrap_or_default();
        let decisions = evaluate(&policy, &images, now);
        Ok(PreviewedRepository::new(name, &images, &decisions))
    });
    each.collect()
}

/// The policy that the workspace has for a repository; of a list without a name, that of all repositories.
fn configured(desired: &Desired, name: Option<&str>) -> Result<Option<Policy>, Failure> {
    let of_name = |it: &&DesiredRepository| name.is_none_or(|name| it.name.as_str() == name);
    let policies = desired.repositories.iter().filter(of_name).map(policy_text);
    let mut policies: Vec<_> = policies.collect();
    policies.dedup();
    match (policies.as_slice(), name) {
        ([policy], _) => Ok(policy.as_deref().and_then(parsed)),
        ([], Some(name)) => {
            let failure = Failure::new(format!("the workspace has no repository `{name}`"));
            Err(failure.with_help("name the policy to try with --policy FILE"))
        }
        _ => {
            let failure =
                Failure::new("the list names no repository, and the workspace has not one policy for all");
            Err(failure.with_help("name the policy to try with --policy FILE"))
        }
    }
}

fn policy_text(repository: &DesiredRepository) -> Option<String> {
    match &repository.lifecycle_policy {
        Some(desired::Policy::Text(text)) => Some(text.clone()),
        Some(desired::Policy::Absent) | None => None,
    }
}

/// A policy that was checked when the workspace was read, or that ECR itself gave.
fn parsed(text: &str) -> Option<Policy> {
    read("", text).ok().map(|it| it.policy)
}

async fn online(
    flags: &flags::LifecyclePreview,
    shell: &Shell,
    policy: Option<(Policy, String)>,
) -> Result<Vec<PreviewedRepository>, Failure> {
    let session = Session::open(shell, &flags.common).await?;
    let desired = flags.common.selection.repositories(session.desired())?;
    let names: Vec<_> = desired.iter().map(|it| it.name.clone()).collect();
    let reads = |_: &_| Reads { lifecycle_policy: policy.is_none(), ..Reads::default() };
    let observed = session.aws.observe(&names, reads).await.context("failed to look at the repositories")?;
    session.begin(&observed.0).await?;
    if let Some((name, error)) = observed.1.into_iter().next() {
        return Err(anyhow::Error::new(error).context(format!("failed to read repository `{name}`")).into());
    }
    let preview = Preview {
        session: &session,
        flags,
        policy,
        observed: observed.0,
        now: flags.now.unwrap_or_else(now),
    };
    let each = desired.iter().map(|it| preview.repository(it));
    let previewed = stream::iter(each).buffered(session.aws_concurrency()).try_collect::<Vec<_>>().await;
    session.warn_of_denials();
    Ok(previewed?.into_iter().flatten().collect())
}

struct Preview<'a> {
    session: &'a Session<'a>,
    flags: &'a flags::LifecyclePreview,
    policy: Option<(Policy, String)>,
    observed: Observed,
    now: Timestamp,
}

impl Preview<'_> {
    /// `None` for a repository that does not exist, or whose images may not be listed.
    async fn repository(&self, desired: &DesiredRepository) -> Result<Option<PreviewedRepository>, Failure> {
        let (aws, name) = (&self.session.aws, &desired.name);
        if !self.observed.repositories.contains_key(name) {
            self.session.shell.status("Absent", name);
            return Ok(None);
        }
        let images = aws.inventory(name).await;
        let images = images.with_context(|| format!("failed to list the images of `{name}`"))?;
        let Some(images) = images else { return Ok(None) };
        let (policy, text) = self.policy(desired);
        let decisions = evaluate(&policy, &images, self.now);
        let mut report = PreviewedRepository::new(Some(name.to_string()), &images, &decisions);
        if let (true, Some(text)) = (self.flags.aws, text) {
            let theirs = aws.service_preview(name, &text).await;
            let theirs = theirs.with_context(|| format!("failed to have `{name}` previewed"))?;
            report.disagreements = Some(disagreements(&images, &decisions, &theirs));
        }
        Ok(Some(report))
    }

    /// The policy to try, else the one that the workspace wants, else the one that is there.
    fn policy(&self, desired: &DesiredRepository) -> (Policy, Option<String>) {
        if let Some((policy, text)) = &self.policy {
            return (policy.clone(), Some(text.clone()));
        }
        let found = self.observed.repositories.get(&desired.name);
        let found = || found?.lifecycle_policy.known()?.clone();
        let text = match &desired.lifecycle_policy {
            Some(_) => policy_text(desired),
            None => found(),
        };
        (text.as_deref().and_then(parsed).unwrap_or_default(), text)
    }
}

fn disagreements(images: &[Image], decisions: &[Decision], theirs: &ServicePreview) -> Vec<Disagreement> {
    let each = images.iter().zip(decisions).map(|(image, decision)| Disagreement {
        digest: image.digest.clone(),
        ours: decision.fate.rule().map(|(rule, _)| rule),
        aws: theirs.get(&image.digest).copied(),
    });
    each.filter(|it| it.ours != it.aws).collect()
}
