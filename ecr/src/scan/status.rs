//! The statuses of scans, their descriptions, and help for the user.

use super::ImageScan;

/// `imageScanStatus.status` (API reference, `ImageScanStatus`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanStatus {
    InProgress,
    Complete,
    Failed,
    UnsupportedImage,
    /// Continuous scanning, which is never complete.
    Active,
    Pending,
    ScanEligibilityExpired,
    FindingsUnavailable,
    LimitExceeded,
    ImageArchived,
    /// A value that this version does not know.
    Other(String),
}

/// The values of the API that are known, for tests and for the JSON Schema.
#[cfg(test)]
pub const SCAN_STATUSES: [&str; 10] = [
    "IN_PROGRESS",
    "COMPLETE",
    "FAILED",
    "UNSUPPORTED_IMAGE",
    "ACTIVE",
    "PENDING",
    "SCAN_ELIGIBILITY_EXPIRED",
    "FINDINGS_UNAVAILABLE",
    "LIMIT_EXCEEDED",
    "IMAGE_ARCHIVED",
];

/// The state of a scan for a caller that waits for its findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanProgress {
    /// The findings are available.
    Done,
    /// The findings are not available yet.
    Running,
    /// ECR cannot scan this image.
    Unsupported,
    /// There will be no findings.
    Stopped,
}

impl ScanStatus {
    /// Parses the API value.
    pub fn from_api(text: &str) -> Self {
        match text {
            "IN_PROGRESS" => Self::InProgress,
            "COMPLETE" => Self::Complete,
            "FAILED" => Self::Failed,
            "UNSUPPORTED_IMAGE" => Self::UnsupportedImage,
            "ACTIVE" => Self::Active,
            "PENDING" => Self::Pending,
            "SCAN_ELIGIBILITY_EXPIRED" => Self::ScanEligibilityExpired,
            "FINDINGS_UNAVAILABLE" => Self::FindingsUnavailable,
            "LIMIT_EXCEEDED" => Self::LimitExceeded,
            "IMAGE_ARCHIVED" => Self::ImageArchived,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The API value.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Complete => "COMPLETE",
            Self::Failed => "FAILED",
            Self::UnsupportedImage => "UNSUPPORTED_IMAGE",
            Self::Active => "ACTIVE",
            Self::Pending => "PENDING",
            Self::ScanEligibilityExpired => "SCAN_ELIGIBILITY_EXPIRED",
            Self::FindingsUnavailable => "FINDINGS_UNAVAILABLE",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::ImageArchived => "IMAGE_ARCHIVED",
            Self::Other(text) => text,
        }
    }

    /// A short text for a column of a table.
    pub fn short(&self) -> &str {
        match self {
            Self::InProgress => "in progress",
            Self::Complete | Self::Active => "scanned",
            Self::Failed => "failed",
            Self::UnsupportedImage => "unsupported",
            Self::Pending => "pending",
            Self::ScanEligibilityExpired => "expired",
            Self::FindingsUnavailable => "unavailable",
            Self::LimitExceeded => "over limit",
            Self::ImageArchived => "archived",
            Self::Other(text) => text,
        }
    }

    /// The description of the status.
    fn meaning(&self) -> &str {
        match self {
            Self::InProgress => "the scan is running",
            Self::Complete => "the scan is complete",
            Self::Failed => "the scan failed",
            Self::UnsupportedImage => "ECR cannot scan this image: it contains no supported operating system",
            Self::Active => "scanned continuously, as new vulnerabilities become known",
            Self::Pending => "the scan has not started yet",
            Self::ScanEligibilityExpired => {
                "Amazon Inspector no longer scans this image: its rescan duration has expired"
            }
            Self::FindingsUnavailable => "the findings are unavailable at the moment",
            Self::LimitExceeded => "the scan quota of the account is exceeded",
            Self::ImageArchived => "archived images are not scanned",
            Self::Other(_) => "this version does not know the status",
        }
    }

    fn help(&self) -> Option<&'static str> {
        match self {
            Self::Failed => Some(
                "start another scan (once in 24 hours) with `aws ecr start-image-scan`, or push the image again",
            ),
            Self::UnsupportedImage => {
                Some("scan it with `trivy image` or `grype`; with `--unsupported pass` it passes the gate")
            }
            Self::Pending => Some("wait longer with --timeout; enhanced scanning may take some minutes"),
            Self::InProgress => Some("wait longer with --timeout"),
            Self::ScanEligibilityExpired => Some(
                "push the image again, or extend the rescan duration in the settings of Amazon Inspector",
            ),
            Self::FindingsUnavailable => Some("try again later"),
            Self::LimitExceeded => Some("wait a day, or request a higher quota from AWS"),
            Self::ImageArchived => Some("restore the image with `aws ecr update-image-storage-class`"),
            Self::Other(_) => Some("update xtask-ecr, or see `ImageScanStatus` in the ECR API reference"),
            Self::Complete | Self::Active => None,
        }
    }
}

