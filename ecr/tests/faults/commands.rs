//! The commands of the table.

use crate::stage::{BINARIES, Before};

/// A command of the table.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    pub args: &'static [&'static str],
    pub before: Before,
    /// What a success of it means.
    pub goal: Goal,
}

/// What is true if a command succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// It prints what a run without a fault prints.
    Document,
    /// The registry is as after a run without a fault.
    State,
    /// It prints a password that the registry accepts.
    Password,
}

const fn reads(args: &'static [&'static str], before: Before) -> Command {
    Command { args, before, goal: Goal::Document }
}

const fn writes(args: &'static [&'static str], before: Before) -> Command {
    Command { args, before, goal: Goal::State }
}

/// The commands that ask a registry for something.
pub const ALL: [Command; 18] = [
    reads(&["ecr", "plan"], Before::Created),
    reads(&["ecr", "plan", "--orphans"], Before::Plain),
    writes(&["ecr", "create", "--yes"], Before::Empty),
    writes(&["ecr", "create", "--yes"], Before::Plain),
    writes(&["ecr", "delete", "--yes"], Before::Pushed),
    reads(&["ecr", "status"], Before::Pushed),
    reads(&["ecr", "images"], Before::Pushed),
    reads(&["ecr", "scan", "--timeout", "3s"], Before::Pushed),
    reads(&["ecr", "scan", "--timeout", "3s", "--fail-on", "CRITICAL"], Before::Pushed),
    Command { args: &["ecr", "login", "--print-token"], before: Before::Created, goal: Goal::Password },
    reads(&["ecr", "lifecycle", "preview"], Before::Pushed),
    reads(&["ecr", "lifecycle", "preview", "--aws"], Before::Pushed),
    writes(&["push", "--binary", BINARIES], Before::Created),
    writes(&["push", "--create", "--binary", BINARIES], Before::Empty),
    writes(&["push", "--skip-existing", "--binary", BINARIES], Before::Pushed),
    reads(&["resolve", "--write", "env=images.env"], Before::Pushed),
    writes(&["promote", "--to", "live-{n}"], Before::Pushed),
    reads(&["ecr", "deployed"], Before::Pushed),
];
