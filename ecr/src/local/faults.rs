//! Failures on demand: for tests of clients, ours and others'.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Mutex;

/// What to do to requests of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `deny=OPERATION`: answer that the permission is missing.
    Deny(String),
    /// `ignore=OPERATION`: answer a change of a repository's settings well, and leave them as they were.
    Ignore(String),
    /// `throttle=OPERATION:N`: answer the first N requests that there were too many.
    Throttle(String, u32),
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is not a fault: write deny=OPERATION, ignore=OPERATION or throttle=OPERATION:N")
        };
        let operation = |it: &str| it.strip_prefix("ecr:").unwrap_or(it).to_owned();
        match text.split_once('=').ok_or_else(wrong)? {
            ("deny", name) if !name.is_empty() => Ok(Self::Deny(operation(name))),
            ("ignore", name) if !name.is_empty() => Ok(Self::Ignore(operation(name))),
            ("throttle", rest) => {
                let (name, times) = rest.split_once(':').ok_or_else(wrong)?;
                Ok(Self::Throttle(operation(name), times.parse().map_err(|_| wrong())?))
            }
            _ => Err(wrong()),
        }
    }
}

/// The faults of a server, and what is left of them.
#[derive(Debug, Default)]
pub struct Faults {
    denied: Vec<String>,
    ignored: Vec<String>,
    throttled: Mutex<BTreeMap<String, u32>>,
}

impl Faults {
    /// The faults to inject.
    pub fn new(faults: &[Fault]) -> Self {
        let mut all = Self::default();
        let mut throttled = BTreeMap::new();
        for fault in faults {
            match fault {
                Fault::Deny(operation) => all.denied.push(operation.clone()),
                Fault::Ignore(operation) => all.ignored.push(operation.clone()),
                Fault::Throttle(operation, times) => drop(throttled.insert(operation.clone(), *times)),
            }
        }
        all.throttled = Mutex::new(throttled);
        all
    }

    /// Whether the permission for an operation is missing.
    pub fn denies(&self, operation: &str) -> bool {
        self.denied.iter().any(|it| it == operation)
    }

    /// Whether an operation changes nothing.
    pub fn ignores(&self, operation: &str) -> bool {
        self.ignored.iter().any(|it| it == operation)
    }

    /// Whether this request is one too many; each call uses one up.
    pub fn throttles(&self, operation: &str) -> bool {
        let mut throttled = self.throttled.lock().unwrap_or_else(|it| it.into_inner());
        match throttled.get_mut(operation) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}
