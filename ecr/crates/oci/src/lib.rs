//! Images of OCI and Docker: layers, image layouts, and the registries that hold them.

pub mod bases;
pub mod cache;
pub mod credentials;
pub mod files;
pub mod http;
pub mod image;
pub mod layout;
pub mod reference;
pub mod registry;
