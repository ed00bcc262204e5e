//! Building images: cargo, docker and podman, git.

pub mod advice;
pub mod compile;
pub mod docker;
pub mod git;
