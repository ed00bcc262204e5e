//! The integration tests, in one binary: the real command and the real AWS SDK against an embedded ECR on a free port.
//!
//! The name of a test begins with its subject, such as the command, and tells the condition and the result. Most tests begin
//! with a [`support::Fixture`]. `UPDATE_EXPECT=1 cargo test` rewrites the snapshots.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
#![allow(clippy::result_large_err, reason = "the errors of the SDK are large")]

mod bases;
mod branches;
mod clock;
mod configuration;
mod context;
mod create;
mod credentials;
mod delete;
mod docs;
mod doubt;
mod encoding;
mod environment;
mod environments;
mod explain;
mod export;
mod files;
mod gate;
mod git;
mod hostile;
mod hub;
mod iam;
mod images;
mod init;
mod interruption;
mod keys;
mod lifecycle;
mod local;
mod login;
mod output;
mod owner;
mod pages;
mod parts;
mod permissions;
mod pins;
mod plan;
mod platforms;
mod promote;
mod prose;
mod proxy;
mod push;
mod registry;
mod registry_settings;
mod resolve;
mod scan;
mod services;
mod settings;
mod signing;
mod since;
mod status;
mod support;
mod tidy;
mod together;
mod trouble;
mod truth;
mod usage;
mod waits;
