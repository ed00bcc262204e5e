//! A cargo xtask that keeps Amazon ECR repositories and images in step with a Rust workspace.
//!
//! Mount it in your own `xtask`: `fn main() -> std::process::ExitCode { xtask_ecr::main() }`, or put [`Task`]
//! beside your own tasks.
//!
//! # Map
//!
//! Dependencies point down only; `tests/it/tidy.rs` holds the core to it.
//!
//! ```text
//! main -> flags -> commands     load -> decide -> do -> report; one small file a command
//!
//! edges, one outside world each; they do not import one another
//!   workspace   cargo metadata and configuration files
//!   aws         identity, observe, apply, authorization tokens
//!   compile     cargo build -> binary, and the libraries that it needs
//!   github      outputs and summaries of GitHub Actions
//!   layout      OCI layouts, and archives for docker and podman
//!   layers      files of this machine -> compressed layers, and their cache
//!   distribution  client of the OCI distribution API
//!   ineffective  writes that were without effect, remembered
//!   docker      docker and podman
//!   git         is the tree clean, which commit is it?
//!   files, http  for the others: files that appear whole or not at all, and connections
//!   shell       the terminal: status lines, data, errors
//!   local       the embedded ECR
//!
//! core, values and functions: no file, environment, clock, network, process or terminal
//!   name        repository names, tags, digests: parsed once
//!   source      TOML and JSON that know their places; problems
//!   settings, metadata, definitions   what configuration files may say
//!   desired     (members, definitions) -> what the registry shall be
//!   observed    what AWS says it is
//!   plan        (desired, observed) -> steps
//!   lifecycle   what a lifecycle policy says, what is wrong with it, which images it takes
//!   image       files -> layers -> config -> manifest
//!   inventory   the images of a repository, and what they cost
//!   scan        what scanners found, and the gate
//!   iam         what each role must be allowed
//!   advice      what docker, podman and ECR complain about -> what to type
//!   report      what commands print
//!   table, words  columns, numbers and lists as people read them
//! ```
//!
//! # Data flow
//!
//! ```text
//! cargo metadata ----+                                DescribeRepositories ... -- aws
//! repositories.json -+- desired::resolve -> Desired --+              |
//! lifecycle-policy --+                                +- plan::plan -> Plan -+- plan: print it, stop
//!                                   Observed ---------+                      +- create: for step { aws.apply }
//! sources - compile::build -> Binary - Image::assemble -> digest -+- Registry::upload -> host/name@sha256:...
//!            base - distribution::Repository -> Parent ---+        +- layout -> OCI layout, docker, podman
//! ```

pub mod aws;
pub mod build;
pub mod cli;
mod clock;
pub mod config;
pub mod inventory;
pub mod plan;
pub mod scan;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, error::ErrorKind};

use cli::commands;
use cli::error::{Exit, Failure};
use cli::flags::{Cli, Output};
pub use cli::flags::{EcrTask, LifecycleTask, Task};
use cli::shell::{Format, Shell, Verbosity};
use ecr_oci::files;

/// Runs the tasks of `cargo xtask`: all of an xtask's `main`.
pub fn main() -> ExitCode {
    main_with_args("cargo xtask", std::env::args_os().skip(1))
}

/// The same under another name and with given arguments, without the program's own.
pub fn main_with_args(name: &'static str, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = std::iter::once(name.into()).chain(args).collect();
    let matches = Cli::command().name(name).bin_name(name).try_get_matches_from(&args);
    match matches.and_then(|it| Cli::from_arg_matches(&it)) {
        Ok(cli) => cli.task.run(),
        Err(error) => usage(&error, &args),
    }
}

impl Task {
    /// Runs the task to its exit code.
    pub fn run(self) -> ExitCode {
        let Output { format, color, .. } = *self.output();
        let shell = Shell::new(format, color, self.output().verbosity());
        let result = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => {
                let result = runtime.block_on(run(&self, &shell));
                // After Ctrl-C a thread may still wait for cargo, or for a line to be typed.
                runtime.shutdown_background();
                result
            }
            Err(error) => Err(Failure::new(format!("failed to start the runtime: {error}"))),
        };
        let exit = result.unwrap_or_else(|failure| {
            shell.failure(&failure);
            failure.exit
        });
        files::remove_temporary_files();
        if shell.is_stdout_lost() {
            shell.failure(&Failure::new("failed to write to stdout"));
            return ExitCode::from(Exit::Failed as u8);
        }
        ExitCode::from(exit as u8)
    }
}

async fn run(task: &Task, shell: &Shell) -> Result<Exit, Failure> {
    let command = async {
        match task {
            Task::Ecr(EcrTask::Plan(flags)) => commands::plan::run(flags, shell).await,
            Task::Ecr(EcrTask::Create(flags)) => commands::create::run(flags, shell).await,
            Task::Ecr(EcrTask::Delete(flags)) => commands::delete::run(flags, shell).await,
            Task::Ecr(EcrTask::Status(flags)) => commands::status::run(flags, shell).await,
            Task::Ecr(EcrTask::Images(flags)) => commands::images::run(flags, shell).await,
            Task::Ecr(EcrTask::Scan(flags)) => commands::scan::run(flags, shell).await,
            Task::Ecr(EcrTask::IamPolicy(flags)) => commands::iam_policy::run(flags, shell).await,
            Task::Ecr(EcrTask::Login(flags)) => commands::login::run(flags, shell).await,
            Task::Ecr(EcrTask::Lifecycle(LifecycleTask::Check(flags))) => {
                commands::lifecycle::check::run(flags, shell)
            }
            Task::Ecr(EcrTask::Lifecycle(LifecycleTask::Preview(flags))) => {
                commands::lifecycle::preview::run(flags, shell).await
            }
            Task::Ecr(EcrTask::Serve(flags)) => commands::serve::run(flags, shell).await,
            Task::Push(flags) => commands::push::run(flags, shell).await,
        }
    };
    tokio::select! {
        result = command => result,
        _ = interrupted() => {
            shell.interrupted();
            Ok(Exit::Interrupted)
        }
    }
}

/// Ctrl-C, or a pipeline that is cancelled.
async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut terminated) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Help and version go to stdout with 0, usage errors to stderr with 1 (clap's 2 means "changes" here).
fn usage(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let _ = error.print();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return ExitCode::from(Exit::Done as u8);
    }
    if wants_json(args) {
        // What follows the first paragraph is how to use the command.
        let text = error.to_string();
        let lines = text.lines().take_while(|it| !it.trim().is_empty()).map(str::trim);
        let message = lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned();
        let failure = Failure::new(message).with_help("see --help");
        Shell::new(Format::Json, None, Verbosity::Quiet).json_failure(&failure);
    }
    ExitCode::from(Exit::Failed as u8)
}

/// Whether JSON was asked for, on a command line that could not be read.
fn wants_json(args: &[OsString]) -> bool {
    let texts: Vec<_> = args.iter().map(|it| it.to_string_lossy()).collect();
    texts.iter().any(|it| it == "--format=json")
        || texts.windows(2).any(|it| it[0] == "--format" && it[1] == "json")
}
