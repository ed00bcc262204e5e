//! The fault table: each command with each fault of each operation that it asks for, against the real command, the real
//! AWS SDK and an embedded ECR behind a proxy that does one thing wrong. And pairs of commands side by side.
//!
//! Nothing is listed twice: the operations of a command are those of a run without a fault.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
#![allow(clippy::result_large_err, reason = "the errors of the SDK are large")]

mod commands;
mod kinds;
mod message;
mod pairs;
mod proxy;
mod stage;
#[allow(dead_code, reason = "the tests of `it` use the rest")]
#[path = "../it/support/mod.rs"]
mod support;
mod table;
