//! Timestamps as in the ECR API (seconds since 1970) and in RFC 3339.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time with a resolution of one nanosecond. Times before 1677 and after 2262 are clamped.
///
/// ```
/// use ecr_types::Timestamp;
///
/// let pushed: Timestamp = "2026-06-15T14:00:00+02:00".parse()?;
/// assert_eq!(pushed.to_string(), "2026-06-15T12:00:00Z");
/// # Ok::<(), ecr_types::InvalidTimestamp>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "schemars",
    derive(schemars::JsonSchema),
    schemars(
        description = "A time in UTC in the format of RFC 3339, with milliseconds if they are not 0.",
        extend(
            "format" = "date-time",
            "pattern" = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})?Z$"
        )
    )
)]
pub struct Timestamp(#[cfg_attr(feature = "schemars", schemars(with = "String"))] i64);

/// The text is not a date and time of RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a time such as 2026-06-15T12:00:00Z")]
pub struct InvalidTimestamp(String);

impl Timestamp {
    /// The time at `nanoseconds` after 1970-01-01T00:00:00Z.
    pub fn from_nanoseconds(nanoseconds: i128) -> Self {
        Self(nanoseconds.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// The time at `seconds` after 1970-01-01T00:00:00Z, the form of timestamps in the JSON of the ECR API. It is rounded to
    /// milliseconds.
    pub fn from_seconds(seconds: f64) -> Self {
        // ECR stores milliseconds, and an `f64` of this size has no more precise digits.
        Self::from_nanoseconds((seconds * 1000.0).round() as i128 * 1_000_000)
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// The nanoseconds from `earlier` to this time; negative if `earlier` is later.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This many nanoseconds later.
    #[must_use]
    pub fn plus(self, nanoseconds: i64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }
}

/// RFC 3339 in UTC, with milliseconds if they are not 0.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time =
            OffsetDateTime::from_unix_timestamp_nanos(self.0.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (date, month) = (time.date(), u8::from(time.month()));
        write!(f, "{:04}-{month:02}-{:02}T", date.year(), date.day())?;
        write!(f, "{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())?;
        match time.millisecond() {
            0 => f.write_str("Z"),
            milliseconds => write!(f, ".{milliseconds:03}Z"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// RFC 3339, with any offset and any fraction of a second.
impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339);
        let parsed = parsed.map_err(|_| InvalidTimestamp(text.to_owned()))?;
        Ok(Self::from_nanoseconds(parsed.unix_timestamp_nanos()))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_does_not_depend_on_the_offset() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(at("2026-06-15T12:00:00Z"), at("2026-06-15T14:00:00.000+02:00"));
        assert_eq!(at("1970-01-01T00:00:01.5Z").0, 1_500_000_000);
        assert_eq!(at("9999-12-31T23:59:59Z").0, i64::MAX);
        assert_eq!(Timestamp::from_seconds(1.25).0, 1_250_000_000);
        assert!("yesterday".parse::<Timestamp>().is_err());
        let shown = |text: &str| at(text).to_string();
        assert_eq!(shown("2026-06-15T14:00:00.25+02:00"), "2026-06-15T12:00:00.250Z");
        assert_eq!(shown("1969-12-31T23:59:59Z"), "1969-12-31T23:59:59Z");
    }
}
