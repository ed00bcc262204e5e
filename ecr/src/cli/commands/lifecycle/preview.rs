//! `ecr lifecycle preview`: which images a policy would take, from a registry or from a list.

use anyhow::Context;
use ecr_lifecycle::evaluate::{Decision, evaluate};
use ecr_lifecycle::{Image, ImageList, Policy, Timestamp, read};
use ecr_types::human::count;
use futures_util::stream::{self, StreamExt};

use super::{policy_of, text_of};
use crate::aws::{Manifests, Reads, ServicePreview};
use crate::cli::commands::session::{Session, now};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{Disagreement, PreviewReport, PreviewedRepository};
use crate::cli::shell::Shell;
use crate::config::desired::{self, Desired, DesiredRepository};
use crate::config::workspace::Workspace;
use crate::plan::observed::Observed;

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
    let failed = repositories.iter().filter(|it| it.error.is_some()).count();
    for repository in &repositories {
        repository.lines().iter().for_each(|it| shell.print(it));
    }
    let total = |of: fn(&PreviewedRepository) -> usize| repositories.iter().map(of).sum::<usize>() as u64;
    let (expired, archived) = (total(|it| it.expired.len()), total(|it| it.transitioned.len()));
    let mut text = format!(
        "{}, {} would expire, {archived} would be archived",
        count(repositories.len() as u64, "repository"),
        count(expired, "image")
    );
    if failed > 0 {
        text += &format!(", {failed} could not be previewed");
    }
    shell.status("Previewed", text);
    let differs = repositories.iter().any(|it| it.disagreements.as_ref().is_some_and(|it| !it.is_empty()));
    if differs {
        shell.warn("ECR's own preview differs: trust it, and please report the policy");
    }
    shell.json(&PreviewReport { repositories });
    Ok(if failed > 0 { Exit::Failed } else { Exit::Done })
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
    let previewed: Vec<_> = stream::iter(each).buffered(session.aws_concurrency()).collect().await;
    session.warn_of_denials();
    Ok(previewed.into_iter().flatten().collect())
}

struct Preview<'a> {
    session: &'a Session<'a>,
    flags: &'a flags::LifecyclePreview,
    policy: Option<(Policy, String)>,
    observed: Observed,
    now: Timestamp,
}

impl Preview<'_> {
    /// `None` for a repository that does not exist. One whose images cannot be listed is one that could not be previewed,
    /// and stops no other.
    async fn repository(&self, desired: &DesiredRepository) -> Option<PreviewedRepository> {
        let name = &desired.name;
        if !self.observed.repositories.contains_key(name) {
            self.session.shell.status("Absent", name);
            return None;
        }
        Some(self.previewed(desired).await.unwrap_or_else(|error| {
            self.session.shell.bad_status("Failed", format!("{name}: {error}"));
            PreviewedRepository {
                error: Some(error),
                ..PreviewedRepository::new(Some(name.to_string()), &[], &[])
            }
        }))
    }

    async fn previewed(&self, desired: &DesiredRepository) -> Result<PreviewedRepository, String> {
        let (aws, name) = (&self.session.aws, &desired.name);
        let inventory = aws.inventory(name, Manifests::Indexes).await.map_err(|it| it.to_string())?;
        let images = inventory.ok_or("no permission to list its images")?.images;
        let (policy, text) = self.policy(desired);
        let decisions = evaluate(&policy, &images, self.now);
        let mut report = PreviewedRepository::new(Some(name.to_string()), &images, &decisions);
        if let (true, Some(text)) = (self.flags.aws, text) {
            let theirs = aws.service_preview(name, &text).await.map_err(|it| it.to_string())?;
            report.disagreements = Some(disagreements(&images, &decisions, &theirs));
        }
        Ok(report)
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
