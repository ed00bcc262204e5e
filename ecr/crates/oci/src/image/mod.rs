//! Images: files -> deterministic layers -> config -> manifest. Equal input gives equal bytes and digests.

pub mod assemble;
pub mod base;
pub mod bundle;
pub mod compression;
pub mod elf;
pub mod gzip;
pub mod layer;
pub mod loader;
pub mod place;
pub mod scratch;
pub mod tree;
pub mod zstd;
