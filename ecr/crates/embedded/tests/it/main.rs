//! The server from outside: raw requests, and what ECR is known to answer.

#![expect(clippy::unwrap_used, reason = "tests")]

mod access;
mod facts;
mod lists;
mod operations;
mod seed;
mod support;
mod takeover;
#[cfg(feature = "tls")]
mod tls;
mod uploads;
