//! The command line as people write it: flags that every command has may stand in front of its name.

use std::ffi::OsString;

use clap::{ArgAction, Args, Command};

use super::flags::CommonArgs;

/// The arguments with the flags of [`CommonArgs`] behind the name of the command, where clap expects them: `cargo xtask -v ecr
/// --local plan` is `cargo xtask ecr plan -v --local`. Other arguments stay where they are. The first one is the program.
pub fn reordered(command: &Command, args: Vec<OsString>) -> Vec<OsString> {
    let common = CommonArgs::augment_args(Command::new("common"));
    let (mut words, mut flags) = (args.get(..1).unwrap_or_default().to_vec(), Vec::new());
    let (mut at, mut current) = (1, command);
    while current.has_subcommands() {
        let Some(text) = args.get(at).and_then(|it| it.to_str()) else { return args };
        if text.starts_with('-') {
            let Some(length) = length(&common, text) else { return args };
            let Some(given) = args.get(at..at + length) else { return args };
            flags.extend_from_slice(given);
            at += length;
        } else {
            words.push(args[at].clone());
            at += 1;
            // clap has to say that there is no such command.
            let Some(found) = current.find_subcommand(text) else { break };
            current = found;
        }
    }
    words.into_iter().chain(flags).chain(args.into_iter().skip(at)).collect()
}

/// The number of arguments that a flag takes, itself among them; `None` if it is none of `command`.
fn length(command: &Command, text: &str) -> Option<usize> {
    let takes_value = |it: &clap::Arg| matches!(it.get_action(), ArgAction::Set | ArgAction::Append);
    if let Some(long) = text.strip_prefix("--") {
        let name = long.split('=').next().unwrap_or_default();
        let found = command.get_arguments().find(|it| it.get_long() == Some(name))?;
        return Some(if takes_value(found) && !long.contains('=') { 2 } else { 1 });
    }
    let mut letters = text.get(1..).unwrap_or_default().chars();
    // `-vq` is two flags, `-pNAME` one with its value.
    while let Some(letter) = letters.next() {
        let found = command.get_arguments().find(|it| it.get_short() == Some(letter))?;
        if takes_value(found) {
            return Some(if letters.as_str().is_empty() { 2 } else { 1 });
        }
    }
    (text.len() > 1).then_some(1)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::flags::Cli;

    #[test]
    fn flags_stand_behind_the_command() {
        for (line, wanted) in [
            ("x --format json ecr plan", "x ecr plan --format json"),
            ("x --format=json ecr plan --check", "x ecr plan --format=json --check"),
            ("x -v ecr --local plan", "x ecr plan -v --local"),
            ("x -qp my-app push --dry-run", "x push -qp my-app --dry-run"),
            ("x -pmy-app ecr lifecycle preview", "x ecr lifecycle preview -pmy-app"),
            ("x ecr plan --local", "x ecr plan --local"),
            // What clap has to refuse, or to answer, stays as it is.
            ("x --local", "x --local"),
            ("x --help", "x --help"),
            ("x --local --version", "x --local --version"),
            ("x --check ecr plan", "x --check ecr plan"),
            ("x --local ecr nothing -v", "x ecr nothing --local -v"),
            ("x --region", "x --region"),
            ("x -", "x -"),
            ("x", "x"),
        ] {
            let args = line.split(' ').map(OsString::from).collect();
            let found: Vec<_> =
                reordered(&Cli::command(), args).into_iter().map(|it| it.into_string().unwrap()).collect();
            assert_eq!(found.join(" "), wanted);
        }
    }
}
