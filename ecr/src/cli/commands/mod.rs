//! One module per command. Each loads its input, decides, acts and reports.

mod bases;
pub mod create;
pub mod delete;
mod endpoint;
mod expiry;
pub mod iam_policy;
pub mod images;
pub mod lifecycle;
pub mod login;
mod parts;
pub mod pin_bases;
pub mod plan;
pub mod push;
mod read_back;
mod registry;
pub mod resolve;
pub mod scan;
mod selection;
pub mod serve;
mod session;
pub mod status;
mod storage;
