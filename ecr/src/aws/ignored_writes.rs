//! A file in the target folder with the writes that AWS accepted without effect, so that they are not repeated on every
//! run.
//!
//! Without the file, as in a new checkout, the write is tried again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ecr_oci::files;
use ecr_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::now;
use crate::plan::IgnoredWrite;

/// The time in seconds in which a write without effect is not repeated. The setting that overrides the field may change.
const LIFETIME: i64 = 24 * 60 * 60;

/// The file of one workspace.
#[derive(Debug)]
pub struct IgnoredWrites(PathBuf);

/// An entry of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    write: IgnoredWrite,
    /// The time of the write, in seconds since 1970. Entries of earlier versions have none, and do not count: those versions
    /// took the word of a single answer.
    written_at: i64,
}

impl IgnoredWrites {
    /// The file below the target folder `target`.
    pub fn new(target: &Path) -> Self {
        Self(target.join("xtask-ecr/ignored-writes.json"))
    }

    /// The recorded writes. Empty if the file is missing or cannot be read. Entries that are older than a day are left out.
    pub fn known(&self) -> Vec<IgnoredWrite> {
        self.records(now()).into_iter().map(|it| it.write).collect()
    }

    /// Adds writes to the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&self, found: &[IgnoredWrite]) -> io::Result<()> {
        let now = now();
        let mut records = self.records(now);
        records.retain(|it| !found.contains(&it.write));
        records.extend(found.iter().map(|it| Record { write: it.clone(), written_at: now.seconds() }));
        self.write(&records)
    }

    /// Removes the writes for which `is_over` holds. Does not touch the file if there are none.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget(&self, is_over: impl Fn(&IgnoredWrite) -> bool) -> io::Result<()> {
        let mut records = self.records(now());
        let before = records.len();
        records.retain(|it| !is_over(&it.write));
        if records.len() == before { Ok(()) } else { self.write(&records) }
    }

    fn write(&self, records: &[Record]) -> io::Result<()> {
        files::write(&self.0, &serde_json::to_vec_pretty(records)?)
    }

    fn records(&self, now: Timestamp) -> Vec<Record> {
        read(&fs::read(&self.0).unwrap_or_default(), now.seconds())
    }
}

/// The entries of a file that count at the time `now`, in seconds. A clock that was set back makes none of them count.
fn read(text: &[u8], now: i64) -> Vec<Record> {
    let mut records: Vec<Record> = serde_json::from_slice(text).unwrap_or_default();
    records.retain(|it| (0..=LIFETIME).contains(&(now - it.written_at)));
    records
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_count_for_a_day() {
        let record = |written_at: serde_json::Value| {
            let mut it = json!({"arn": "a", "field": "scanOnPush", "observed": false, "desired": true});
            if !written_at.is_null() {
                it["written_at"] = written_at;
            }
            json!([it]).to_string()
        };
        let count = |text: String| read(text.as_bytes(), 1_000_000).len();
        assert_eq!(count(record(json!(1_000_000))), 1);
        assert_eq!(count(record(json!(1_000_000 - LIFETIME))), 1);
        assert_eq!(count(record(json!(1_000_000 - LIFETIME - 1))), 0);
        assert_eq!(count(record(json!(1_000_001))), 0);
        assert_eq!(count(record(json!(null))), 0);
        assert_eq!(count("[".to_owned()), 0);
    }
}
