//! Files -> deterministic layers -> config -> manifest. Digests are derived, never stored beside the bytes.

pub mod tag;
