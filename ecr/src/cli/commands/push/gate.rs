//! Applies the scan gate after the push to every image that is in the registry.

use std::collections::BTreeSet;
use std::time::Duration;

use ecr_types::error::one_line;
use futures_util::stream::StreamExt;

use super::outcome::ServiceResult;
use crate::cli::commands::scan::{
    Hints, SCAN_START_TIMEOUT, ScanTarget, Scanner, image_exit, resolve_index, warn_of_expired,
};
use crate::cli::commands::session::Session;
use crate::cli::error::Exit;
use crate::cli::flags;
use crate::cli::report::{PushOutcome, ScannedImage, Subject};
use crate::scan::Gate;

/// Waits for the scans of images that were pushed or already existed, and applies the gate to them.
pub(super) async fn apply(
    session: &Session<'_>,
    gate: &Gate,
    flags: &flags::GateArgs,
    auditable: &BTreeSet<String>,
    done: &mut [ServiceResult],
) {
    warn_of_expired(session.shell, gate.ignored.expired.iter().map(|it| &it.id));
    let scanner = Scanner::new(session, Some(gate), flags.timeout);
    let mut hints = Hints::default();
    let (mut services, mut targets) = (Vec::new(), Vec::new());
    for (n, done) in done.iter_mut().enumerate() {
        match scan_targets(session, done).await {
            Ok(found) => {
                services.extend(found.iter().map(|_| n));
                targets.extend(found);
            }
            Err(error) => fail(session, done, one_line(error.as_ref())),
        }
    }
    let mut scans = std::pin::pin!(scanner.scan(targets));
    for n in services {
        match scans.next().await {
            Some(Ok(image)) => {
                hints.add(&image);
                session.shell.detail(!image.is_through(), &image.lines(session.shell.width()));
                add_scan(&mut done[n], image);
            }
            Some(Err(failure)) => fail(session, &mut done[n], failure.error),
            None => {}
        }
    }
    hints.print(session.shell, flags, auditable);
}

fn fail(session: &Session<'_>, done: &mut ServiceResult, error: String) {
    session.shell.bad_status("Failed", &error);
    done.exit = Exit::of_parts([done.exit, Exit::Failed]);
    done.entry.error = Some(error);
}

/// The images of a service that are in the registry. One that was built here is known to be an image; one
/// that was skipped may be an index.
async fn scan_targets(session: &Session<'_>, done: &ServiceResult) -> anyhow::Result<Vec<ScanTarget>> {
    let Some(target) = target(done) else { return Ok(Vec::new()) };
    let is_built_here = !done.entry.platforms.is_empty();
    if is_built_here { Ok(vec![target]) } else { resolve_index(session, target).await }
}

fn target(done: &ServiceResult) -> Option<ScanTarget> {
    let entry = &done.entry;
    let start_timeout = match entry.outcome {
        PushOutcome::Pushed => Duration::MAX,
        // Another run may have pushed it a moment ago.
        PushOutcome::Unchanged | PushOutcome::Unaffected => SCAN_START_TIMEOUT,
        _ => return None,
    };
    let subject = Subject {
        repository: entry.repository.clone(),
        package: Some(entry.package.clone()),
        digest: entry.digest.clone()?,
        tags: entry.tags.iter().map(ToString::to_string).collect(),
        index: None,
        platform: None,
    };
    Some(ScanTarget { subject, start_timeout })
}

fn add_scan(done: &mut ServiceResult, image: ScannedImage) {
    done.exit = Exit::of_parts([done.exit, image_exit(&image)]);
    done.entry.scans.get_or_insert_default().push(image);
}
