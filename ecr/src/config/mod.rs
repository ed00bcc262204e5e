//! What the workspace asks for: manifests and `repositories.json` -> [`desired::Desired`].

pub mod definitions;
pub mod desired;
pub mod files;
pub mod metadata;
pub mod settings;
pub mod tag_template;
pub mod workspace;
