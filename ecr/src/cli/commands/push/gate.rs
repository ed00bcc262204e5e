//! After the push: the scan gate, for every image that is in the registry now.

use std::collections::BTreeSet;
use std::time::Duration;

use ecr_types::error::one_line;
use futures_util::stream::StreamExt;

use super::outcome::Done;
use crate::cli::commands::scan::{GRACE, Hints, Scanner, Target, exit_of, resolve, warn_of_expired};
use crate::cli::commands::session::Session;
use crate::cli::error::Exit;
use crate::cli::flags;
use crate::cli::report::{PushOutcome, ScannedImage, Subject};
use crate::scan::Gate;

/// Waits for the scans of what was pushed, or was there already, and judges them.
pub(super) async fn pass(
    session: &Session<'_>,
    gate: &Gate,
    flags: &flags::GateArgs,
    auditable: &BTreeSet<String>,
    done: &mut [Done],
) {
    warn_of_expired(session.shell, gate.ignored.expired.iter().map(|it| &it.id));
    let scanner = Scanner::new(session, Some(gate), flags.timeout);
    let mut hints = Hints::default();
    let (mut services, mut targets) = (Vec::new(), Vec::new());
    for (n, done) in done.iter_mut().enumerate() {
        match resolved(session, done).await {
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
                session.shell.detail(!image.is_through(), &image.lines());
                attach(&mut done[n], image);
            }
            Some(Err(failure)) => fail(session, &mut done[n], failure.error),
            None => {}
        }
    }
    hints.tell(session.shell, flags, auditable);
}

fn fail(session: &Session<'_>, done: &mut Done, error: String) {
    session.shell.bad_status("Failed", &error);
    done.exit = Exit::of_parts([done.exit, Exit::Failed]);
    done.entry.error = Some(error);
}

/// The images of a service that are in the registry: what was built here is one; what was skipped may be an index.
async fn resolved(session: &Session<'_>, done: &Done) -> anyhow::Result<Vec<Target>> {
    let Some(target) = target(done) else { return Ok(Vec::new()) };
    let is_built_here = !done.entry.platforms.is_empty();
    if is_built_here { Ok(vec![target]) } else { resolve(session, target).await }
}

fn target(done: &Done) -> Option<Target> {
    let entry = &done.entry;
    let grace = match entry.outcome {
        PushOutcome::Pushed => Duration::MAX,
        // It may have been pushed a moment ago by another run.
        PushOutcome::Unchanged => GRACE,
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
    Some(Target { subject, grace })
}

fn attach(done: &mut Done, image: ScannedImage) {
    done.exit = Exit::of_parts([done.exit, exit_of(&image)]);
    done.entry.scans.get_or_insert_default().push(image);
}
