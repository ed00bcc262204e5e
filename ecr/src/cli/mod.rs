//! The command line interface: flags, commands, reports and the terminal.

mod arguments;
pub mod commands;
pub mod error;
mod examples;
pub mod flags;
pub mod help;
pub mod interruption;
mod near_miss;
pub mod program;
pub mod report;
mod run;
pub mod shell;
pub mod table;

pub use run::parse_from;
