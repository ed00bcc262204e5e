//! The document of `ecr pin-bases`.

use ecr_oci::reference::Reference;
use ecr_types::Digest;
use ecr_types::document::Place;
use serde::Serialize;

use crate::config::pins::{self, PinState};

/// The base images of the manifests.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PinReport {
    /// The bases, in the order of their positions.
    pub bases: Vec<PinnedBase>,
    /// Whether the digests were written.
    pub written: bool,
}

/// A base image in a manifest.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PinnedBase {
    /// The path of the manifest.
    pub file: String,
    /// The line, counted from 1.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub line: usize,
    /// The column in characters, counted from 1.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub column: usize,
    /// The reference in the manifest.
    pub base: String,
    /// The state of its digest. Null if the tag could not be read.
    pub state: Option<PinState>,
    /// The reference with the digest of its tag. Null if the tag could not be read.
    pub pinned: Option<String>,
    /// Why the tag could not be read, or the digest not written. Absent if there is no error.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub error: Option<String>,
}

impl PinnedBase {
    /// A base whose tag could not be read.
    pub fn failed(place: &Place, base: &Reference, error: String) -> Self {
        Self { error: Some(error), ..Self::unread(place, base) }
    }

    /// A base whose tag names the image `now`.
    pub fn new(place: &Place, base: &Reference, now: &Digest) -> Self {
        let state = pins::state(base, now);
        let pinned = match state {
            PinState::DigestOnly => base.to_string(),
            _ => pins::pinned(base, now),
        };
        Self { state: Some(state), pinned: Some(pinned), ..Self::unread(place, base) }
    }

    fn unread(place: &Place, base: &Reference) -> Self {
        Self {
            file: place.file.to_string(),
            line: place.line,
            column: place.column,
            base: base.to_string(),
            state: None,
            pinned: None,
            error: None,
        }
    }

    /// The new reference, if the manifest would be changed.
    pub fn change(&self) -> Option<&str> {
        self.pinned.as_deref().filter(|it| *it != self.base)
    }

    /// The line for people.
    pub fn line(&self) -> String {
        let place = format!("{}:{}:{}", self.file, self.line, self.column);
        match (self.change(), self.state) {
            (Some(pinned), _) => format!("{place}: {} -> {pinned}", self.base),
            (None, Some(PinState::DigestOnly)) => {
                format!("{place}: {} has no tag to compare with", self.base)
            }
            (None, Some(_)) => format!("{place}: {} is current", self.base),
            (None, None) => format!("{place}: {} is unknown", self.base),
        }
    }
}
