//! What build scripts of a push have told cargo, to find those that tell the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use cargo_metadata::BuildScript;
use ecr_types::{Timestamp, lock};

/// The build scripts that cargo has run, or taken from an earlier run.
#[derive(Debug, Default)]
pub struct ScriptLog(Mutex<BTreeMap<String, Vec<(String, String)>>>);

impl ScriptLog {
    pub(super) fn add(&self, script: &BuildScript) {
        lock(&self.0).insert(name_of(&script.package_id.repr), script.env.clone());
    }

    /// The packages whose scripts have set a variable to a time of the last day, each with the names of the variables. `now` is
    /// this moment. Values are not returned: they may be secret.
    pub fn clocks(&self, now: Timestamp) -> BTreeMap<String, BTreeSet<String>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (package, variables) in lock(&self.0).iter() {
            let times = variables.iter().filter(|(_, value)| is_recent(value, now.seconds()));
            let names: BTreeSet<_> = times.map(|(name, _)| name.clone()).collect();
            if !names.is_empty() {
                found.insert(package.clone(), names);
            }
        }
        found
    }
}

/// The name in a package ID: `path+file:///…/FOLDER#NAME@VERSION`, or `…/NAME#VERSION`.
fn name_of(id: &str) -> String {
    let (url, rest) = id.rsplit_once('#').unwrap_or((id, ""));
    match rest.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => url.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}

const DAY: i64 = 24 * 3600;

/// Whether a text has a time of the last day: seconds, milliseconds or nanoseconds since 1970, or a date.
fn is_recent(text: &str, now: i64) -> bool {
    let is_number = |digits: &str| {
        let seconds = match digits.len() {
            10 => digits.parse(),
            13 | 16 | 19 => digits[..10].parse(),
            _ => return false,
        };
        seconds.is_ok_and(|it: i64| (now - DAY..=now + DAY).contains(&it))
    };
    let dates = [now - DAY, now, now + DAY].map(|it| Timestamp::from_seconds(it as f64).to_string());
    text.split(|c: char| !c.is_ascii_digit()).any(is_number)
        || dates.iter().any(|it| it.get(..10).is_some_and(|date| text.contains(date)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_today_are_found() {
        let now = 1_700_000_000; // 2023-11-14T22:13:20Z
        for text in [
            "1700000000",
            "built 1699999999000",
            "1699999999000000000",
            "2023-11-14 22:00",
            "at 2023-11-15T00:10",
        ] {
            assert!(is_recent(text, now), "{text}");
        }
        for text in ["", "1600000000", "2023-11-10", "12345678901", "v1.2.3"] {
            assert!(!is_recent(text, now), "{text}");
        }
    }

    #[test]
    fn names_of_package_ids() {
        assert_eq!(name_of("path+file:///w/app#1.0.0"), "app");
        assert_eq!(name_of("path+file:///w/folder#app@1.0.0"), "app");
        assert_eq!(name_of("registry+https://github.com/rust-lang/crates.io-index#libc@0.2.1"), "libc");
    }
}
