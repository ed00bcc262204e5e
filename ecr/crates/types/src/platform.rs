//! Platforms in the notation of Docker and containerd, such as `linux/arm64/v8`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The platform of an image. Its text is `os/architecture` or `os/architecture/variant`, such as `linux/arm64/v8`. Its
/// JSON is the `platform` object of an image index (OCI image specification, "Image Index").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// The CPU architecture in the spelling of GOARCH: `amd64`, `arm64`.
    #[serde(default)]
    pub architecture: String,
    /// The operating system in the spelling of GOOS: `linux`.
    #[serde(default)]
    pub os: String,
    /// The variant of the CPU architecture: `v7`, `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// The text is not a platform of Linux in the form `linux/architecture` or `linux/architecture/variant`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a platform such as linux/amd64 or linux/arm64")]
pub struct InvalidPlatform(String);

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// Accepts `linux` only, the operating system for which services are built. JSON may name any other one.
impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let is_word = |it: &&str| !it.is_empty() && it.chars().all(|c| c.is_ascii_alphanumeric());
        let parts: Vec<_> = text.split('/').collect();
        match parts.as_slice() {
            ["linux", architecture, variant @ ..] if variant.len() <= 1 && parts.iter().all(is_word) => {
                Ok(Self {
                    architecture: (*architecture).to_owned(),
                    os: "linux".to_owned(),
                    variant: variant.first().map(|it| (*it).to_owned()),
                })
            }
            _ => Err(InvalidPlatform(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platform_round_trips_as_text() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in ["", "linux", "windows/amd64", "linux/", "linux/arm/v7/x", "linux/a b"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
