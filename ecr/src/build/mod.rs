//! Building images: cargo, docker and podman, git.

pub mod advice;
pub mod bases;
pub mod compile;
pub mod docker;
pub mod git;
pub mod image;
pub mod method;
