//! The part of the document of `push` about signatures.

use ecr_types::Digest;
use serde::Serialize;

use crate::cli::shell::Printable;
use crate::cli::table::Tone;
use crate::signing::SigningVerdict;

/// A manifest of an image, and whether ECR has signed it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SignedManifest {
    /// The digest of the image, of its index, or of an image that the index lists.
    pub digest: Digest,
    /// Whether the required signatures exist.
    #[cfg_attr(test, schemars(extend("enum" = ["signed", "failed", "in-progress", "missing"])))]
    status: &'static str,
    /// The ARNs of the AWS Signer profiles that signed it. Empty unless it is signed.
    profiles: Vec<String>,
    /// Why it is not signed. Null if it is.
    reason: Option<String>,
}

impl SignedManifest {
    /// The report of a verdict. `missing` says that no rule is about the image.
    pub fn new(digest: Digest, verdict: SigningVerdict, missing: &str) -> Self {
        let (status, profiles, reason) = match verdict {
            SigningVerdict::Signed(profiles) => ("signed", profiles, None),
            SigningVerdict::Failed(reason) => ("failed", Vec::new(), Some(reason)),
            SigningVerdict::InProgress => {
                ("in-progress", Vec::new(), Some("ECR has not signed it in time".to_owned()))
            }
            SigningVerdict::Missing => ("missing", Vec::new(), Some(missing.to_owned())),
        };
        Self { digest, status, profiles, reason }
    }

    /// Whether it is signed.
    pub fn is_signed(&self) -> bool {
        self.reason.is_none()
    }

    /// The line for people.
    pub fn line(&self) -> Printable {
        let (tone, text) = match &self.reason {
            None => (Tone::Good, format!("signed with {}", self.profiles.join(", "))),
            Some(reason) => (Tone::Bad, format!("not signed: {reason}")),
        };
        Printable::from("    ") + self.digest.short() + "  " + tone.paint(&text)
    }
}