impl ImageScan {
    /// The state of the scan for a caller that waits for its findings.
    pub fn progress(&self) -> ScanProgress {
        match self.status {
            ScanStatus::InProgress | ScanStatus::Pending => ScanProgress::Running,
            ScanStatus::Complete | ScanStatus::Active if self.has_results() => ScanProgress::Done,
            ScanStatus::Complete | ScanStatus::Active => ScanProgress::Running,
            ScanStatus::UnsupportedImage => ScanProgress::Unsupported,
            // Basic scanning reports an unsupported image as a failed scan.
            ScanStatus::Failed if self.is_unsupported_image() => ScanProgress::Unsupported,
            _ => ScanProgress::Stopped,
        }
    }

    fn is_unsupported_image(&self) -> bool {
        self.description.as_deref().is_some_and(|it| it.contains("UnsupportedImageError"))
    }

    /// The description of the state.
    pub fn meaning(&self) -> &str {
        match self.progress() {
            ScanProgress::Running if matches!(self.status, ScanStatus::Complete | ScanStatus::Active) => {
                "the scan is complete, but its findings are not available yet"
            }
            ScanProgress::Unsupported => ScanStatus::UnsupportedImage.meaning(),
            _ => self.status.meaning(),
        }
    }

    /// What the user can do about the state.
    pub fn help(&self) -> Option<&'static str> {
        match self.progress() {
            ScanProgress::Done => None,
            ScanProgress::Running => self.status.help().or(ScanStatus::InProgress.help()),
            ScanProgress::Unsupported => ScanStatus::UnsupportedImage.help(),
            ScanProgress::Stopped => self.status.help(),
        }
    }
}

/// The description of an image that was never scanned, and the help.
pub const NEVER_SCANNED: (&str, &str) = (
    "it was never scanned",
    "enable scan on push (`scan-on-push = true`), or start a scan with `aws ecr start-image-scan`",
);

#[cfg(test)]
mod tests {
    use super::super::tests::{basic, finding};
    use super::super::{Counts, Fix, Severity};
    use super::*;

    fn with(status: ScanStatus, description: Option<&str>) -> ImageScan {
        ImageScan { status, description: description.map(str::to_owned), ..basic(Vec::new()) }
    }

    #[test]
    fn scan_that_is_complete_without_results_is_running() {
        let empty = || ImageScan { has_completion_time: false, counts: None, ..basic(Vec::new()) };
        assert_eq!(empty().progress(), ScanProgress::Running);
        assert_eq!(ImageScan { status: ScanStatus::Active, ..empty() }.progress(), ScanProgress::Running);
        assert_eq!(ImageScan { has_completion_time: true, ..empty() }.progress(), ScanProgress::Done);
        assert_eq!(ImageScan { counts: Some(Counts::new()), ..empty() }.progress(), ScanProgress::Running);
        assert_eq!(ImageScan { is_settled: true, ..empty() }.progress(), ScanProgress::Running);
        // The finding is counted, but not listed yet.
        let counts = Some(Counts::from([(Severity::High, 1)]));
        assert_eq!(
            ImageScan { counts, has_completion_time: true, ..empty() }.progress(),
            ScanProgress::Running
        );
        let one = basic(vec![finding("CVE-1", Severity::Low, Fix::Unknown)]);
        let undated = || ImageScan { has_completion_time: false, counts: None, ..one.clone() };
        assert_eq!(undated().progress(), ScanProgress::Running);
        assert_eq!(ImageScan { is_settled: true, ..undated() }.progress(), ScanProgress::Done);
    }

    #[test]
    fn status_has_a_description_and_help() {
        for text in SCAN_STATUSES {
            let status = ScanStatus::from_api(text);
            assert_eq!(status.as_str(), text);
            let scan = with(status, None);
            assert!(!scan.meaning().is_empty() && scan.status.short().len() <= 12, "{text}");
            assert_eq!(scan.help().is_none(), scan.progress() == ScanProgress::Done, "{text}");
        }
        assert_eq!(with(ScanStatus::from_api("NEW"), None).progress(), ScanProgress::Stopped);
    }

    #[test]
    fn scan_that_failed_for_an_unsupported_image_is_unsupported() {
        let why =
            Some("UnsupportedImageError: The operating system and/or package manager are not supported.");
        assert_eq!(with(ScanStatus::Failed, why).progress(), ScanProgress::Unsupported);
        assert_eq!(with(ScanStatus::Failed, Some("internal error")).progress(), ScanProgress::Stopped);
    }
}
