//! Reading the configuration: manifests and `repositories.json` -> [`desired::Desired`].

pub mod definitions;
pub mod desired;
pub mod environments;
pub mod files;
pub mod metadata;
pub mod pins;
pub mod price;
mod reader;
pub mod settings;
pub mod tag_template;
pub mod workspace;

/// A text that is not a valid value. The message names the text and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSetting(pub String);
