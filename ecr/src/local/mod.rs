//! The embedded ECR: control plane, STS and `/v2/` on 127.0.0.1, over one state on disk.
//!
//! [`server`] tells the planes apart; [`api`] and [`distribution`] read requests and write answers; [`images`]
//! holds the rules that both share; [`model`] is the state as values, [`store`] the state on disk.

mod api;
mod distribution;
mod error;
mod faults;
#[cfg(test)]
mod fuzz;
mod http;
mod images;
pub mod lock;
mod model;
mod page;
mod server;
mod shared;
mod store;
mod sweep;
mod token;
mod upload;

pub use faults::Fault;
pub use server::{Options, Server};
pub use sweep::check;

/// The port of `ecr serve`, unless it is told another.
pub const DEFAULT_PORT: u16 = 4510;
