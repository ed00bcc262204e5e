//! The system clock.

use std::time::{SystemTime, UNIX_EPOCH};

use ecr_types::Timestamp;

/// The current time.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanoseconds(i128::try_from(since.as_nanos()).unwrap_or(i128::MAX))
}
