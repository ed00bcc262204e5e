//! The command line interface: flags, commands, reports and the terminal.

pub mod commands;
pub mod error;
pub mod flags;
pub mod help;
pub mod interruption;
pub mod report;
mod run;
pub mod shell;
pub mod table;

pub use run::parse_from;
