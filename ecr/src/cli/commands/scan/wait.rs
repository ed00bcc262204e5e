//! Waits for a scan to complete, within a time limit.

use std::time::Duration;

use tokio::time::Instant;

use super::ScanTarget;
use crate::aws::ServiceError;
use crate::cli::commands::session::Session;
use crate::scan::{ImageScan, ScanProgress};

/// The time limit of a command for all of its scans.
pub struct ScanWaiter {
    timeout: Duration,
    end: Instant,
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// The minimum time limit of one request, even if the total time is over.
const MIN_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a result without a completion time must stay unchanged to count as complete.
const SETTLE_TIME: Duration = Duration::from_secs(10);

impl ScanWaiter {
    /// The limit begins now.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, end: Instant::now() + timeout }
    }

    fn remaining(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Polls the scan of an image until it is complete, cannot complete, or the time is over.
    pub async fn scan(
        &self,
        session: &Session<'_>,
        target: &ScanTarget,
    ) -> Result<Option<ImageScan>, ServiceError> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut waiting = None;
        let mut unchanged: Option<(Instant, ImageScan)> = None;
        loop {
            let request = session.aws.scan(&target.subject.repository, &target.subject.digest);
            // The limit includes the SDK's retries, for example while the service throttles requests.
            let scan = tokio::time::timeout(self.remaining().max(MIN_REQUEST_TIMEOUT), request).await;
            let scan =
                scan.unwrap_or_else(|_| Err(ServiceError::timed_out("ecr:DescribeImageScanFindings")))?;
            let scan = scan.map(|it| track_changes(&mut unchanged, it));
            let is_over = match &scan {
                Some(scan) => scan.progress() != ScanProgress::Running,
                None => began.elapsed() >= target.start_timeout,
            };
            let remaining = self.remaining();
            if is_over || remaining.is_zero() {
                return Ok(scan);
            }
            let name = target.subject.to_string();
            let waiting =
                waiting.get_or_insert_with(|| session.shell.waiting("Scanning", name, self.timeout));
            waiting.sleep(pause.min(remaining)).await;
            pause = (pause * 3 / 2).min(MAX_PAUSE);
        }
    }
}

/// Records since when the result has been unchanged.
fn track_changes(unchanged: &mut Option<(Instant, ImageScan)>, scan: ImageScan) -> ImageScan {
    let since = match unchanged.take() {
        Some((since, earlier)) if earlier == scan => since,
        _ => Instant::now(),
    };
    *unchanged = Some((since, scan.clone()));
    ImageScan { is_settled: since.elapsed() >= SETTLE_TIME, ..scan }
}
