//! Waiting for a scan: as long as it makes sense, and never for ever.

use std::time::{Duration, Instant};

use crate::aws::ServiceError;
use crate::commands::session::{Session, now};
use crate::scan::{Progress, Scan};

use super::Target;

/// How long a command waits for scans, all of them together.
pub struct Wait {
    timeout: Duration,
    end: Instant,
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long after its push an image may still be without any scan, in nanoseconds: ECR begins a moment later.
const YOUNG: i64 = 30_000_000_000;

impl Wait {
    /// From now on, for so long.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, end: Instant::now() + timeout }
    }

    /// The scan of an image, once there are findings, or it is clear that there will be none, or the time is over.
    pub async fn scan(&self, session: &Session<'_>, target: &Target) -> Result<Option<Scan>, ServiceError> {
        let mut pause = FIRST_PAUSE;
        let mut waiting = None;
        loop {
            let scan = session.aws.scan(&target.subject.repository, &target.subject.digest).await?;
            let is_over = match &scan {
                Some(scan) => scan.progress() != Progress::Running,
                None => target.pushed_at.is_none_or(|it| now().since(it) >= YOUNG),
            };
            let left = self.end.saturating_duration_since(Instant::now());
            if is_over || left.is_zero() {
                return Ok(scan);
            }
            let name = target.subject.to_string();
            let waiting =
                waiting.get_or_insert_with(|| session.shell.waiting("Scanning", name, self.timeout));
            waiting.sleep(pause.min(left)).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }
}
