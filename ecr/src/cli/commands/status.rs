//! `ecr status`: a summary of the environment, the repositories, their images and their storage cost.

use ecr_types::error::one_line;
use ecr_types::human::count;
use ecr_types::{Digest, RepositoryName};
use futures_util::stream::{self, StreamExt};

use super::registry;
use super::session::Session;
use super::storage::{RepositoryStorage, StorageReport};
use crate::aws::ServiceError;
use crate::build::docker::{Engine, EngineProbe};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{EngineStatus, Environment, LatestImage, RepositoryStatus, StatusReport};
use crate::cli::shell::Shell;
use crate::cli::table::cut;
use crate::config::desired::DesiredRepository;
use crate::inventory::{Figures, Inventory};
use crate::plan::{RepositoryPlan, RepositoryState};
use crate::registry::SharedLayers;
use crate::scan::{Counts, ImageScan};

/// Prints the summary. What cannot be read makes the command fail; drift does not.
pub async fn run(flags: &flags::Status, shell: &Shell) -> Result<Exit, Failure> {
    let engine = tokio::task::spawn_blocking(engine);
    // The cost depends on the existing lifecycle policy, even if the workspace does not configure one.
    let (session, mut desired, (observed, mut failures)) =
        Session::open_and_observe(shell, &flags.common, flags.orphans, |_| true).await?;
    let header = session.print_header(&observed).await?;
    let plan = session.plan(&desired, &observed);
    let storage_report = StorageReport::new(&session, &observed, &flags.storage);
    desired.sort_by(|a, b| a.name.cmp(&b.name));
    let each = desired.iter().map(|desired| {
        let plan = plan.repositories.iter().find(|it| it.name == desired.name);
        let failure = failures.remove(&desired.name);
        let storage_report = &storage_report;
        let session = &session;
        async move { repository(session, storage_report, desired, plan, failure).await }
    });
    let each = stream::iter(each).buffered(session.aws_concurrency());
    // The inventories may be large: only what several repositories have in common is kept.
    let read = each.fold(
        (Vec::new(), SharedLayers::default()),
        async |(mut all, mut layers), (status, inventory)| {
            layers.add(&inventory);
            all.push(status);
            (all, layers)
        },
    );
    let ((repositories, layers), settings) = tokio::join!(read, session.aws.registry_settings());
    let names: Vec<_> = desired.iter().map(|it| it.name.clone()).collect();
    let (registry_settings, is_complete) = registry::status(&session, &names, settings, &layers);
    let mut total = Figures::default();
    repositories.iter().filter_map(|it| it.storage).for_each(|it| total += it);
    let report = StatusReport {
        header,
        environment: Environment {
            identity: session.identity.arn.clone(),
            endpoint: session.aws.endpoint().map(|it| session.display_reference(&it)),
            engine: engine.await.unwrap_or_default(),
        },
        price: storage_report.price,
        orphans: if flags.orphans { session.orphans_or_warning().await? } else { None },
        repositories,
        total,
        registry_settings,
    };
    report.lines(storage_report.now, shell.width()).iter().for_each(|it| shell.print(it));
    session.warn_of_denials();
    storage_report.note_unread_manifests();
    let exit = finish(&session, &report);
    Ok(if is_complete { exit } else { Exit::Failed })
}

fn finish(session: &Session<'_>, report: &StatusReport) -> Exit {
    let shell = session.shell;
    for repository in &report.repositories {
        if let Some(error) = &repository.error {
            shell.bad_status("Failed", format!("{}: {error}", repository.name));
        }
    }
    let local = session.registry_flags();
    let differs = |it: &&RepositoryStatus| matches!(it.state, Some("absent" | "drifted"));
    let differing = report.repositories.iter().filter(differs).count() as u64;
    if differing > 0 {
        let repositories = count(differing, "repository");
        shell.help(format!(
            "`cargo xtask ecr create{local}` would change {repositories}; `cargo xtask ecr plan{local}` \
             shows the changes"
        ));
    }
    if report.orphans.as_ref().is_some_and(|it| !it.is_empty()) {
        shell.help(format!("`cargo xtask ecr delete --orphans{local}` also deletes the orphans"));
    }
    shell.json(report);
    let is_bad = report.repositories.iter().any(|it| it.error.is_some());
    if is_bad { Exit::Failed } else { Exit::Done }
}

