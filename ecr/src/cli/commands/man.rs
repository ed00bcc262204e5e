//! `ecr man`: the manual pages of the installed program.

use anyhow::Context;
use clap::CommandFactory;
use ecr_oci::files;

use crate::cli::error::{Exit, Failure};
use crate::cli::examples::with_examples;
use crate::cli::flags;
use crate::cli::shell::Shell;

/// Writes a page for `cargo-ecr` and one for each command, such as `cargo-ecr-push.1` (man-pages(7)).
pub async fn run(flags: &flags::Man, shell: &Shell) -> Result<Exit, Failure> {
    let command = with_examples(flags::InstalledCli::command()).disable_help_subcommand(true);
    let mut command = command.display_name("cargo-ecr").bin_name("cargo ecr");
    command.build();
    let mut commands = vec![command];
    while let Some(command) = commands.pop() {
        let page = clap_mangen::Man::new(command.clone());
        let mut text = Vec::new();
        page.render(&mut text).context("failed to write a manual page")?;
        let path = flags.dir.join(page.get_filename());
        files::write(&path, &text).with_context(|| format!("failed to write `{}`", path.display()))?;
        shell.print(path.display().to_string());
        commands.extend(command.get_subcommands().filter(|it| !it.is_hide_set()).cloned());
    }
    Ok(Exit::Done)
}
