//! One file a command: load -> decide -> do -> report.

pub mod create;
pub mod delete;
pub mod plan;

mod selection;
pub mod serve;
mod session;
