//! OCI and Docker images: deterministic layers and manifests, image layouts, and clients of registries.
//!
//! Files become a [`Layer`](image::layer::Layer), layers an [`Image`](image::assemble::Image), and equal input gives equal
//! digests:
//!
//! ```
//! use std::num::NonZero;
//!
//! use ecr_oci::image::assemble::{Image, ImageSettings};
//! use ecr_oci::image::compression::Compression;
//! use ecr_oci::image::layer::Files;
//! use ecr_types::Digest;
//!
//! let mut files = Files::default();
//! files.bytes("/usr/local/bin/my-app", 0o755, "the binary");
//! let mut blob = Vec::new();
//! let layer = files.write(&mut blob, Compression::Gzip, NonZero::<usize>::MIN)?;
//! assert_eq!(layer.digest, Digest::of(&blob));
//!
//! let settings = ImageSettings {
//!     entrypoint: "/usr/local/bin/my-app".to_owned(),
//!     user: "65532:65532".to_owned(),
//!     ..ImageSettings::default()
//! };
//! let platform = "linux/amd64".parse()?;
//! let image = Image::assemble(&platform, &settings, &[("my-app", layer)], None);
//! assert_eq!(image.digest.short(), "4c892c535481");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`layout`] writes images to files, [`registry`] pushes and pulls them over [`http`], and [`cache`] keeps compressed
//! layers between runs.
//!
//! The feature `zstd` adds layers compressed with Zstandard.

pub mod bases;
pub mod cache;
pub mod credentials;
pub mod files;
pub mod http;
pub mod image;
pub mod layout;
pub mod reference;
pub mod registry;
pub mod sources;
pub mod sweep;
pub mod trees;
