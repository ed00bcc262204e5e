//! Which images `ecr scan` looks at: those of the configured tags, else the newest; an index as what it lists.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use ecr_lifecycle::{Image, StorageClass};
use ecr_types::Digest;
use ecr_types::error::one_line;
use futures_util::stream::{self, StreamExt};

use crate::aws::{Manifests, Reads};
use crate::build::git;
use crate::cli::commands::session::Session;
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::report::{ScanFailure, Subject};
use crate::clock::now;
use crate::config::desired::{DesiredRepository, Service};
use crate::config::tag_template::TagValues;
use crate::inventory::Inventory;
use crate::scan::index;

/// An image whose scan is asked for.
#[derive(Debug, Clone)]
pub struct Target {
    /// Which image.
    pub subject: Subject,
    /// How long it may still be without any scan: ECR begins a moment after the push.
    pub grace: Duration,
}

/// How long a young image may be without any scan.
pub const GRACE: Duration = Duration::from_secs(30);
/// Until when an image is young, in nanoseconds since its push.
const YOUNG: i64 = 300_000_000_000;

/// The images that the flags choose, and the repositories in which none could be chosen.
pub async fn of(
    session: &Session<'_>,
    flags: &flags::Scan,
    has_gate: bool,
) -> Result<(Vec<Target>, Vec<ScanFailure>), Failure> {
    if let Some(tag) = flags.tag.iter().find(|it| it.needs_digest()) {
        let failure =
            Failure::new(format!("tag `{tag}` names the image's own digest, which only a build knows"));
        return Err(
            failure.with_help("name the tag as the push printed it, or look at every image with --all")
        );
    }
    let desired = flags.common.selection.repositories(session.desired())?;
    let names: Vec<_> = desired.iter().map(|it| it.name.clone()).collect();
    let observed = session.aws.observe(&names, |_| Reads::default()).await;
    let (observed, mut failures) = observed.context("failed to look at the repositories")?;
    session.begin(&observed).await?;
    let chooser = Chooser { session, flags, has_gate, commit: commit(session, flags, &desired) };
    let each = desired.iter().map(|desired| {
        let failure = failures.remove(&desired.name);
        let exists = observed.repositories.contains_key(&desired.name);
        let chooser = &chooser;
        async move {
            let chosen = match failure {
                Some(error) => Err(anyhow::Error::new(error.clone())),
                None if exists => chooser.targets(desired).await,
                None => Err(anyhow::anyhow!("the repository does not exist")),
            };
            let named = |error: anyhow::Error| {
                let repository = desired.name.clone();
                ScanFailure {
                    error: format!("{repository}: {}", one_line(error.as_ref())),
                    repository,
                    help: None,
                }
            };
            chosen.map_err(named)
        }
    });
    let chosen: Vec<_> = stream::iter(each).buffered(session.aws_concurrency()).collect().await;
    let (mut targets, mut failed) = (Vec::new(), Vec::new());
    for chosen in chosen {
        match chosen {
            Ok(chosen) => targets.extend(chosen),
            Err(failure) => failed.push(failure),
        }
    }
    Ok((targets, failed))
}

/// The commit, if a tag needs it.
fn commit(session: &Session<'_>, flags: &flags::Scan, desired: &[DesiredRepository]) -> Option<String> {
    let services = desired.iter().filter_map(|it| service(session, it));
    let configured = services.flat_map(Service::tag_templates);
    let needs_git = configured.chain(flags.tag.iter().cloned()).any(|it| it.needs_git());
    let tree = needs_git.then(|| git::working_tree(&session.workspace.root).ok().flatten());
    tree.flatten().and_then(|it| it.commit)
}

fn service<'a>(session: &'a Session<'_>, desired: &DesiredRepository) -> Option<&'a Service> {
    session.desired().services.iter().find(|it| it.repository == desired.name)
}

struct Chooser<'a> {
    session: &'a Session<'a>,
    flags: &'a flags::Scan,
    has_gate: bool,
    commit: Option<String>,
}

