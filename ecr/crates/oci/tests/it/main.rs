//! The one integration test binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bombs;
mod elf;
mod loader;
mod properties;
mod pull;
mod support;
mod trees;