async fn repository(
    session: &Session<'_>,
    storage_report: &StorageReport<'_>,
    desired: &DesiredRepository,
    plan: Option<&RepositoryPlan>,
    failure: Option<ServiceError>,
) -> (RepositoryStatus, Inventory) {
    let mut status = RepositoryStatus {
        name: desired.name.clone(),
        package: desired.package.clone(),
        state: plan.map(|it| it.state.as_str()).filter(|_| failure.is_none()),
        drift: plan.map(drift).unwrap_or_default(),
        latest: None,
        storage: None,
        error: failure.map(|it| it.to_string()),
    };
    let is_absent = plan.is_some_and(|it| it.state == RepositoryState::Absent);
    let result = match status.error {
        Some(_) => return (status, Inventory::default()),
        None if is_absent => Ok(RepositoryStorage::default()),
        None => storage_report.read(desired).await,
    };
    match result {
        Ok(RepositoryStorage { inventory, figures }) => {
            status.storage = Some(figures);
            let latest = latest(session, &desired.name, &inventory).await;
            match latest {
                Ok(latest) => status.latest = latest,
                Err(error) => status.error = Some(error.to_string()),
            }
            (status, inventory)
        }
        Err(error) => {
            status.error = Some(one_line(error.as_ref()));
            (status, Inventory::default())
        }
    }
}

/// The fields of an existing repository that differ from the desired state.
fn drift(plan: &RepositoryPlan) -> Vec<String> {
    let steps = plan.steps.iter().filter(|_| plan.state != RepositoryState::Absent).filter_map(|it| it.field);
    steps.chain(plan.blocked.iter().map(|it| it.field)).map(str::to_owned).collect()
}

async fn latest(
    session: &Session<'_>,
    name: &RepositoryName,
    inventory: &Inventory,
) -> Result<Option<LatestImage>, ServiceError> {
    let Some(newest) = inventory.newest() else { return Ok(None) };
    let image = &inventory.images[newest];
    // ECR does not scan an index itself, but the images that it lists.
    let listed = inventory.listed_by(newest);
    let own = [newest].into_iter().filter(|_| !image.is_index());
    let is_listed = |n: &usize| !inventory.images[*n].is_index() && !inventory.details[*n].is_attestation;
    let (mut status, mut findings) = (None, None);
    for n in own.chain(listed.into_iter().filter(is_listed)) {
        let detail = &inventory.details[n];
        let (found, counts) = match (&detail.scan_status, &detail.counts) {
            // DescribeImages returns no result of enhanced scanning, nor of the newer engine of basic
            // scanning.
            (None, None) => {
                status_and_counts(scan_if_permitted(session, name, &inventory.images[n].digest).await?)
            }
            (status, counts) => (status.clone(), counts.clone()),
        };
        // The status is that of the first image that is not scanned, if there is one.
        let is_scanned = status.as_deref().is_none_or(|it| matches!(it, "COMPLETE" | "ACTIVE"));
        status = if is_scanned { found.or(status) } else { status };
        if let Some(counts) = counts {
            let total: &mut Counts = findings.get_or_insert_default();
            counts.into_iter().for_each(|(severity, n)| *total.entry(severity).or_default() += n);
        }
    }
    Ok(Some(LatestImage {
        digest: image.digest.clone(),
        tags: image.tags.clone(),
        pushed_at: image.pushed_at,
        is_scan_known: !image.has_unknown_children(),
        scan_status: status,
        findings,
    }))
}

/// The scan of an image; `None` if there is none, or without the permission to read it.
async fn scan_if_permitted(
    session: &Session<'_>,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<Option<ImageScan>, ServiceError> {
    const ACTION: &str = "ecr:DescribeImageScanFindings";
    match session.aws.scan(name, digest).await {
        Err(error) if error.is_denied() => {
            session.aws.denials().add(ACTION, "scan results were not read", name.as_str());
            Ok(None)
        }
        scan => scan,
    }
}

fn status_and_counts(scan: Option<ImageScan>) -> (Option<String>, Option<Counts>) {
    let done = |it: &ImageScan| it.progress() == crate::scan::ScanProgress::Done;
    let status = scan.as_ref().map(|it| it.status.as_str().to_owned());
    (status, scan.filter(done).map(|it| it.totals()))
}

fn engine() -> Option<EngineStatus> {
    let engine = Engine::find(None)?;
    let version = match engine.probe() {
        Ok(EngineProbe::Running(version)) => Some(cut(&version, 40)),
        Ok(EngineProbe::Stopped) | Err(_) => None,
    };
    Some(EngineStatus { program: engine.name().to_owned(), version })
}
