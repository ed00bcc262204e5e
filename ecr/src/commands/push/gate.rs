//! After the push: the scan gate, for every image that is in the registry now.

use std::collections::BTreeSet;

use crate::commands::scan::{Scanner, Target, exit_of, hints, warn_of_expired};
use crate::commands::session::{Session, now};
use crate::error::Exit;
use crate::flags;
use crate::report::{PushOutcome, ScannedImage, Subject};
use crate::scan::Gate;

use super::outcome::Done;

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
    let targets = done.iter().filter_map(target).collect();
    let scanned = scanner.scan(targets).await;
    for failure in scanned.failures {
        session.shell.bad_status("Failed", &failure.error);
        let failed = done.iter_mut().filter(|it| it.entry.repository == failure.repository);
        for done in failed {
            done.exit = Exit::of_parts([done.exit, Exit::Failed]);
            done.entry.error = Some(failure.error.clone());
        }
    }
    let images = scanned.images;
    for image in &images {
        image.lines().iter().for_each(|it| session.shell.talk(it));
    }
    hints(session.shell, &images, flags, auditable);
    images.into_iter().for_each(|it| attach(done, it));
}

fn target(done: &Done) -> Option<Target> {
    let entry = &done.entry;
    // ECR begins its scan a moment after the push; of an image that was there before, nothing is to be expected.
    let pushed_at = match entry.outcome {
        PushOutcome::Pushed => Some(now()),
        PushOutcome::Unchanged => None,
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
    Some(Target { subject, pushed_at })
}

fn attach(done: &mut [Done], image: ScannedImage) {
    let its = done.iter_mut().find(|it| {
        it.entry.digest.as_ref() == Some(&image.digest) && it.entry.repository == image.repository
    });
    if let Some(done) = its {
        done.exit = Exit::of_parts([done.exit, exit_of(&image)]);
        done.entry.scan = Some(image);
    }
}
