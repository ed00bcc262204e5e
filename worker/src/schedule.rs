//! When to look next.

use std::time::Duration;

/// The longest wait, however long a target has failed.
const LONGEST: Duration = Duration::from_secs(300);

/// Waits of one interval while all is well, twice as long with each failure in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    interval: Duration,
    failures: u32,
}

impl Schedule {
    /// A schedule whose target is not known to fail.
    pub fn new(interval: Duration) -> Self {
        Self { interval, failures: 0 }
    }

    /// The wait after a look that went well or did not.
    pub fn next(&mut self, is_good: bool) -> Duration {
        self.failures = if is_good { 0 } else { self.failures.saturating_add(1) };
        let factor = 2u32.saturating_pow(self.failures);
        self.interval.saturating_mul(factor).min(LONGEST.max(self.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_are_looked_at_less_often() {
        let mut schedule = Schedule::new(Duration::from_secs(10));
        let waits = [true, false, false, false, true].map(|it| schedule.next(it).as_secs());
        assert_eq!(waits, [10, 20, 40, 80, 10]);
        let last = (0..100).map(|_| schedule.next(false)).last();
        assert_eq!(last, Some(LONGEST));
    }

    #[test]
    fn a_long_interval_is_not_cut_short() {
        let mut schedule = Schedule::new(Duration::from_secs(3600));
        assert_eq!(schedule.next(false).as_secs(), 3600);
    }
}
