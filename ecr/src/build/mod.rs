//! Building images with cargo, docker or podman, and reading the state of git.

pub mod advice;
pub mod bases;
mod check;
pub mod compile;
pub mod docker;
pub mod files;
pub mod git;
pub mod image;
pub mod inputs;
pub mod layers;
pub mod method;
mod together;