impl Chooser<'_> {
    async fn targets(&self, desired: &DesiredRepository) -> anyhow::Result<Vec<Target>> {
        if self.flags.all {
            return self.all(desired).await;
        }
        let is_given = !self.flags.tag.is_empty();
        let wanted = self.tags(desired)?;
        let (mut found, mut missing) = (Vec::<Image>::new(), Vec::new());
        for tag in wanted {
            let image = self.session.aws.tagged_image(&desired.name, &tag).await;
            match image? {
                Some(image) if found.iter().all(|it| it.digest != image.digest) => found.push(image),
                Some(_) => {}
                None => missing.push(tag),
            }
        }
        if let (Some(tag), true) = (missing.first(), is_given || !found.is_empty()) {
            anyhow::bail!("no image has the tag `{tag}`");
        }
        if found.is_empty() {
            found.extend(self.newest(desired, &missing).await?);
        }
        let mut targets = Vec::new();
        for image in found {
            targets.extend(self.resolved(desired, &image).await?);
        }
        Ok(targets)
    }

    /// The tags to look for; those that name the image's own digest are known to nobody but the build.
    fn tags(&self, desired: &DesiredRepository) -> anyhow::Result<Vec<String>> {
        let service = service(self.session, desired);
        let templates = match (self.flags.tag.as_slice(), service) {
            ([], Some(service)) => service.tag_templates(),
            (given, _) => given.to_vec(),
        };
        let version = service.map_or("", |it| &it.package.version);
        let values = TagValues { version, git_sha: self.commit.as_deref(), digest: None };
        let known = templates.iter().filter(|it| !it.needs_digest());
        known.map(|it| Ok(it.render(&values)?.to_string())).collect()
    }

    async fn inventory(
        &self,
        desired: &DesiredRepository,
        manifests: Manifests,
    ) -> anyhow::Result<Inventory> {
        let inventory = self.session.aws.inventory(&desired.name, manifests).await;
        inventory?.context("no permission to list its images")
    }

    async fn newest(&self, desired: &DesiredRepository, missing: &[String]) -> anyhow::Result<Option<Image>> {
        let mut inventory = self.inventory(desired, Manifests::None).await?;
        let shell = self.session.shell;
        let Some(newest) = inventory.newest() else {
            return self.nothing(desired).map(|()| None);
        };
        let image = inventory.images.swap_remove(newest);
        if let Some(tag) = missing.first() {
            let name = image.tags.first().map_or(image.digest.short(), String::as_str);
            let text = "has no image with the tag";
            shell
                .warn(format!("`{}` {text} `{tag}`: the newest is looked at, which is {name}", desired.name));
        }
        Ok(Some(image))
    }

    /// Every image that could run; what an index lists is among them.
    async fn all(&self, desired: &DesiredRepository) -> anyhow::Result<Vec<Target>> {
        let inventory = self.inventory(desired, Manifests::Indexes).await?;
        let is_scanned = |n: &usize| {
            let image = &inventory.images[*n];
            inventory.is_runnable(*n) && !image.is_index() && image.storage_class == StorageClass::Standard
        };
        let images = (0..inventory.images.len()).filter(is_scanned).map(|n| &inventory.images[n]);
        let targets: Vec<_> = images.map(|it| target(desired, it)).collect();
        if targets.is_empty() {
            self.nothing(desired)?;
        }
        Ok(targets)
    }

    /// A gate that looked at nothing let nothing through.
    fn nothing(&self, desired: &DesiredRepository) -> anyhow::Result<()> {
        if self.has_gate {
            anyhow::bail!("the repository has no images");
        }
        self.session.shell.warn(format!("`{}` has no images", desired.name));
        Ok(())
    }

    async fn resolved(&self, desired: &DesiredRepository, image: &Image) -> anyhow::Result<Vec<Target>> {
        let target = target(desired, image);
        if image.is_index() { resolve(self.session, target).await } else { Ok(vec![target]) }
    }
}

/// The images that an index lists, and those that indexes below it list, each once; an image that is no index stands for
/// itself.
pub async fn resolve(session: &Session<'_>, index: Target) -> anyhow::Result<Vec<Target>> {
    let mut targets = Vec::new();
    let mut open = vec![index.subject.digest.clone()];
    let mut seen: BTreeSet<Digest> = BTreeSet::from([index.subject.digest.clone()]);
    while let Some(digest) = open.pop() {
        let manifest = session.aws.manifest(&index.subject.repository, &digest).await;
        let manifest = manifest?;
        let Some(listed) = index::listed(&manifest)? else {
            let subject = Subject { digest, ..index.subject.clone() };
            targets.push(Target { subject, grace: index.grace });
            continue;
        };
        for listed in listed.into_iter().filter(|it| seen.insert(it.digest.clone())) {
            if listed.is_index {
                open.push(listed.digest);
                continue;
            }
            let subject = Subject {
                digest: listed.digest,
                index: Some(index.subject.digest.clone()),
                platform: listed.platform,
                ..index.subject.clone()
            };
            targets.push(Target { subject, grace: index.grace });
        }
    }
    Ok(targets)
}

fn target(desired: &DesiredRepository, image: &Image) -> Target {
    let subject = Subject {
        repository: desired.name.clone(),
        package: desired.package.clone(),
        digest: image.digest.clone(),
        tags: image.tags.clone(),
        index: None,
        platform: None,
    };
    let is_young = now().since(image.pushed_at) < YOUNG;
    Target { subject, grace: if is_young { GRACE } else { Duration::ZERO } }
}
