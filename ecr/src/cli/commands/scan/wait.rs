//! Waiting for a scan: as long as it makes sense, and never for ever.

use std::time::Duration;

use tokio::time::Instant;

use super::Target;
use crate::aws::ServiceError;
use crate::cli::commands::session::Session;
use crate::scan::{ImageScan, ScanProgress};

/// How long a command waits for scans, all of them together.
pub struct Wait {
    timeout: Duration,
    end: Instant,
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long an answer may take, even where there is no time to wait.
const ANSWER: Duration = Duration::from_secs(15);
/// How long an answer without a date has to stay as it is.
const SETTLED: Duration = Duration::from_secs(10);

impl Wait {
    /// From now on, for so long.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, end: Instant::now() + timeout }
    }

    fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// The scan of an image, once there are findings, or it is clear that there will be none, or the time is over.
    pub async fn scan(
        &self,
        session: &Session<'_>,
        target: &Target,
    ) -> Result<Option<ImageScan>, ServiceError> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut waiting = None;
        let mut same: Option<(Instant, ImageScan)> = None;
        loop {
            let asked = session.aws.scan(&target.subject.repository, &target.subject.digest);
            // A service that does not answer, or only says that it is busy, is not waited for any longer.
            let scan = tokio::time::timeout(self.left().max(ANSWER), asked).await;
            let scan =
                scan.unwrap_or_else(|_| Err(ServiceError::timed_out("ecr:DescribeImageScanFindings")))?;
            let scan = scan.map(|it| settled(&mut same, it));
            let is_over = match &scan {
                Some(scan) => scan.progress() != ScanProgress::Running,
                // ECR begins to scan a moment after the push.
                None => began.elapsed() >= target.grace,
            };
            let left = self.left();
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

/// Notes how long the answer has been the same.
fn settled(same: &mut Option<(Instant, ImageScan)>, scan: ImageScan) -> ImageScan {
    let since = match same.take() {
        Some((since, earlier)) if earlier == scan => since,
        _ => Instant::now(),
    };
    *same = Some((since, scan.clone()));
    ImageScan { is_settled: since.elapsed() >= SETTLED, ..scan }
}
