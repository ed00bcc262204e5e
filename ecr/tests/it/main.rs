//! The one integration test binary: the real command, the real AWS SDK, and the embedded ECR on 127.0.0.1:0.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::result_large_err, reason = "the SDK makes its errors as large as it likes")]

mod bases;
mod configuration;
mod create;
mod delete;
mod export;
mod hub;
mod iam;
mod images;
mod lifecycle;
mod local;
mod login;
mod output;
mod plan;
mod platforms;
mod proxy;
mod push;
mod registry;
mod scan;
mod status;
mod support;
mod tidy;
mod trouble;
