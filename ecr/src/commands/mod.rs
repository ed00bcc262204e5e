//! One file a command: load -> decide -> do -> report.

pub mod create;
pub mod delete;
mod failure;
pub mod plan;
pub mod push;
mod selection;
pub mod serve;
mod session;
