//! Files -> deterministic layers -> config -> manifest. Digests are derived, never stored beside the bytes.

pub mod assemble;
pub mod base;
pub mod bundle;
pub mod compression;
pub mod elf;
pub mod gzip;
pub mod layer;
pub mod scratch;
pub mod zstd;
