//! How a command ends: exit codes, and failures as they are shown.

use std::error::Error;
use std::{fmt, io};

use ecr_types::document::Problem;

/// The exit codes, which scripts rely on. 101 stays what it is in cargo: xtask itself did not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    #[default]
    Done = 0,
    /// Failed; usage errors are failures too.
    Failed = 1,
    /// `plan --check` found changes.
    Changes = 2,
    /// A tag is immutable and holds another image.
    Conflict = 3,
    /// The scan gate failed.
    Gate = 4,
    /// Refused: protected, another project's, the wrong account, an unclean tree, not confirmed.
    Refused = 5,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The code of a command from those of its parts: a failure outranks everything, so that a script which
    /// forgives a conflict never forgives a failure; else the highest.
    pub fn of_parts(parts: impl IntoIterator<Item = Exit>) -> Exit {
        let parts: Vec<_> = parts.into_iter().collect();
        if parts.contains(&Exit::Failed) {
            return Exit::Failed;
        }
        parts.into_iter().max().unwrap_or(Exit::Done)
    }
}

/// An error that stops everything: what failed, why, and what to type next.
#[derive(Debug)]
pub struct Failure {
    /// What failed, on what. Lower case, no period.
    pub message: String,
    /// The causes, outermost first.
    pub causes: Vec<String>,
    /// Something to type.
    pub help: Option<String>,
    /// The exit code.
    pub exit: Exit,
    /// Problems of the configuration, which are shown with their places.
    pub problems: Vec<Problem>,
}

impl Failure {
    /// A failure without further causes.
    pub fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, causes: Vec::new(), help: None, exit: Exit::Failed, problems: Vec::new() }
    }

    /// A refusal: nothing failed, but it is not done.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, ..Self::new(message) }
    }

    /// The configuration cannot be used.
    pub fn configuration(problems: Vec<Problem>) -> Self {
        let message = match problems.len() {
            1 => "there is a problem in the configuration".to_owned(),
            n => format!("there are {n} problems in the configuration"),
        };
        Self { problems, ..Self::new(message) }
    }

    /// The same with advice.
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The causes in one line each, problems of the configuration among them.
    pub fn cause_lines(&self) -> Vec<String> {
        let problem = |it: &Problem| match &it.help {
            Some(help) => format!("{}: {} (help: {help})", it.place, it.message),
            None => format!("{}: {}", it.place, it.message),
        };
        self.causes.iter().cloned().chain(self.problems.iter().map(problem)).collect()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An error and what caused it, from the outside in.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// Whether a connection was refused, somewhere down the chain of causes: nobody listens there, and waiting does not
/// change it.
pub fn is_refused(error: &(dyn Error + 'static)) -> bool {
    let mut io_errors = causes(error).filter_map(|it| it.downcast_ref::<io::Error>());
    io_errors.any(|it| it.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_outranks_a_conflict() {
        assert_eq!(Exit::of_parts([Exit::Conflict, Exit::Failed, Exit::Done]), Exit::Failed);
        assert_eq!(Exit::of_parts([Exit::Conflict, Exit::Refused]), Exit::Refused);
        assert_eq!(Exit::of_parts([Exit::Conflict, Exit::Done]), Exit::Conflict);
        assert_eq!(Exit::of_parts([]), Exit::Done);
    }
}
