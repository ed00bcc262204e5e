//! The images of `ecr scan`: those with the configured tags, or the newest one. An index stands for the
//! images that it lists.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use ecr_lifecycle::{Image, StorageClass};
use ecr_types::Digest;
use ecr_types::error::one_line;
use futures_util::stream::{self, StreamExt};

use crate::aws::{Manifests, Reads, ServiceError};
use crate::cli::commands::session::Session;
use crate::cli::commands::tagged::{Wanted, revision};
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::report::{ScanFailure, Subject};
use crate::clock::now;
use crate::config::desired::DesiredRepository;
use crate::config::tag_template::{Revision, TagValues};
use crate::scan::index;

/// An image whose scan is requested.
#[derive(Debug, Clone)]
pub struct ScanTarget {
    pub subject: Subject,
    /// How long to wait for a scan to begin. ECR begins a moment after the push.
    pub start_timeout: Duration,
}

/// How long to wait for the scan of a recently pushed image to begin.
pub const SCAN_START_TIMEOUT: Duration = Duration::from_secs(30);
/// The age in nanoseconds up to which an image counts as recently pushed.
const RECENT: i64 = 300_000_000_000;

/// The images that the flags select, and a failure for each repository in which none could be selected.
pub async fn select(
    session: &Session<'_>,
    flags: &flags::Scan,
    has_gate: bool,
) -> Result<(Vec<ScanTarget>, Vec<ScanFailure>), Failure> {
    if let Some(tag) = flags.tag.iter().find(|it| it.needs_digest()) {
        let failure = Failure::new(format!(
            "tag `{tag}` contains the digest of the image, which is known only during a build"
        ));
        return Err(failure.with_help("pass the tag as `push` printed it, or show all images with --all"));
    }
    let desired = flags.common.selection.repositories(session.desired())?;
    let names: Vec<_> = desired.iter().map(|it| it.name.clone()).collect();
    let observed = session.aws.observe(&names, |_| Reads::default()).await;
    let (observed, mut failures) = observed.context("failed to read the repositories")?;
    session.print_header(&observed).await?;
    let wanted: Vec<_> = desired.into_iter().map(|it| wanted(session, it)).collect();
    let limit = session.aws.http().limits().total;
    let revision = revision(session.shell, &session.workspace, &wanted, &flags.tag, limit).await?;
    let selector = Selector { session, flags, has_gate, revision };
    let each = wanted.iter().map(|wanted| {
        let exists = observed.repositories.contains_key(&wanted.repository);
        selector.select(wanted, exists, failures.remove(&wanted.repository))
    });
    let selected: Vec<_> = stream::iter(each).buffered(session.aws_concurrency()).collect().await;
    let (mut targets, mut failed) = (Vec::new(), Vec::new());
    for selected in selected {
        match selected {
            Ok(selected) => targets.extend(selected),
            Err(failure) => failed.push(failure),
        }
    }
    Ok((targets, failed))
}

fn wanted(session: &Session<'_>, desired: DesiredRepository) -> Wanted {
    let service = session.desired().services.iter().find(|it| it.repository == desired.name);
    Wanted { repository: desired.name, service: service.cloned() }
}

struct Selector<'a> {
    session: &'a Session<'a>,
    flags: &'a flags::Scan,
    has_gate: bool,
    revision: Revision,
}

