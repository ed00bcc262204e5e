//! An Amazon ECR on 127.0.0.1: the control plane (JSON 1.1), STS `GetCallerIdentity`, and the registry under `/v2/`, over
//! one state on disk. For tests of any code that talks to ECR, in any language: it takes every AWS SDK, Docker and
//! other OCI clients, and needs no account.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let ecr = ecr_embedded::Server::ephemeral().await?;
//! // Point the code under test to it: AWS_ENDPOINT_URL, or `endpoint_url` of an AWS SDK.
//! assert!(ecr.url().starts_with("http://127.0.0.1:"));
//! # Ok::<(), ecr_embedded::StartError>(())
//! # }).unwrap();
//! ```
//!
//! [`Server::builder`] chooses the folder of the state, the port, the account and the region, and injects faults:
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use ecr_embedded::Server;
//!
//! let ecr = Server::builder()
//!     .account("123456789012".parse()?)
//!     .fault("throttle=PutImage:2".parse()?)
//!     .start()
//!     .await?;
//! # drop(ecr);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! It answers as ECR does: the exceptions, sentences and statuses of AWS, the constraints of the service model, immutable
//! tags on both planes, lifecycle policies checked and previewed. Signatures are not checked; a request belongs to the
//! region of its credential scope. An operation that is not supported is refused by name.
//!
//! # Map
//!
//! [`Server`] tells the planes apart; `api` and `distribution` read requests and write answers; `images` holds the rules
//! that both share; `model` is the state as values, `store` the state on disk.

mod api;
mod blobs;
mod builder;
mod check;
mod distribution;
mod error;
mod faults;
#[cfg(test)]
mod fuzz;
mod http;
mod images;
mod lock;
mod model;
mod page;
mod server;
mod service_model;
mod shared;
mod store;
mod sweep;
mod token;
mod upload;

pub use builder::{Builder, StartError};
pub use check::{Check, check};
pub use faults::{Fault, InvalidFault};
pub use server::Server;

use ecr_types::{Region, RegistryId};

/// The port of `ecr serve`, unless another one is chosen.
pub const DEFAULT_PORT: u16 = 4510;

/// The account, unless another one is chosen: 000000000000.
pub fn default_account() -> RegistryId {
    "000000000000".parse().unwrap_or_else(|_| unreachable!("12 digits"))
}

/// The region of requests that name none, unless another one is chosen: us-east-1.
pub fn default_region() -> Region {
    "us-east-1".parse().unwrap_or_else(|_| unreachable!("the name of a region"))
}
