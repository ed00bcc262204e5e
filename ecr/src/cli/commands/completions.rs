//! `ecr completions`: the script with which a shell completes the installed program.

use clap::CommandFactory;

use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::shell::Shell;

/// Prints the script. It is for `cargo-ecr`: what cargo passes on to a program or an alias, shells do not complete.
pub async fn run(flags: &flags::Completions, shell: &Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut flags::InstalledCli::command(), "cargo-ecr", &mut script);
    shell.write(&script);
    Ok(Exit::Done)
}