impl Selector<'_> {
    /// The selected images of a repository. `failure` says why the repository could not be observed.
    async fn select(
        &self,
        wanted: &Wanted,
        exists: bool,
        failure: Option<ServiceError>,
    ) -> Result<Vec<ScanTarget>, ScanFailure> {
        let selected = match failure {
            Some(error) => Err(error.into()),
            None if exists => self.targets(wanted).await,
            None => Err(anyhow::anyhow!("the repository does not exist")),
        };
        selected.map_err(|error| {
            let repository = wanted.repository.clone();
            let error = format!("{repository}: {}", one_line(error.as_ref()));
            ScanFailure { error, repository, help: None }
        })
    }

    async fn targets(&self, wanted: &Wanted) -> anyhow::Result<Vec<ScanTarget>> {
        if self.flags.all {
            return self.all(wanted).await;
        }
        let is_given = !self.flags.tag.is_empty();
        let tags = self.tags(wanted)?;
        let (mut found, mut missing) = (Vec::<Image>::new(), Vec::new());
        for tag in tags {
            let image = self.session.aws.tagged_image(&wanted.repository, &tag).await;
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
            found.extend(self.newest(wanted, &missing).await?);
        }
        let mut targets = Vec::new();
        for image in found {
            targets.extend(self.resolve(wanted, &image).await?);
        }
        Ok(targets)
    }

    /// The tags to look for. Tags that contain the digest of the image are known only during a build and are
    /// omitted.
    fn tags(&self, wanted: &Wanted) -> anyhow::Result<Vec<String>> {
        let templates = wanted.templates(&self.flags.tag);
        let version = wanted.service.as_ref().map_or("", |it| &it.package.version);
        let values = TagValues { version, revision: &self.revision, digest: None };
        let known = templates.iter().filter(|it| !it.needs_digest());
        known.map(|it| Ok(it.render(&values)?.to_string())).collect()
    }

    async fn newest(&self, wanted: &Wanted, missing: &[String]) -> anyhow::Result<Option<Image>> {
        let mut inventory = self.session.aws.required_inventory(&wanted.repository, Manifests::None).await?;
        let shell = self.session.shell;
        let Some(newest) = inventory.newest() else {
            return self.report_no_images(wanted).map(|()| None);
        };
        let image = inventory.images.swap_remove(newest);
        if let Some(tag) = missing.first() {
            let name = image.tags.first().map_or(image.digest.short(), String::as_str);
            shell.warn(format!(
                "`{}` has no image with the tag `{tag}`: showing the newest, {name}",
                wanted.repository
            ));
        }
        Ok(Some(image))
    }

    /// All runnable images, including those that indexes list.
    async fn all(&self, wanted: &Wanted) -> anyhow::Result<Vec<ScanTarget>> {
        let inventory = self.session.aws.required_inventory(&wanted.repository, Manifests::Indexes).await?;
        let is_scanned = |n: &usize| {
            let image = &inventory.images[*n];
            inventory.is_runnable(*n) && !image.is_index() && image.storage_class == StorageClass::Standard
        };
        let images = (0..inventory.images.len()).filter(is_scanned).map(|n| &inventory.images[n]);
        let targets: Vec<_> = images.map(|it| target(wanted, it)).collect();
        if targets.is_empty() {
            self.report_no_images(wanted)?;
        }
        Ok(targets)
    }

    /// A repository without images is an error with a gate, otherwise a warning.
    fn report_no_images(&self, wanted: &Wanted) -> anyhow::Result<()> {
        if self.has_gate {
            anyhow::bail!("the repository has no images");
        }
        self.session.shell.warn(format!("`{}` has no images", wanted.repository));
        Ok(())
    }

    async fn resolve(&self, wanted: &Wanted, image: &Image) -> anyhow::Result<Vec<ScanTarget>> {
        let target = target(wanted, image);
        if image.is_index() { resolve_index(self.session, target).await } else { Ok(vec![target]) }
    }
}

/// The images that an index lists, directly or through nested indexes, each once. If `index` is an image,
/// returns the image itself.
pub async fn resolve_index(session: &Session<'_>, index: ScanTarget) -> anyhow::Result<Vec<ScanTarget>> {
    let mut targets = Vec::new();
    let mut open = vec![index.subject.digest.clone()];
    let mut seen: BTreeSet<Digest> = BTreeSet::from([index.subject.digest.clone()]);
    while let Some(digest) = open.pop() {
        let manifest = session.aws.manifest(&index.subject.repository, &digest).await;
        let manifest = manifest?;
        let Some(listed) = index::listed(&manifest)? else {
            let subject = Subject { digest, ..index.subject.clone() };
            targets.push(ScanTarget { subject, start_timeout: index.start_timeout });
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
            targets.push(ScanTarget { subject, start_timeout: index.start_timeout });
        }
    }
    Ok(targets)
}

fn target(wanted: &Wanted, image: &Image) -> ScanTarget {
    let subject = Subject {
        repository: wanted.repository.clone(),
        package: wanted.package().map(str::to_owned),
        digest: image.digest.clone(),
        tags: image.tags.clone(),
        index: None,
        platform: None,
    };
    let is_recent = now().since(image.pushed_at) < RECENT;
    ScanTarget { subject, start_timeout: if is_recent { SCAN_START_TIMEOUT } else { Duration::ZERO } }
}
