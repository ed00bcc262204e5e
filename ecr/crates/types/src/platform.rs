//! Platforms in the notation of Docker and containerd, such as `linux/arm64` or `linux/arm/v7`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The platform of an image. Its text is `os/architecture` or `os/architecture/variant`, such as `linux/arm/v7`. Its
/// JSON is the `platform` object of an image index (OCI image specification, "Image Index").
///
/// A platform from a text is in the normal form of [`Platform::normalized`]; one from JSON is as it was written.
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

/// The architectures that a text may name without an operating system, as in `docker --platform arm64`.
const ARCHITECTURES: [&str; 8] = ["386", "amd64", "arm", "arm64", "loong64", "ppc64le", "riscv64", "s390x"];

impl Platform {
    /// The normal form, in which two names of one platform are equal: `linux/x86_64` and `linux/amd64/v1` are
    /// `linux/amd64`, `linux/aarch64` and `linux/arm64/v8` are `linux/arm64`, `linux/arm` is `linux/arm/v7` (containerd,
    /// `platforms/database.go`, `normalizeArch`).
    pub fn normalized(&self) -> Self {
        let (architecture, os) = (self.architecture.to_lowercase(), self.os.to_lowercase());
        let variant = self.variant.as_deref().unwrap_or_default().to_lowercase();
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386", _) => ("386", String::new()),
            ("x86_64" | "x86-64" | "amd64", "" | "v1" | "1") => ("amd64", String::new()),
            ("x86_64" | "x86-64", _) => ("amd64", variant),
            ("aarch64" | "arm64", "" | "8" | "v8" | "8.0" | "v8.0") => ("arm64", String::new()),
            ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9".to_owned()),
            ("aarch64", _) => ("arm64", variant),
            ("armhf", _) | ("arm", "") => ("arm", "v7".to_owned()),
            ("armel", _) => ("arm", "v6".to_owned()),
            ("arm", "5" | "6" | "7" | "8") => ("arm", format!("v{variant}")),
            (other, _) => (other, variant),
        };
        let architecture = architecture.to_owned();
        Self { architecture, os, variant: (!variant.is_empty()).then_some(variant) }
    }

    /// How well an image for `found` runs on this platform: 0 for the same platform, a higher number for an older variant,
    /// `None` if it does not run. A newer variant never runs: `linux/amd64` excludes `linux/amd64/v3` (containerd,
    /// `platforms/compare.go`, `platformVector`). Unlike there, another architecture is never a substitute, because the
    /// service's binary would not match it.
    pub fn distance(&self, found: &Self) -> Option<usize> {
        let (wanted, found) = (self.normalized(), found.normalized());
        // An entry of an index without an operating system is for the one that is asked for.
        let is_os = found.os.is_empty() || wanted.os == found.os;
        if !is_os || wanted.architecture != found.architecture {
            return None;
        }
        wanted.variants().iter().position(|it| *it == found.variant)
    }

    /// The variants that run on a platform in normal form, the best first.
    fn variants(&self) -> Vec<Option<String>> {
        let own = self.variant.clone();
        let number = own.as_deref().and_then(|it| it.strip_prefix('v')?.parse::<u32>().ok());
        let older_than = |number: u32, oldest: u32| (oldest..number).rev().map(|it| Some(format!("v{it}")));
        let older: Vec<_> = match (self.architecture.as_str(), number) {
            ("amd64", Some(number)) => older_than(number, 2).chain([None]).collect(),
            ("arm", Some(number)) => older_than(number, 5).collect(),
            ("arm64", _) if own.is_some() => vec![None],
            _ => Vec::new(),
        };
        [own].into_iter().chain(older).collect()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// Accepts `linux` only, the operating system for which services are built, and an architecture alone. JSON may name any
/// other one.
impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let is_word = |it: &&str| {
            !it.is_empty() && it.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        };
        let parts: Vec<_> = text.split('/').collect();
        let of_linux = |architecture: &str, variant: Option<&str>| {
            let (architecture, os) = (architecture.to_owned(), "linux".to_owned());
            Self { architecture, os, variant: variant.map(str::to_owned) }.normalized()
        };
        match parts.as_slice() {
            [os, architecture, variant @ ..]
                if os.eq_ignore_ascii_case("linux") && variant.len() <= 1 && parts.iter().all(is_word) =>
            {
                Ok(of_linux(architecture, variant.first().copied()))
            }
            [architecture] => {
                let found = of_linux(architecture, None);
                let is_known = ARCHITECTURES.contains(&found.architecture.as_str());
                is_known.then_some(found).ok_or_else(|| InvalidPlatform(text.to_owned()))
            }
            _ => Err(InvalidPlatform(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of containerd's `platforms_test.go` (`TestParseSelector`) and `database_test.go`
    /// (`TestNormalizeArch`), where the operating system is Linux.
    #[test]
    fn platform_text_is_normalized() {
        for (text, normal) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/x86-64/v2", "linux/amd64/v2"),
            ("linux/i386", "linux/386"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/7", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/8", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/v9.0", "linux/arm64/v9"),
            ("Linux/ARM64", "linux/arm64"),
            ("linux/s390x", "linux/s390x"),
            ("arm64", "linux/arm64"),
            ("x86_64", "linux/amd64"),
        ] {
            let parsed = text.parse::<Platform>().map(|it| it.to_string());
            assert_eq!(parsed.as_deref(), Ok(normal), "{text}");
        }
        for text in
            ["", "linux", "windows/amd64", "linux/", "linux/arm/v7/x", "linux/a b", "darwin", "linux//v7"]
        {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    /// Rows of containerd's `compare_test.go` (`TestOnly`), without its substitutes of another architecture.
    #[test]
    fn platform_accepts_its_own_and_older_variants() {
        for (wanted, found, distance) in [
            ("linux/amd64", "linux/amd64", Some(0)),
            ("linux/amd64", "linux/amd64/v1", Some(0)),
            ("linux/amd64", "linux/amd64/v2", None),
            ("linux/amd64", "linux/386", None),
            ("linux/amd64/v3", "linux/amd64/v3", Some(0)),
            ("linux/amd64/v3", "linux/amd64/v2", Some(1)),
            ("linux/amd64/v3", "linux/amd64", Some(2)),
            ("linux/amd64/v2", "linux/amd64/v3", None),
            ("linux/arm64", "linux/arm64/v8", Some(0)),
            ("linux/arm64", "linux/arm64/v9", None),
            ("linux/arm64/v9", "linux/arm64", Some(1)),
            ("linux/arm64", "linux/arm/v7", None),
            ("linux/arm", "linux/arm/v7", Some(0)),
            ("linux/arm/v7", "linux/arm/v6", Some(1)),
            ("linux/arm/v7", "linux/arm/v5", Some(2)),
            ("linux/arm/v6", "linux/arm/v7", None),
            ("linux/arm/v4", "linux/arm/v4", Some(0)),
            ("linux/arm64/v8.1", "linux/arm64", Some(1)),
            ("linux/ppc64le", "linux/ppc64le", Some(0)),
            ("linux/riscv64", "linux/riscv64/rva22u64", None),
        ] {
            let parse = |it: &str| it.parse::<Platform>().unwrap();
            assert_eq!(parse(wanted).distance(&parse(found)), distance, "{found} on {wanted}");
        }
        let windows = Platform { architecture: "amd64".to_owned(), os: "windows".to_owned(), variant: None };
        assert_eq!("linux/amd64".parse::<Platform>().unwrap().distance(&windows), None);
    }
}
