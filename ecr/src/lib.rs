//! A cargo xtask that manages the Amazon ECR repositories and images of a Rust workspace.
//!
//! A complete xtask is `fn main() -> std::process::ExitCode { xtask_ecr::main() }`.
//!
//! An xtask with tasks of its own adds [`Task`], or single commands, to its own enum. The method `run` of a
//! command returns its exit code:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! #[derive(clap::Parser)]
//! enum MyTask {
//!     /// A task of this project
//!     Custom,
//!     /// Build the images and push them
//!     Deploy(xtask_ecr::Push),
//!     #[command(flatten)]
//!     Standard(xtask_ecr::Task),
//! }
//!
//! fn main() -> ExitCode {
//!     match xtask_ecr::parse("cargo xtask") {
//!         Ok(MyTask::Custom) => ExitCode::SUCCESS,
//!         Ok(MyTask::Deploy(push)) => push.run(),
//!         Ok(MyTask::Standard(task)) => task.run(),
//!         Err(code) => code,
//!     }
//! }
//! ```
//!
//! Exit codes: 0 success, 1 failure (including usage errors), 2 `plan --check`, `pin-bases --check` or `resolve
//! --check` found changes, 3 an immutable tag points to another image, 4 a gate failed, 5 refused, 130 interrupted.
//!
//! # Modules
//!
//! ```text
//! adoption    what a workspace needs to use this tool
//! affected    which services a change can affect
//! cli         flags, commands, reports and terminal output
//! config      the desired state from Cargo.toml files and repositories.json; each value with its place
//! plan        the steps from the observed state of the repositories to the desired state
//! registry    the settings of a whole registry: what they mean for repositories, and the steps to the desired ones
//! deployment  texts with ecr://NAME, and the references of images that take their place
//! build       builds images with cargo, docker or podman
//! aws         the requests to AWS, and IAM policy documents
//! inventory   the images of a repository and their storage cost
//! promotion   what an environment runs, by the tags of its images
//! scan        the findings of image scans, and the scan gate
//! references  lists of digest references
//! signing     the signatures of images, and the signing gate
//! ```
//!
//! The tool uses four crates that depend neither on clap nor on the AWS SDK: `ecr-oci` (layers, layouts,
//! registries and the HTTP client), `ecr-lifecycle` (lifecycle policies), `ecr-embedded` (the embedded ECR)
//! and `ecr-types`. `docs/architecture.md` describes the design.

mod adoption;
mod affected;
mod aws;
mod build;
mod cli;
mod clock;
mod config;
mod deployment;
mod inventory;
mod plan;
mod process;
mod promotion;
mod references;
mod registry;
mod scan;
mod signing;
mod threads;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

pub use cli::flags::{
    Completions, Create, Delete, DeliveryTask, Deployed, EcrTask, Explain, IamPolicy, Images, Init,
    LifecycleCheck, LifecyclePreview, LifecycleTask, Login, Man, PinBases, Plan, Promote, Push, Resolve,
    Scan, Serve, Status, Task,
};

use cli::program::Program;

/// The AWS SDK's HTTP client, for the integration tests of this package.
#[doc(hidden)]
pub use aws::Connections;

/// Runs [`Task`] with the arguments of this process, under the name `cargo xtask`, and returns the exit code.
pub fn main() -> ExitCode {
    main_with_args("cargo xtask", std::env::args_os().skip(1))
}

/// Runs [`Task`] with the arguments `args`, which do not include the program's name, and returns the exit
/// code. `name` is the command that usage texts and advice show, such as `cargo xtask`.
pub fn main_with_args(name: &'static str, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match cli::parse_from::<cli::flags::Cli>(Program { name, is_flat: false }, args) {
        Ok(cli) => cli.task.run(),
        Err(code) => code,
    }
}

/// Runs the tool as the installed program `cargo-ecr`, which cargo starts for `cargo ecr`, with the arguments of this process.
/// A link to it with the name `xtask` is a complete xtask: it runs [`Task`] as [`main`] does.
pub fn cargo_ecr() -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    if Path::new(&program).file_stem().is_some_and(|it| it == "xtask") {
        return main_with_args(Program::XTASK.name, args);
    }
    // cargo passes the name of the subcommand.
    let args: Vec<_> = args.enumerate().filter(|(n, it)| *n > 0 || it != "ecr").map(|(_, it)| it).collect();
    match cli::parse_from::<cli::flags::InstalledCli>(Program::INSTALLED, args) {
        Ok(cli) => cli.task.run(),
        Err(code) => code,
    }
}

/// Parses the arguments of this process with the clap parser `C`, for an xtask with tasks of its own. `name`
/// is the command that usage texts show, such as `cargo xtask`.
///
/// # Errors
/// The exit code: 0 if help or the version was printed, 1 if the arguments are invalid and the usage error
/// was printed.
pub fn parse<C: clap::Parser>(name: &'static str) -> Result<C, ExitCode> {
    cli::parse_from(Program { name, is_flat: false }, std::env::args_os().skip(1))
}
