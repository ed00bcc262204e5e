//! `ecr lifecycle preview`: shows which images a policy would expire or archive, from a registry or from a
//! list of images.

use anyhow::{Context, anyhow};
use ecr_lifecycle::evaluate::{Decision, evaluate, settle};
use ecr_lifecycle::{Document, Environments, Image, ImageList, Policy, StoredPolicy, Timestamp, lint_images};
use ecr_types::error::one_line;
use ecr_types::human::count;
use futures_util::stream::{self, StreamExt};

use super::document;
use crate::aws::{Manifests, Reads, ServicePreview};
use crate::cli::commands::session::{Session, load_workspace};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{Disagreement, ImagesWarning, PreviewReport, PreviewedRepository};
use crate::cli::shell::Shell;
use crate::clock::now;
use crate::config::desired::{Desired, DesiredRepository, LifecyclePolicy};
use crate::config::files;
use crate::plan::observed::Observed;

/// Runs `ecr lifecycle preview`.
pub async fn run(flags: &flags::LifecyclePreview, shell: &Shell) -> Result<Exit, Failure> {
    let document = flags.policy.as_deref().map(document).transpose()?;
    let repositories = match &flags.images {
        Some(path) => {
            let list = files::read_list(path)?.parse::<ImageList>();
            let list = list.with_context(|| format!("`{}` is not a list of images", path.display()))?;
            preview_list(flags, shell, list, document).await?
        }
        None => preview_registry(flags, shell, document).await?,
    };
    let failed = repositories.iter().filter(|it| it.error.is_some()).count();
    for repository in &repositories {
        repository.lines().iter().for_each(|it| shell.print(it));
        let name = repository.name.as_deref().map(|it| format!("{it}: ")).unwrap_or_default();
        for warning in &repository.warnings {
            shell.warn(format!("{name}{}", warning.line()));
            shell.help(warning.help());
        }
    }
    let total = |of: fn(&PreviewedRepository) -> usize| repositories.iter().map(of).sum::<usize>() as u64;
    let (expired, archived) = (total(|it| it.expired.len()), total(|it| it.transitioned.len()));
    let mut text = format!(
        "{}, {} would expire, {archived} would be archived",
        count(repositories.len() as u64, "repository"),
        count(expired, "image")
    );
    let uncertain = total(PreviewedRepository::uncertain);
    if uncertain > 0 {
        text += &format!(", {uncertain} may");
    }
    if failed > 0 {
        text += &format!(", {failed} could not be previewed");
    }
    shell.status("Previewed", text);
    let differs = repositories.iter().any(|it| it.disagreements.as_ref().is_some_and(|it| !it.is_empty()));
    if differs {
        shell.warn("ECR's own preview differs: rely on ECR's preview, and please report the policy as a bug");
    }
    shell.json(&PreviewReport { repositories });
    Ok(if failed > 0 { Exit::Failed } else { Exit::Done })
}

/// Evaluates policies for a list of images, without a registry. Loads the workspace only if no policy file is
/// given.
async fn preview_list(
    flags: &flags::LifecyclePreview,
    shell: &Shell,
    list: ImageList,
    document: Option<Document>,
) -> Result<Vec<PreviewedRepository>, Failure> {
    let now = flags.now.or(list.now).unwrap_or_else(now);
    let workspace = match document {
        Some(_) => None,
        None => Some(load_workspace(shell, &flags.common).await?),
    };
    let each = list.repositories.into_iter().map(|(name, images)| {
        let configured =
            workspace.as_ref().map(|it| configured_policy(&it.desired, name.as_deref())).transpose()?;
        let document = document.as_ref().or(configured.flatten());
        let decisions = decide(document, &images, now);
        let environments = workspace.as_ref().map(|it| it.environments.clone()).unwrap_or_default();
        let warnings = warnings(document, &images, now, &environments);
        Ok(PreviewedRepository { warnings, ..PreviewedRepository::new(name, &images, &decisions) })
    });
    each.collect()
}

/// The outcome for each image. Without a policy, all images are kept.
fn decide(document: Option<&Document>, images: &[Image], now: Timestamp) -> Vec<Decision> {
    evaluate(document.map_or(&Policy::default(), Document::policy), images, now)
}

fn warnings(
    document: Option<&Document>,
    images: &[Image],
    now: Timestamp,
    environments: &Environments,
) -> Vec<ImagesWarning> {
    let lints = document.map(|it| lint_images(it.policy(), images, now, environments));
    lints.unwrap_or_default().into_iter().map(ImagesWarning::from).collect()
}

