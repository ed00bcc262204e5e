//! The signing gate: ECR must have signed an image by a rule of the registry.

use std::time::Duration;

use ecr_types::{Digest, RepositoryName};
use tokio::time::Instant;

use super::session::Session;
use crate::aws::{SIGNING_STATUS, ServiceError};
use crate::cli::report::SignedManifest;
use crate::scan::index;
use crate::signing::{RequiredProfile, SigningVerdict};

/// How long ECR may take to say that it is signing an image.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Waits for signatures.
pub struct SigningGate<'a> {
    session: &'a Session<'a>,
    required: &'a RequiredProfile,
    timeout: Duration,
    end: Instant,
}

impl<'a> SigningGate<'a> {
    /// `timeout` is the total time for all images, from now on.
    pub fn new(session: &'a Session<'a>, required: &'a RequiredProfile, timeout: Duration) -> Self {
        Self { session, required, timeout, end: Instant::now() + timeout }
    }

    /// The verdicts about the manifests of an image.
    pub async fn image(&self, name: &RepositoryName, digest: &Digest) -> anyhow::Result<Vec<SignedManifest>> {
        let mut signed = Vec::new();
        for digest in self.manifests(name, digest).await? {
            let verdict = self.verdict(name, &digest).await?;
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
