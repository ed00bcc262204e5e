//! The ignore file, with findings that the gate ignores until a date:
//!
//! ```toml
//! [[ignore]]
//! id = "CVE-2024-6119"
//! reason = "we verify no e-mail addresses in certificates"
//! expires = 2027-03-31   # the last day on which the entry is valid, UTC
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use ecr_types::document::{Fields, Located, Node, Place, Problem, Problems, Value, parse_toml};
use time::Month;

use crate::config::InvalidSetting;

/// A date in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(time::Date);

impl Date {
    /// The date of a time in `seconds` since 1970.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        let moment = time::OffsetDateTime::from_unix_timestamp(seconds);
        Self(moment.map_or(time::Date::MAX, time::OffsetDateTime::date))
    }
}

impl FromStr for Date {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let wrong = || InvalidSetting(format!("`{text}` is not a date such as 2027-03-31"));
        let parts: Vec<_> = text.split('-').collect();
        let [year, month, day] = parts.as_slice() else { return Err(wrong()) };
        let is_padded = (year.len(), month.len(), day.len()) == (4, 2, 2) && !text.contains('+');
        let month = month.parse::<u8>().ok().and_then(|it| Month::try_from(it).ok());
        let (Some(month), Ok(year), Ok(day), true) = (month, year.parse(), day.parse(), is_padded) else {
            return Err(wrong());
        };
        time::Date::from_calendar_date(year, month, day).map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), u8::from(self.0.month()), self.0.day())
    }
}

/// A finding that is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreEntry {
    pub place: Place,
    /// The identifier of the finding.
    pub id: String,
    /// Why the finding is acceptable.
    pub reason: String,
    /// The last day on which the entry is valid.
    pub expires: Date,
}

/// The entries of an ignore file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IgnoreFile {
    /// Valid entries.
    pub current: Vec<IgnoreEntry>,
    /// Expired entries.
    pub expired: Vec<IgnoreEntry>,
}

impl IgnoreFile {
    /// Parses a file. `file` is its name in messages. Entries that expire before `today` are expired.
    ///
    /// # Errors
    /// All problems at once: keys that are unknown, missing or of the wrong type, empty values, and duplicate entries.
    pub fn read(file: &str, text: &str, today: Date) -> Result<Self, Vec<Problem>> {
        let problems = Problems::default();
        let node = parse_toml(file, text).map_err(|it| vec![it])?;
        let mut fields = Fields::new(&node, "the file", &problems);
        let entries = fields.list("ignore", IgnoreEntry::read).map(|it| it.value).unwrap_or_default();
        fields.finish();
        let mut seen = BTreeSet::new();
        for entry in entries.iter().filter(|it| !seen.insert(it.id.to_ascii_lowercase())) {
            problems.add(&entry.place, format!("duplicate entry for `{}`", entry.id));
        }
        problems.into_result()?;
        let (current, expired) = entries.into_iter().partition(|it| it.expires >= today);
        Ok(Self { current, expired })
    }

    /// Whether a finding is ignored.
    pub fn covers(&self, id: &str) -> bool {
        self.current.iter().any(|it| it.id.eq_ignore_ascii_case(id))
    }

    /// The valid entries for which there is no finding in `found`.
    pub fn stale<'a>(&'a self, found: &'a BTreeSet<String>) -> impl Iterator<Item = &'a IgnoreEntry> {
        let is_found = |it: &&IgnoreEntry| found.iter().any(|id| id.eq_ignore_ascii_case(&it.id));
        self.current.iter().filter(move |it| !is_found(it))
    }
}

impl IgnoreEntry {
    fn read(node: &Node, problems: &Problems) -> Option<Self> {
        let mut fields = Fields::new(node, "an entry of `ignore`", problems);
        let (id, reason) = (fields.string("id"), fields.string("reason"));
        let expires = fields.node("expires").and_then(|it| date(it, problems));
        for (key, is_there) in [
            ("id", fields.node("id").is_some()),
            ("reason", fields.node("reason").is_some()),
            ("expires", fields.node("expires").is_some()),
        ] {
            if !is_there && matches!(node.value, Value::Table(_)) {
                problems.add(&node.place, format!("an entry of `ignore` needs `{key}`"));
            }
        }
        fields.finish();
        for empty in [&id, &reason].into_iter().flatten().filter(|it| it.value.trim().is_empty()) {
            problems.add(&empty.place, "this value must not be empty");
        }
        for id in id.iter().filter(|it| it.value.trim() != it.value) {
            problems.add(&id.place, format!("`{}` has leading or trailing white space", id.value));
        }
        Some(Self {
            place: node.place.clone(),
            id: id?.value,
            reason: reason?.value,
            expires: expires?.value,
        })
    }
}

/// Reads a TOML date, or a string that contains a date.
fn date(node: &Node, problems: &Problems) -> Option<Located<Date>> {
    let (Value::Datetime(text) | Value::String(text)) = &node.value else {
        problems
            .add(&node.place, format!("`expires` must be a date such as 2027-03-31, found {}", node.kind()));
        return None;
    };
    match text.parse() {
        Ok(value) => Some(Located { place: node.place.clone(), value }),
        Err(reason) => {
            problems.add(&node.place, reason.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn today() -> Date {
        "2026-06-15".parse().unwrap()
    }

    #[test]
    fn ignore_file_separates_expired_entries() {
        let text = "[[ignore]]\nid = 'CVE-1'\nreason = 'a'\nexpires = 2026-06-15\n\
                    [[ignore]]\nid = 'CVE-2'\nreason = 'b'\nexpires = '2026-06-14'\n";
        let file = IgnoreFile::read("ignore.toml", text, today()).unwrap();
        assert_eq!((file.current[0].id.as_str(), file.expired[0].id.as_str()), ("CVE-1", "CVE-2"));
        assert!(file.covers("cve-1") && !file.covers("CVE-2"));
        assert_eq!(file.stale(&BTreeSet::new()).count(), 1);
        assert_eq!(file.stale(&BTreeSet::from(["CVE-1".to_owned()])).count(), 0);
        assert_eq!(file.current[0].expires.to_string(), "2026-06-15");
    }

    #[test]
    fn ignore_file_reports_all_problems_at_once() {
        let text = "[[ignore]]\nid = 'CVE-1'\nreson = 'a'\nexpires = '2026-02-30'\n\
                    [[ignore]]\nid = 'CVE-1'\nreason = ' '\nexpires = 5\n";
        let problems = IgnoreFile::read("ignore.toml", text, today()).unwrap_err();
        let shown: Vec<_> = problems.iter().map(|it| format!("{}: {}", it.place, it.message)).collect();
        expect_test::expect![[r#"
            ignore.toml:1:1: an entry of `ignore` needs `reason`
            ignore.toml:3:1: unknown key `reson` in an entry of `ignore`
            ignore.toml:4:11: `2026-02-30` is not a date such as 2027-03-31
            ignore.toml:7:10: this value must not be empty
            ignore.toml:8:11: `expires` must be a date such as 2027-03-31, found a number"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn date_is_parsed_and_displayed() {
        assert_eq!(Date::from_unix_seconds(86_399).to_string(), "1970-01-01");
        assert!("2026-02-30".parse::<Date>().is_err() && "2026-2-3".parse::<Date>().is_err());
    }
}