/// The policy that the workspace configures for a repository. Without a name, the policy that all
/// repositories share.
fn configured_policy<'a>(desired: &'a Desired, name: Option<&str>) -> Result<Option<&'a Document>, Failure> {
    let of_name = |it: &&DesiredRepository| name.is_none_or(|name| it.name.as_str() == name);
    let mut documents: Vec<_> = desired.repositories.iter().filter(of_name).map(desired_policy).collect();
    documents.dedup();
    match (documents.as_slice(), name) {
        ([document], _) => Ok(*document),
        ([], Some(name)) => {
            let failure = Failure::new(format!("the workspace has no repository `{name}`"));
            Err(failure.with_help("pass the policy to evaluate with --policy FILE"))
        }
        _ => {
            let failure = Failure::new(
                "the image list names no repository, and the workspace's repositories use different policies",
            );
            Err(failure.with_help("pass the policy to evaluate with --policy FILE"))
        }
    }
}

fn desired_policy(repository: &DesiredRepository) -> Option<&Document> {
    match &repository.lifecycle_policy {
        Some(LifecyclePolicy::Document(document)) => Some(document),
        Some(LifecyclePolicy::Absent) | None => None,
    }
}

async fn preview_registry(
    flags: &flags::LifecyclePreview,
    shell: &Shell,
    document: Option<Document>,
) -> Result<Vec<PreviewedRepository>, Failure> {
    let session = Session::open(shell, &flags.common).await?;
    let desired = flags.common.selection.repositories(session.desired())?;
    let names: Vec<_> = desired.iter().map(|it| it.name.clone()).collect();
    let reads = |_: &_| Reads { lifecycle_policy: document.is_none(), ..Reads::default() };
    let observed = session.aws.observe(&names, reads).await.context("failed to read the repositories")?;
    session.print_header(&observed.0).await?;
    if let Some((name, error)) = observed.1.into_iter().next() {
        return Err(anyhow::Error::new(error).context(format!("failed to read repository `{name}`")).into());
    }
    let preview = Preview {
        session: &session,
        flags,
        document,
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
    document: Option<Document>,
    observed: Observed,
    now: Timestamp,
}

impl Preview<'_> {
    /// `None` for a repository that does not exist. An error is printed and recorded in the result, so that
    /// the other repositories are still previewed.
    async fn repository(&self, desired: &DesiredRepository) -> Option<PreviewedRepository> {
        let name = &desired.name;
        if !self.observed.repositories.contains_key(name) {
            self.session.shell.status("Absent", name);
            return None;
        }
        Some(self.preview_images(desired).await.unwrap_or_else(|error| {
            let error = one_line(error.as_ref());
            self.session.shell.bad_status("Failed", format!("{name}: {error}"));
            PreviewedRepository {
                error: Some(error),
                ..PreviewedRepository::new(Some(name.to_string()), &[], &[])
            }
        }))
    }

    async fn preview_images(&self, desired: &DesiredRepository) -> anyhow::Result<PreviewedRepository> {
        let (aws, name) = (&self.session.aws, &desired.name);
        let images = aws.required_inventory(name, Manifests::Indexes).await?.images;
        let document = self.document(desired)?;
        let mut decisions = decide(document, &images, self.now);
        let mut disagreeing = None;
        if let (true, Some(document)) = (self.flags.aws, document) {
            let theirs = aws.service_preview(name, document.text()).await?;
            disagreeing = Some(disagreements(&images, &decisions, &theirs));
            decisions = settle(document.policy(), &images, decisions, &theirs);
        }
        let environments = &self.session.workspace.environments;
        Ok(PreviewedRepository {
            warnings: warnings(document, &images, self.now, environments),
            disagreements: disagreeing,
            ..PreviewedRepository::new(Some(name.to_string()), &images, &decisions)
        })
    }

    /// The policy from the flags, or the one that the workspace configures, or the existing one.
    fn document<'a>(&'a self, desired: &'a DesiredRepository) -> anyhow::Result<Option<&'a Document>> {
        if self.document.is_some() || desired.lifecycle_policy.is_some() {
            return Ok(self.document.as_ref().or(desired_policy(desired)));
        }
        let found = self.observed.repositories.get(&desired.name);
        match found.and_then(|it| it.lifecycle_policy.known()?.as_ref()) {
            None => Ok(None),
            Some(StoredPolicy::Read(document)) => Ok(Some(document)),
            Some(StoredPolicy::Unreadable(_)) => {
                Err(anyhow!("this version cannot parse the existing lifecycle policy"))
            }
        }
    }
}

fn disagreements(images: &[Image], decisions: &[Decision], theirs: &ServicePreview) -> Vec<Disagreement> {
    let certain = images.iter().zip(decisions).filter(|(_, decision)| decision.is_certain());
    let each = certain.map(|(image, decision)| Disagreement {
        digest: image.digest.clone(),
        ours: decision.outcome.rule().map(|(rule, _)| rule),
        aws: theirs.get(&image.digest).copied(),
    });
    each.filter(|it| it.ours != it.aws).collect()
}
