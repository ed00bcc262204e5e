//! Names and digests that are validated when they are parsed.

use std::fmt;
use std::str::FromStr;

/// The text is not a valid name, digest or id. The message names the text and the allowed form in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(String);

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $check:path) => {
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
        $(#[$doc])*
        pub struct $type(String);

        impl $type {
            /// The value as text, exactly as it was parsed.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of an ECR repository, 2 to 256 characters, such as `team/my-app` (service model, `RepositoryName`).
    /// It does not contain the registry's host.
    #[cfg_attr(feature = "schemars", schemars(extend("minLength" = 2, "maxLength" = 256, "pattern" = r"^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$")))]
    RepositoryName,
    check_repository_name
);
name!(
    /// An image tag, 1 to 128 characters (OCI distribution specification, "Pulling manifests").
    /// The service model allows 300 characters, but no client can push or pull such a tag.
    #[cfg_attr(feature = "schemars", schemars(extend("pattern" = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")))]
    ImageTag,
    check_image_tag
);
name!(
    /// A content digest, `sha256:` and 64 lower-case hexadecimal digits (OCI image specification, "Digests").
    #[cfg_attr(feature = "schemars", schemars(extend("pattern" = "^sha256:[0-9a-f]{64}$")))]
    Digest,
    check_digest
);
name!(
    /// The id of a registry, which is the id of its AWS account: 12 digits (service model, `RegistryId`).
    #[cfg_attr(feature = "schemars", schemars(extend("pattern" = "^[0-9]{12}$")))]
    RegistryId,
    check_registry_id
);
name!(
    /// The code of an AWS region, such as `us-east-1`: lower-case letters, digits and `-`, which is safe in a host name.
    /// Whether AWS has such a region is not checked.
    #[cfg_attr(feature = "schemars", schemars(extend("pattern" = "^[a-z0-9-]+$")))]
    Region,
    check_region
);

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self::from_hash(&sha2::Sha256::digest(bytes))
    }

    /// The digest with the 32 bytes of a SHA-256 hash.
    pub fn from_hash(hash: &[u8]) -> Self {
        Self(format!("sha256:{}", hex::encode(hash)))
    }

    /// The 32 bytes of the hash, the reverse of [`Digest::from_hash`].
    pub fn to_hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        // A digest has 64 hexadecimal digits.
        let _ = hex::decode_to_slice(self.hex(), &mut hash);
        hash
    }

    /// The 64 hexadecimal digits, without `sha256:`.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// The first 12 hexadecimal digits, the short form that Docker displays.
    pub fn short(&self) -> &str {
        self.hex().get(..12).unwrap_or_default()
    }
}

/// Segments joined by `/`, each of lower-case letters and digits joined by `.`, `_`, `__` or one or more `-`.
fn check_repository_name(text: &str) -> Result<(), InvalidName> {
    let allowed = "2 to 256 characters: lower-case letters and digits, \
                   with `.`, `_`, `__`, `-` or `/` between them";
    let good = (2..=256).contains(&text.len()) && text.split('/').all(is_name_segment);
    good.then_some(())
        .ok_or_else(|| InvalidName(format!("`{text}` is not a valid repository name ({allowed})")))
}

/// Whether a text can stand between two slashes of a repository's name, as ECR and Docker have it: lower-case letters and digits,
/// with single `.`, one or two `_`, or any number of `-` between them (distribution/reference, `pathComponent`).
pub fn is_name_segment(segment: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = segment.starts_with(alphanumeric) && segment.ends_with(alphanumeric);
    let mut separators = segment.split(alphanumeric);
    ends && separators.all(|it| matches!(it, "" | "." | "_" | "__") || it.bytes().all(|b| b == b'-'))
}

fn check_image_tag(text: &str) -> Result<(), InvalidName> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let good = (1..=128).contains(&text.len())
        && text.starts_with(word)
        && text.chars().all(|c| word(c) || c == '.' || c == '-');
    good.then_some(()).ok_or_else(|| {
        InvalidName(format!(
            "`{text}` is not a valid image tag \
             (1 to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`)"
        ))
    })
}

fn check_digest(text: &str) -> Result<(), InvalidName> {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    let good = digits.len() == 64 && digits.chars().all(hex);
    good.then_some(()).ok_or_else(|| {
        InvalidName(format!("`{text}` is not a digest (`sha256:` and 64 lower-case hexadecimal digits)"))
    })
}

fn check_registry_id(text: &str) -> Result<(), InvalidName> {
    let good = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    good.then_some(())
        .ok_or_else(|| InvalidName(format!("`{text}` is not an AWS account number (12 digits)")))
}

fn check_region(text: &str) -> Result<(), InvalidName> {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = !text.is_empty() && text.bytes().all(is_allowed);
    good.then_some(()).ok_or_else(|| InvalidName(format!("`{text}` is not an AWS region such as us-east-1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_name_follows_the_service_model() {
        for good in ["my-app", "a1", "a/b", "team/my_app", "a__b", "a---b", "a.b/c-d/e", &"a".repeat(256)] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "My-app",
            "-app",
            "app-",
            "a..b",
            "a._b",
            "a___b",
            "a//b",
            "/ab",
            "ab/",
            "a b",
            "ä1",
            "../x",
            &"a".repeat(257),
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn image_tag_follows_the_distribution_specification() {
        for good in ["1.0.0", "latest", "_x", "A-b.c_d", &"t".repeat(128)] {
            assert!(good.parse::<ImageTag>().is_ok(), "{good}");
        }
        for bad in ["", ".x", "-x", "a b", "a/b", "a:b", "a+b", &"t".repeat(129)] {
            assert!(bad.parse::<ImageTag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn digest_is_sha256_in_lower_case() {
        let empty = Digest::of(b"");
        assert_eq!(empty.as_str(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(empty.short(), "e3b0c44298fc");
        assert_eq!(Digest::from_hash(&empty.to_hash()), empty);
        assert!(empty.as_str().to_uppercase().parse::<Digest>().is_err());
        assert!("sha256:../../etc/passwd".parse::<Digest>().is_err());
    }

    #[test]
    fn registry_id_is_an_account_number() {
        assert!("123456789012".parse::<RegistryId>().is_ok());
        assert!("12345678901".parse::<RegistryId>().is_err());
        assert!("12345678901x".parse::<RegistryId>().is_err());
    }
}
