//! What the workspace asks for: manifests and `repositories.json` -> [`desired::Desired`].

pub mod definitions;
pub mod desired;
pub mod files;
pub mod metadata;
pub mod price;
pub mod settings;
pub mod tag_template;
pub mod workspace;

/// Why a text is not a value of some kind: what was found and what is allowed, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub String);
