//! One file a command: load -> decide -> do -> report.

pub mod create;
pub mod delete;
mod expiry;
mod failure;
pub mod lifecycle;
pub mod plan;
pub mod push;
mod selection;
pub mod serve;
mod session;
