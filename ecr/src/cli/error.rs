//! How a command ends: exit codes, and failures as they are shown.

use std::error::Error;
use std::fmt;

use ecr_types::document::Problem;
use ecr_types::error::causes;

use super::help::help_for;
use crate::config::workspace::LoadError;

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
    /// What caused it, outermost first.
    cause: Option<Box<dyn Error + Send + Sync>>,
    /// Lines that say more, such as the changes of an unclean tree.
    details: Vec<String>,
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
        Self {
            message: message.into(),
            cause: None,
            details: Vec::new(),
            help: None,
            exit: Exit::Failed,
            problems: Vec::new(),
        }
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

    /// The same with lines that say more.
    pub fn with_details(self, details: Vec<String>) -> Self {
        Self { details, ..self }
    }

    /// The same with another exit code.
    pub fn with_exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// The causes, outermost first, and further details.
    pub fn causes(&self) -> Vec<String> {
        let cause = self.cause.as_deref().map(|it| it as &(dyn Error + 'static));
        let chain = cause.into_iter().flat_map(causes).map(ToString::to_string);
        chain.chain(self.details.iter().cloned()).collect()
    }

    /// The causes in one line each, problems of the configuration among them.
    pub fn cause_lines(&self) -> Vec<String> {
        let problem = |it: &Problem| match &it.help {
            Some(help) => format!("{}: {} (help: {help})", it.place, it.message),
            None => format!("{}: {}", it.place, it.message),
        };
        self.causes().into_iter().chain(self.problems.iter().map(problem)).collect()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|it| it as _)
    }
}

/// The outermost error is the message, with the help of the first cause that has some.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let help = help_for(&error);
        let message = error.to_string();
        let cause = error.source().is_some().then(|| Box::from(Cause(error)));
        Self { cause, help, ..Self::new(message) }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Problems(problems) => Self::configuration(problems),
            LoadError::Cargo(ref said) if said.is_missing_manifest() => {
                let help = "run this in a cargo workspace, or pass --manifest-path";
                Self::from(anyhow::Error::new(error)).with_help(help)
            }
            LoadError::Cargo(_) | LoadError::Metadata(_) => anyhow::Error::new(error).into(),
        }
    }
}

/// What caused an error whose own message stands elsewhere.
struct Cause(anyhow::Error);

impl Cause {
    fn inner(&self) -> &(dyn Error + 'static) {
        self.0.source().unwrap_or_else(|| self.0.as_ref())
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.inner(), f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner().source()
    }
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
