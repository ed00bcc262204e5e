//! The records of versions 1 to 3 on disk: text with a checksum, so that a bit that flips on the disk is noticed even where the
//! text stays valid JSON.
//!
//! A line of the journal is `CHECKSUM JSON`. Before version 3 it was the JSON alone, which begins with `[`. The snapshot is
//! a line of JSON, and the checksum as a JSON string in the next line; before version 3 it was the JSON alone.

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

use super::model::Change;

/// What a journal contains.
#[derive(Debug, Default)]
pub struct Journal {
    /// The transactions that can be read, in their order.
    pub transactions: Vec<Vec<Change>>,
    /// The number of each line that is damaged, counted from 1, and why.
    pub damaged: Vec<(usize, anyhow::Error)>,
}

/// The number of hexadecimal digits of a checksum: 64 bits of SHA-256.
const CHECKSUM: usize = 16;

/// The line of a transaction, with its end.
///
/// # Errors
/// The changes cannot be encoded.
#[cfg(test)]
fn line(changes: &[Change]) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(changes).context("failed to encode a change")?;
    Ok([checksum(&json).as_bytes(), b" ", &json, b"\n"].concat())
}

/// Reads a journal. A last line without an end was not acknowledged: the process was killed while it was written.
pub fn read(text: &[u8]) -> Journal {
    let mut journal = Journal::default();
    for (n, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let read = match line.strip_suffix(b"\n") {
            Some(b"") => continue,
            Some(line) => transaction(line),
            None if transaction(line).is_ok() => transaction(line),
            // Not the end of the line is missing, but another byte stands there.
            None if line.split_last().is_some_and(|(_, line)| transaction(line).is_ok()) => {
                Err(anyhow::anyhow!("the end of the line has another byte"))
            }
            None => continue,
        };
        match read {
            Ok(changes) => journal.transactions.push(changes),
            Err(error) => journal.damaged.push((n + 1, error)),
        }
    }
    journal
}

fn transaction(line: &[u8]) -> Result<Vec<Change>> {
    let json = match line {
        [b'[', ..] => line,
        _ => {
            let (found, json) = line.split_at_checked(CHECKSUM + 1).context("the record has no checksum")?;
            ensure!(found == format!("{} ", checksum(json)).as_bytes(), "the record has another checksum");
            json
        }
    };
    Ok(serde_json::from_slice(json)?)
}

/// The text of a snapshot with its checksum. `json` has no line break at its end.
#[cfg(test)]
fn seal(json: &[u8]) -> Vec<u8> {
    [json, seal_of(json).as_bytes()].concat()
}

/// The JSON of a snapshot, and whether it has a checksum.
///
/// # Errors
/// The checksum is that of another text.
pub fn unseal(text: &[u8]) -> Result<(&[u8], bool)> {
    let (json, seal) = text.split_at(text.len().saturating_sub(CHECKSUM + 4));
    match seal {
        [b'\n', b'"', .., b'"', b'\n'] if seal == seal_of(json).as_bytes() => Ok((json, true)),
        [b'\n', b'"', .., b'"', b'\n'] => bail!("it has another checksum"),
        _ => Ok((text, false)),
    }
}

fn seal_of(json: &[u8]) -> String {
    format!("\n\"{}\"\n", checksum(json))
}

fn checksum(json: &[u8]) -> String {
    let mut text = hex::encode(Sha256::digest(json));
    text.truncate(CHECKSUM);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(tag: &str) -> Vec<Change> {
        let (key, name) = ("123456789012/us-east-1".parse().unwrap(), "my-app".parse().unwrap());
        vec![Change::DeleteTag(key, name, tag.parse().unwrap())]
    }

    fn shown(journal: &Journal) -> String {
        format!("{:?} {:?}", journal.transactions, journal.damaged)
    }

    #[test]
    fn journal_names_the_line_of_every_flipped_bit() {
        let whole = ["1.0.0", "1.0.1", "1.0.2"].map(|it| line(&changes(it)).unwrap()).concat();
        let same = shown(&read(&whole));
        let mut damaged = 0;
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut text = whole.clone();
                text[at] ^= 1 << bit;
                let journal = read(&text);
                let line = whole[..at].iter().filter(|it| **it == b'\n').count() + 1;
                let is_named = journal.damaged.first().is_some_and(|(found, _)| *found == line);
                assert!(is_named || shown(&journal) == same, "byte {at}, bit {bit}: {journal:?}");
                damaged += usize::from(is_named);
            }
        }
        assert_eq!(damaged, whole.len() * 8);
    }

    #[test]
    fn journal_drops_a_line_that_was_not_finished() {
        let (first, second) = (line(&changes("1.0.0")).unwrap(), line(&changes("1.0.1")).unwrap());
        for end in 0..=second.len() {
            let journal = read(&[&first, &second[..end]].concat());
            let whole = if end + 1 >= second.len() { 2 } else { 1 };
            assert_eq!((journal.transactions.len(), journal.damaged.len()), (whole, 0), "{end}");
        }
    }

    #[test]
    fn journal_of_an_older_version_is_read() {
        let mut old = serde_json::to_vec(&changes("1.0.0")).unwrap();
        old.push(b'\n');
        let journal = read(&[old.clone(), line(&changes("1.0.1")).unwrap(), b"[1]\n".to_vec()].concat());
        assert_eq!(journal.transactions.len(), 2);
        assert_eq!(journal.damaged.iter().map(|it| it.0).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn snapshot_shows_every_flipped_bit() {
        let json = br#"{"version":3,"secret":"00ff","model":{"registries":{}}}"#;
        let whole = seal(json);
        assert_eq!(unseal(&whole).unwrap(), (&json[..], true));
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut text = whole.clone();
                text[at] ^= 1 << bit;
                let is_json = |it: &[u8]| serde_json::from_slice::<serde_json::Value>(it).is_ok();
                let is_taken = unseal(&text).is_ok_and(|(json, _)| is_json(json));
                assert!(!is_taken, "byte {at}, bit {bit}");
            }
        }
        assert_eq!(unseal(json).unwrap(), (&json[..], false));
    }
}
