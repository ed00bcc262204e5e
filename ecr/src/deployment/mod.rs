//! Deployment files: texts with placeholders such as `ecr://my-app`, which stand for images of the workspace.
//!
//! A placeholder is found in the bytes of a text, not in a tree that a parser makes of it, so that everything else stays as
//! it is: comments, anchors, quotes, ends of lines. It works in YAML, JSON, HCL, Helm templates and any other text.

pub mod files;
mod image;
mod marker;
mod placeholders;
mod pushed;
mod stream;
#[cfg(test)]
mod tests;
mod values;

pub use image::DeployedImage;
pub use placeholders::{Placeholder, find, is_in_utf16};
pub use pushed::{PushedImage, PushedImages};
pub use stream::{Kind, joined};
pub use values::{UnknownFormat, ValuesFormat, values};

use std::fmt;
use std::ops::Range;

/// The beginning of a placeholder.
pub const SCHEME: &str = "ecr://";

/// The part of an image's reference that a placeholder stands for. It is written as a fragment: `ecr://my-app#digest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `HOST/NAME@sha256:...`. It is the part of a placeholder without a fragment.
    Reference,
    /// `HOST/NAME:TAG@sha256:...`. The tag is for people: what is pulled is the digest.
    Tagged,
    /// `HOST/NAME`.
    Repository,
    /// `sha256:...`.
    Digest,
    /// The tag.
    Tag,
}

impl Part {
    /// The parts with a fragment.
    pub const NAMED: [Self; 4] = [Self::Tagged, Self::Repository, Self::Digest, Self::Tag];

    /// The fragment, without `#`.
    pub fn fragment(self) -> &'static str {
        match self {
            Self::Reference => "",
            Self::Tagged => "tagged",
            Self::Repository => "repository",
            Self::Digest => "digest",
            Self::Tag => "tag",
        }
    }

    fn of_fragment(fragment: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|it| it.fragment() == fragment)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fragment())
    }
}

/// The text with other texts in the place of spans, which are sorted and do not overlap.
pub fn replaced(text: &str, replacements: &[(Range<usize>, String)]) -> String {
    let mut result = String::with_capacity(text.len() + 100 * replacements.len());
    let mut end = 0;
    for (span, replacement) in replacements {
        result.push_str(&text[end..span.start]);
        result.push_str(replacement);
        end = span.end;
    }
    result.push_str(&text[end..]);
    result
}
