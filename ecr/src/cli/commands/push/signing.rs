//! Applies the signing gate after the push to every image that is in the registry.

use std::time::Duration;

use ecr_types::error::one_line;
use ecr_types::{Digest, RepositoryName};
use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::outcome::ServiceResult;
use crate::aws::{SIGNING_STATUS, ServiceError};
use crate::cli::commands::session::Session;
use crate::cli::error::Exit;
use crate::cli::report::SignedManifest;
use crate::scan::index;
use crate::signing::{RequiredProfile, SigningVerdict};

/// How long ECR may take to say that it is signing an image.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Waits for the signatures of images that were pushed or already existed. An image without them fails the gate.
pub(super) async fn apply(
    session: &Session<'_>,
    required: &RequiredProfile,
    timeout: Duration,
    done: &mut [ServiceResult],
) {
    let gate = SigningGate { session, required, timeout, end: Instant::now() + timeout };
    let each = done.iter().map(|it| gate.service(it));
    let each: Vec<_> = stream::iter(each).buffered(session.aws_concurrency()).collect().await;
    for (done, manifests) in done.iter_mut().zip(each) {
        match manifests {
            Ok(manifests) => add(session, done, manifests),
            Err(error) => {
                let error = one_line(error.as_ref());
                session.shell.bad_status("Failed", format!("{}: {error}", done.entry.package));
                done.exit = Exit::of_parts([done.exit, Exit::Failed]);
                done.entry.error.get_or_insert(error);
            }
        }
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
            true => session.shell.bad_status(word, &done.entry.package),
            false => session.shell.status(word, &done.entry.package),
        }
        let lines: Vec<_> = manifests.iter().map(SignedManifest::line).collect();
        session.shell.detail(is_bad, &lines);
        done.entry.signatures = Some(manifests);
    }
}

struct SigningGate<'a> {
    session: &'a Session<'a>,
    required: &'a RequiredProfile,
    timeout: Duration,
    end: Instant,
}

impl SigningGate<'_> {
    /// The verdicts about the manifests of a service's image. Empty if the image is not in the registry.
    async fn service(&self, done: &ServiceResult) -> anyhow::Result<Vec<SignedManifest>> {
        let entry = &done.entry;
        let is_there = entry.outcome.is_in_registry();
        let Some(digest) = entry.digest.as_ref().filter(|_| is_there) else { return Ok(Vec::new()) };
        let mut signed = Vec::new();
        for digest in self.manifests(&entry.repository, digest).await? {
            let verdict = self.verdict(&entry.repository, &digest).await?;
            let missing = format!("{} of the registry is about it", self.required);
            signed.push(SignedManifest::new(digest, verdict, &missing));
        }
        Ok(signed)
    }

    /// The image, or an index and all that it lists.
    async fn manifests(&self, name: &RepositoryName, digest: &Digest) -> anyhow::Result<Vec<Digest>> {
        let mut all = vec![digest.clone()];
        let mut next = 0;
        while let Some(digest) = all.get(next) {
            let children = index::children(&self.session.aws.manifest(name, digest).await?)?;
            let fresh: Vec<_> = children.into_iter().filter(|it| !all.contains(it)).collect();
            all.extend(fresh);
            next += 1;
        }
        Ok(all)
    }

    /// Polls until the image is signed, cannot be, or the time is over.
    async fn verdict(&self, name: &RepositoryName, digest: &Digest) -> Result<SigningVerdict, ServiceError> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut waiting = None;
        loop {
            let remaining = self.end.saturating_duration_since(Instant::now());
            let request = self.session.aws.signing_statuses(name, digest);
            let statuses = tokio::time::timeout(remaining.max(Duration::from_secs(15)), request).await;
            let statuses = statuses.unwrap_or_else(|_| Err(ServiceError::timed_out(SIGNING_STATUS)))?;
            let verdict = self.required.evaluate(&statuses);
            let is_over = match verdict {
                SigningVerdict::Signed(_) | SigningVerdict::Failed(_) => true,
                SigningVerdict::InProgress => false,
                SigningVerdict::Missing => began.elapsed() >= START_TIMEOUT,
            };
            if is_over || remaining.is_zero() {
                return Ok(verdict);
            }
            let subject = format!("{name}@{}", digest.short());
            let waiting =
                waiting.get_or_insert_with(|| self.session.shell.waiting("Signing", subject, self.timeout));
            waiting.sleep(pause.min(remaining)).await;
            pause = (pause * 3 / 2).min(MAX_PAUSE);
        }
    }
}
