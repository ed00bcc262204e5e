//! The exit codes, and the error type of commands.

use std::error::Error;
use std::fmt;

use ecr_types::document::Problem;
use ecr_types::error::causes;

use super::help::help_for;
use crate::config::workspace::LoadError;

/// The exit codes, which scripts rely on. 101 is reserved: cargo returns it if xtask did not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Exit {
    #[default]
    Done = 0,
    /// A failure, such as a usage error.
    Failed = 1,
    /// `plan --check`, `pin-bases --check` or `resolve --check` found changes.
    Changes = 2,
    /// An immutable tag points to another image.
    Conflict = 3,
    /// The gate of scans or of signatures failed.
    Gate = 4,
    /// Refused: a protected repository, one of another project, the wrong account, uncommitted changes, or no
    /// confirmation.
    Refused = 5,
    /// Interrupted by Ctrl-C or SIGTERM.
    Interrupted = 130,
}

impl Exit {
    /// The exit code of a command whose parts have these codes: `Interrupted` or `Failed` if any part has it,
    /// otherwise the highest. A script that accepts `Conflict` therefore never accepts a failure.
    pub fn of_parts(parts: impl IntoIterator<Item = Exit>) -> Exit {
        let parts: Vec<_> = parts.into_iter().collect();
        if parts.contains(&Exit::Interrupted) {
            return Exit::Interrupted;
        }
        if parts.contains(&Exit::Failed) {
            return Exit::Failed;
        }
        parts.into_iter().max().unwrap_or(Exit::Done)
    }
}

/// An error that ends the command, with its causes and its help.
#[derive(Debug)]
pub struct Failure {
    /// What failed, and on what. Lower case, without a period.
    pub message: String,
    /// The cause. Its sources are the further causes.
    cause: Option<Box<dyn Error + Send + Sync>>,
    /// Further lines, such as the changed files of a working tree that is not clean.
    details: Vec<String>,
    /// Advice, with a command or a flag that can be typed.
    pub help: Option<String>,
    pub exit: Exit,
    /// Problems of the configuration, each with its file, line and column.
    pub problems: Vec<Problem>,
}

impl Failure {
    /// A failure without causes and help.
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

    /// A refusal: the command could do this, but a guard does not allow it.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, ..Self::new(message) }
    }

    /// A failure because the configuration is invalid.
    pub fn configuration(problems: Vec<Problem>) -> Self {
        let message = match problems.len() {
            1 => "there is a problem in the configuration".to_owned(),
            n => format!("there are {n} problems in the configuration"),
        };
        Self::new(message).with_problems(problems)
    }

    pub fn with_problems(self, problems: Vec<Problem>) -> Self {
        Self { problems, ..self }
    }

    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    pub fn with_details(self, details: Vec<String>) -> Self {
        Self { details, ..self }
    }

    /// The messages of the causes, outermost first, followed by the details.
    pub fn causes(&self) -> Vec<String> {
        let cause = self.cause.as_deref().map(|it| it as &(dyn Error + 'static));
        let chain = cause.into_iter().flat_map(causes).map(ToString::to_string);
        chain.chain(self.details.iter().cloned()).collect()
    }

    /// The same, followed by one line for each problem of the configuration.
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

/// The outermost error is the message; the help is that of the first error in the chain that has one.
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
            LoadError::Cargo(ref cargo) if cargo.is_missing_manifest() => {
                let help = "run this command in a cargo workspace, or pass --manifest-path";
                Self::from(anyhow::Error::new(error)).with_help(help)
            }
            LoadError::Environment(error) => {
                let help = error.help();
                Self::from(anyhow::Error::new(error)).with_help(help)
            }
            LoadError::Cargo(_) | LoadError::Process(_) | LoadError::Metadata(_) => {
                anyhow::Error::new(error).into()
            }
        }
    }
}

/// The cause of an error. The message of the error itself is in [`Failure::message`].
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
    fn exit_of_parts_prefers_a_failure() {
        assert_eq!(Exit::of_parts([Exit::Conflict, Exit::Failed, Exit::Done]), Exit::Failed);
        assert_eq!(Exit::of_parts([Exit::Conflict, Exit::Refused]), Exit::Refused);
        assert_eq!(Exit::of_parts([Exit::Conflict, Exit::Done]), Exit::Conflict);
        assert_eq!(Exit::of_parts([]), Exit::Done);
    }
}
