//! A cargo xtask that keeps Amazon ECR repositories and images in step with a Rust workspace.
//!
//! The whole of an xtask: `fn main() -> std::process::ExitCode { xtask_ecr::main() }`.
//!
//! An xtask with tasks of its own mounts [`Task`], or any of the commands, in its own enum. Each command runs to its exit
//! code:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! #[derive(clap::Parser)]
//! enum MyTask {
//!     /// Something that only this project does
//!     Own,
//!     /// Build the images and push them
//!     Deploy(xtask_ecr::Push),
//!     #[command(flatten)]
//!     Rest(xtask_ecr::Task),
//! }
//!
//! fn main() -> ExitCode {
//!     match xtask_ecr::parse("cargo xtask") {
//!         Ok(MyTask::Own) => ExitCode::SUCCESS,
//!         Ok(MyTask::Deploy(push)) => push.run(),
//!         Ok(MyTask::Rest(task)) => task.run(),
//!         Err(code) => code,
//!     }
//! }
//! ```
//!
//! Exit codes: 0 done, 1 failed (usage errors included), 2 `plan --check` found changes, 3 an immutable tag holds another
//! image, 4 the scan gate failed, 5 refused, 130 interrupted.
//!
//! # Map
//!
//! ```text
//! cli         flags, commands, reports, the terminal: a command loads, decides, does, reports
//! config      manifests and repositories.json -> what the registry shall be, each value with its place
//! plan        (desired, observed) -> steps
//! build       cargo, docker, podman, git -> images
//! aws         identity, observe, apply, tokens; IAM documents
//! inventory   the images of a repository, and what they cost
//! scan        what scanners found, and the gate
//! ```
//!
//! Below lie four crates that know neither clap nor the AWS SDK: `ecr-oci` (layers, layouts, registries, the HTTP client),
//! `ecr-lifecycle` (policies), `ecr-embedded` (the embedded ECR) and `ecr-types`. `docs/architecture.md` says more.

mod aws;
mod build;
mod cli;
mod clock;
mod config;
mod inventory;
mod plan;
mod scan;

use std::ffi::OsString;
use std::process::ExitCode;

pub use cli::flags::{
    Create, Delete, EcrTask, IamPolicy, Images, LifecycleCheck, LifecyclePreview, LifecycleTask, Login, Plan,
    Push, Scan, Serve, Status, Task,
};

/// The AWS SDK's HTTP client, for the integration tests of this package.
#[doc(hidden)]
pub use aws::Connections;

/// Runs the tasks of `cargo xtask`: all of an xtask's `main`.
pub fn main() -> ExitCode {
    main_with_args("cargo xtask", std::env::args_os().skip(1))
}

/// The same under another name and with given arguments, without the program's own.
pub fn main_with_args(name: &'static str, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match cli::parse_from::<cli::flags::Cli>(name, args) {
        Ok(cli) => cli.task.run(),
        Err(code) => code,
    }
}

/// Reads the arguments of this process as the command line of an xtask of one's own. `name` is what people type before
/// them, for usage texts.
///
/// # Errors
/// Help and version were printed (exit code 0), or what is wrong with the arguments was (exit code 1).
pub fn parse<C: clap::Parser>(name: &'static str) -> Result<C, ExitCode> {
    cli::parse_from(name, std::env::args_os().skip(1))
}
