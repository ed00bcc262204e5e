//! Types of Amazon ECR and of OCI images: names, digests, platforms, media types, manifests and timestamps, and parsed
//! configuration text with source positions.
//!
//! A value is validated when it is parsed and stays valid. Nothing in this crate reads a file, the environment or the
//! clock, except the module `property` for tests.
//!
//! ```
//! use ecr_types::{Digest, ImageTag, RepositoryName};
//!
//! let name: RepositoryName = "team/my-app".parse()?;
//! let tag: ImageTag = "1.0.0".parse()?;
//! let digest = Digest::of(b"content");
//! assert_eq!(format!("{name}:{tag}@{}", digest.short()), "team/my-app:1.0.0@ed7002b439e9");
//! assert!("Team/My App".parse::<RepositoryName>().is_err());
//! # Ok::<(), ecr_types::InvalidName>(())
//! ```

pub mod document;
pub mod error;
pub mod host;
pub mod human;
pub mod manifest;
pub mod media_type;
mod name;
pub mod namespace;
mod pattern;
pub mod permission;
mod platform;
pub mod policy;
#[cfg(feature = "proptest")]
pub mod property;
mod repository;
mod sync;
pub mod text;
mod time;
pub mod url;

pub use manifest::{Descriptor, ImageIndex, ImageManifest, InvalidManifest, Manifest};
pub use name::{Digest, ImageTag, InvalidName, Region, RegistryId, RepositoryName, is_name_segment};
pub use pattern::Pattern;
pub use platform::{InvalidPlatform, Platform};
pub use repository::{EncryptionType, ImageTagMutability, InvalidValue, ScanningRule};
pub use sync::lock;
pub use time::{InvalidTimestamp, Timestamp};
