//! The one integration test binary: properties of the engine, and what ECR documents.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod lints;
mod plain;
mod properties;
mod readings;
mod reports;
mod strategies;
mod vectors;
