//! The one integration test binary: the real command, the real AWS SDK, and the embedded ECR on 127.0.0.1:0.

mod configuration;
mod create;
mod delete;
mod local;
mod output;
mod plan;
mod push;
mod support;
mod tidy;
