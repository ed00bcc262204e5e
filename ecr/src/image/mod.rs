//! Files -> deterministic layers -> config -> manifest. Digests are derived, never stored beside the bytes.

pub mod base;
pub mod elf;
pub mod gzip;
pub mod layer;
pub mod manifest;
pub mod tag;
