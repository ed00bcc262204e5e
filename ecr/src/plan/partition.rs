//! Parts of the services, for jobs that run side by side.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use ecr_types::Digest;
use thiserror::Error;

/// Part I of N parts: `2/3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// From 1 to `count`.
    part: u32,
    count: NonZeroU32,
}

/// A text that is not a part.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a part I/N such as 1/3, with I from 1 to N")]
pub struct InvalidPartition(String);

impl Partition {
    /// Whether a package is in this part. That depends on its name alone, so that it stays where it is when others come.
    pub fn contains(&self, package: &str) -> bool {
        let hash = Digest::of(package.as_bytes()).to_hash();
        let number = hash.first_chunk().map_or(0, |it| u64::from_be_bytes(*it));
        number % u64::from(self.count.get()) == u64::from(self.part - 1)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.part, self.count)
    }
}

impl FromStr for Partition {
    type Err = InvalidPartition;

    fn from_str(text: &str) -> Result<Self, InvalidPartition> {
        let numbers = text
            .split_once('/')
            .and_then(|(part, count)| Some(Self { part: part.parse().ok()?, count: count.parse().ok()? }));
        let valid = numbers.filter(|it| (1..=it.count.get()).contains(&it.part));
        valid.ok_or_else(|| InvalidPartition(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_in_one_part() {
        let names: Vec<_> = (0..60).map(|n| format!("service-{n}")).collect();
        for count in [1, 2, 3, 7] {
            let parts: Vec<Partition> =
                (1..=count).map(|it| format!("{it}/{count}").parse().unwrap()).collect();
            for name in &names {
                assert_eq!(parts.iter().filter(|it| it.contains(name)).count(), 1);
            }
            let sizes = parts.iter().map(|part| names.iter().filter(|it| part.contains(it)).count());
            assert!(sizes.min() > Some(3), "60 packages in {count} parts");
        }
        let part: Partition = "1/3".parse().unwrap();
        let first: Vec<_> = names.iter().take(6).filter(|it| part.contains(it)).collect();
        assert_eq!(first, ["service-4"], "the same in every version");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "1", "0/3", "4/3", "1/0", "a/b", "1/3/5", "-1/3"] {
            assert!(text.parse::<Partition>().is_err(), "{text}");
        }
        assert_eq!(
            "0/3".parse::<Partition>().unwrap_err().to_string(),
            "`0/3` is not a part I/N such as 1/3, with I from 1 to N"
        );
    }
}
