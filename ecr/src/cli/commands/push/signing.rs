//! Applies the signing gate after the push to every image that is in the registry.

use std::time::Duration;

use ecr_types::error::one_line;
use futures_util::stream::{self, StreamExt};

use super::outcome::ServiceResult;
use crate::cli::commands::session::Session;
use crate::cli::commands::signing::SigningGate;
use crate::cli::error::Exit;
use crate::cli::report::SignedManifest;
use crate::signing::RequiredProfile;

/// Waits for the signatures of images that were pushed or already existed. An image without them fails the gate.
pub(super) async fn apply(
    session: &Session<'_>,
    required: &RequiredProfile,
    timeout: Duration,
    done: &mut [ServiceResult],
) {
    let gate = SigningGate::new(session, required, timeout);
    let each = done.iter().map(|it| signed(&gate, it));
    let each: Vec<_> = stream::iter(each).buffered(session.aws_concurrency()).collect().await;
    for (done, manifests) in done.iter_mut().zip(each) {
        match manifests {
            Ok(manifests) => add(session, done, manifests),
            Err(error) => {
                let error = one_line(error.as_ref());
                session.shell.bad_status("Failed", format!("{}: {error}", done.entry.name()));
                done.exit = Exit::of_parts([done.exit, Exit::Failed]);
                done.entry.error.get_or_insert(error);
            }
        }
    }
}

/// The verdicts about the manifests of a service's image. Empty if the image is not in the registry.
async fn signed(gate: &SigningGate<'_>, done: &ServiceResult) -> anyhow::Result<Vec<SignedManifest>> {
    match &done.entry.digest {
        Some(digest) if done.entry.outcome.is_in_registry() => {
            gate.image(&done.entry.repository, digest).await
        }
        _ => Ok(Vec::new()),
    }
}

fn add(session: &Session<'_>, done: &mut ServiceResult, manifests: Vec<SignedManifest>) {
    let is_bad = manifests.iter().any(|it| !it.is_signed());
    if is_bad {
        done.exit = Exit::of_parts([done.exit, Exit::Gate]);
    }
    if !manifests.is_empty() {
        let word = if is_bad { "Unsigned" } else { "Signed" };
        match is_bad {
            true => session.shell.bad_status(word, done.entry.name()),
            false => session.shell.status(word, done.entry.name()),
        }
        let lines: Vec<_> = manifests.iter().map(SignedManifest::line).collect();
        session.shell.detail(is_bad, &lines);
        done.entry.signatures = Some(manifests);
    }
}
