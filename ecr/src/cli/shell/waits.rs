//! Lines about requests: `Waiting for HOST (throttled)` and, with `-v`, what was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ecr_oci::http::{OnAnswer, OnWait};
use ecr_types::lock;

use super::{GOOD, Printable, Shell, Verbosity};
use crate::process::Patience;

/// The minimum time between two lines about requests that wait for one host.
const WAIT_INTERVAL: Duration = Duration::from_secs(29);

impl Shell {
    /// How long to wait for a program, and the lines that tell about it.
    pub fn patience(&self, limit: Duration) -> Patience {
        let next = Duration::from_secs(30);
        Patience { limit, first: Self::PATIENCE, next, on_wait: self.wait_printer() }
    }

    /// A function that shows for which host a request waits, and why, at most twice a minute for each. It is to be called
    /// after [`Shell::PATIENCE`].
    pub fn wait_printer(&self) -> OnWait {
        let (print, told) = (self.line_printer(), Mutex::new(BTreeMap::<String, Instant>::new()));
        Arc::new(move |host, reason| {
            let mut told = lock(&told);
            if told.get(host).is_none_or(|it| it.elapsed() >= WAIT_INTERVAL) {
                told.insert(host.to_owned(), Instant::now());
                let label = Printable::from("     Waiting").styled(GOOD);
                let reason = reason.map(|it| format!(" ({it})")).unwrap_or_default();
                print((label + " for " + Printable::line(&format!("{host}{reason}"))).as_str());
            }
        })
    }

    /// With `-v`, a function that shows requests and their answers.
    pub fn request_printer(&self) -> Option<OnAnswer> {
        let print = (self.verbosity >= Verbosity::Verbose).then(|| self.line_printer())?;
        Some(Arc::new(move |answer| {
            let label = Printable::from("     Request").styled(GOOD);
            print((label + " " + Printable::line(&answer.to_string())).as_str());
        }))
    }
}
