//! Missing permissions. Each one is reported as a single warning, regardless of the number of denied requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use ecr_types::lock;

/// The missing permissions of a run.
#[derive(Debug, Default)]
pub struct Denials(Mutex<BTreeMap<&'static str, Denial>>);

#[derive(Debug, Default)]
struct Denial {
    consequence: &'static str,
    names: BTreeSet<String>,
    is_reported: bool,
}

impl Denials {
    /// Records that `action` (such as `ecr:TagResource`) was denied for the repository `name`. An empty `name` stands
    /// for the registry. `consequence` completes the warning.
    pub fn add(&self, action: &'static str, consequence: &'static str, name: &str) {
        let mut denials = lock(&self.0);
        let denial = denials.entry(action).or_default();
        denial.consequence = consequence;
        if !name.is_empty() {
            denial.names.insert(name.to_owned());
        }
    }

    /// One message per permission that was not reported before.
    pub fn take_messages(&self) -> Vec<String> {
        let mut denials = lock(&self.0);
        let fresh = denials.iter_mut().filter(|(_, denial)| !denial.is_reported);
        fresh
            .map(|(action, denial)| {
                denial.is_reported = true;
                format!("no permission for {action}: {}{}", denial.consequence, listed(&denial.names))
            })
            .collect()
    }
}

/// ` (a, b, c and 4 more)`.
fn listed(names: &BTreeSet<String>) -> String {
    let shown: Vec<_> = names.iter().take(3).map(String::as_str).collect();
    match names.len() {
        0 => String::new(),
        1..=3 => format!(" ({})", shown.join(", ")),
        n => format!(" ({} and {} more)", shown.join(", "), n - 3),
    }
}
