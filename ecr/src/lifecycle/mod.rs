//! Lifecycle policies: what they say.

pub mod policy;
