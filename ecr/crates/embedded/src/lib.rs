//! An emulation of Amazon ECR on 127.0.0.1, for tests of code that uses ECR, in any language. It needs no AWS account.
//!
//! One server has the ECR API (AWS JSON 1.1), STS (`GetCallerIdentity`, `AssumeRole`, `AssumeRoleWithWebIdentity`), and the OCI
//! distribution API under `/v2/`, all with the same state on disk. It works with all AWS SDKs, with Docker and with other OCI clients.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let ecr = ecr_embedded::Server::ephemeral().await?;
//! // Configure the code under test: AWS_ENDPOINT_URL, or `endpoint_url` of an AWS SDK.
//! assert!(ecr.url().starts_with("http://127.0.0.1:"));
//! # Ok::<(), ecr_embedded::StartError>(())
//! # }).unwrap();
//! ```
//!
//! [`Server::builder`] sets the folder of the state, the port, the account and the region, and injects faults:
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
//! A test can begin with images of any age, and move the clock:
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use ecr_embedded::Server;
//!
//! let ecr = Server::builder()
//!     .seed(r#"{"repositories": [{"name": "my-app", "images": [{"tags": ["1.0.0"], "age": "90d"}]}]}"#)?
//!     .account_of("other", "444455556666".parse()?)
//!     .start()
//!     .await?;
//! ecr.set_now("2030-01-31T12:00:00Z".parse()?);
//! ecr.reset()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! `ecr/docs/embedded-ecr.md` describes the seed, and how tests in other languages use the server.
//!
//! # Fidelity
//!
//! The server is as strict as ECR where ECR's behaviour is known. Requests are validated with the constraints of the service
//! model, and responses have the exceptions, messages and status codes of ECR. Tags are immutable in both APIs, lifecycle
//! policies are validated and previewed, and repository and registry policies decide between accounts. Where the OCI
//! distribution specification differs, ECR's way is the default, and [`Builder::oci`] the specification's.
//!
//! Signatures are not verified; the region of a request is that of its credential scope. Nothing is scanned, signed or
//! expired. An operation that is not supported fails with `UnsupportedOperationException`.
//!
//! # Modules
//!
//! `server` routes requests. `api` (the ECR API, here called control plane) and `distribution` (the data plane) parse requests
//! and write responses. `sts` answers in the query protocol, and knows whose registry a session token gives. `images` has the rules for images that both share. `model` has the records of the
//! state, and `store` keeps them on disk.

mod access;
mod api;
mod builder;
mod check;
mod contents;
mod control;
mod convert;
mod creation;
mod distribution;
mod error;
mod faults;
#[cfg(test)]
mod fuzz;
mod http;
mod images;
mod model;
mod page;
mod replication;
mod schema1;
mod seed;
mod server;
mod service_model;
mod shared;
mod store;
mod sts;
mod token;
mod transport;
mod uploads;
mod upstream;

pub use builder::{Builder, InvalidSeed, StartError};
pub use check::{Check, check};
pub use faults::{Fault, InvalidFault};
pub use server::Server;

pub use ecr_types::{Region, RegistryId, Timestamp};

/// The default TCP port of the command `ecr serve`. A [`Builder`] uses any free port by default.
pub const DEFAULT_PORT: u16 = 4510;

/// The default account: 000000000000.
pub fn default_account() -> RegistryId {
    "000000000000".parse().unwrap_or_else(|_| unreachable!("12 digits"))
}

/// The default region of requests without a credential scope: us-east-1.
pub fn default_region() -> Region {
    "us-east-1".parse().unwrap_or_else(|_| unreachable!("the name of a region"))
}
