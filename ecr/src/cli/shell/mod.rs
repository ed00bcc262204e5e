//! The output of commands: results on stdout; status lines, warnings and errors on stderr.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};

use ecr_types::human::{count, duration};
use ecr_types::lock;

use crate::cli::error::Failure;
use crate::cli::interruption::Interruption;
use crate::cli::program::named;
use crate::cli::report::{ErrorDetails, ErrorReport, PushReport};

mod github;
mod json;
mod output_file;
mod printable;
mod progress;
mod result;
mod waits;
mod wrap;
pub use output_file::OutputFile;
pub use printable::Printable;
use progress::Progress;
pub use progress::{Bar, Steps, Waiting};
use wrap::Wrap;

/// The format of the output on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Human-readable text.
    #[default]
    Human,
    /// One JSON document.
    Json,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// If the output is a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The amount of output on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// Also status lines, notes and help.
    #[default]
    Normal,
    /// Also details of each step.
    Verbose,
    /// Also what cargo prints with `-vv`: the output of build scripts.
    VeryVerbose,
}

/// Stdout, stderr and stdin of a command, which may be a terminal.
#[derive(Debug)]
pub struct Shell {
    format: Format,
    verbosity: Verbosity,
    color: anstream::ColorChoice,
    progress: Progress,
    /// The width of the terminal that stderr is, in columns.
    stderr_width: Option<usize>,
    has_stdout_failed: AtomicBool,
    /// Whether the JSON document was written, or its beginning.
    has_json: AtomicBool,
    began: Instant,
    interruption: Interruption,
    /// What holds if the command is interrupted now, such as that nothing was deleted.
    without_effect: Mutex<Option<&'static str>>,
    /// Whether the cursor stands behind a question.
    is_asking: AtomicBool,
}

const GOOD: Style = AnsiColor::Green.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default().bold();

impl Shell {
    /// The number of findings about configuration that are shown to people at once. JSON documents have all of them.
    pub const MAX_FINDINGS: usize = 50;
    /// The time after which a wait is shown.
    pub const PATIENCE: Duration = Duration::from_secs(5);

    /// A shell for this process. The flag wins over CARGO_TERM_COLOR, that over NO_COLOR and CLICOLOR_FORCE.
    pub fn new(format: Format, color: Option<Color>, verbosity: Verbosity) -> Self {
        let from_cargo = || match std::env::var("CARGO_TERM_COLOR").ok()?.as_str() {
            "always" => Some(Color::Always),
            "never" => Some(Color::Never),
            _ => None,
        };
        let color = match color.or_else(from_cargo) {
            Some(Color::Always) => anstream::ColorChoice::Always,
            Some(Color::Never) => anstream::ColorChoice::Never,
            Some(Color::Auto) | None => anstream::ColorChoice::Auto,
        };
        let has_bars = std::io::stderr().is_terminal()
            && std::env::var_os("CI").is_none()
            && verbosity > Verbosity::Quiet;
        Self {
            format,
            verbosity,
            color,
            progress: Progress::new(has_bars),
            stderr_width: wrap::columns(terminal_size::terminal_size_of(std::io::stderr())),
            has_stdout_failed: AtomicBool::new(false),
            has_json: AtomicBool::new(false),
            began: Instant::now(),
            interruption: Interruption::default(),
            without_effect: Mutex::default(),
            is_asking: AtomicBool::new(false),
        }
    }

    /// Prints a status line such as `     Created my-app`, with the verb right-aligned to 12 columns as in
    /// cargo.
    pub fn status(&self, verb: &str, text: impl std::fmt::Display) {
        if self.verbosity >= Verbosity::Normal {
            self.labelled(GOOD, &format!("{verb:>12}"), &format!(" {text}"));
        }
    }

    /// Prints a status line that `--quiet` does not hide, such as a failure, a refusal or an imminent
    /// deletion.
    pub fn bad_status(&self, verb: &str, text: impl std::fmt::Display) {
        self.labelled(ERROR, &format!("{verb:>12}"), &format!(" {text}"));
    }

    /// Prints a status line only with `-v`.
    pub fn verbose(&self, verb: &str, text: impl std::fmt::Display) {
        if self.verbosity >= Verbosity::Verbose {
            self.labelled(GOOD, &format!("{verb:>12}"), &format!(" {text}"));
        }
    }

    pub fn warn(&self, text: impl std::fmt::Display) {
        self.labelled(WARNING, "warning", &format!(": {text}"));
    }

    pub fn note(&self, text: impl std::fmt::Display) {
        if self.verbosity >= Verbosity::Normal {
            self.labelled(HELP, "note", &format!(": {text}"));
        }
    }

    pub fn help(&self, text: impl std::fmt::Display) {
        if self.verbosity >= Verbosity::Normal {
            self.labelled(HELP, "help", &format!(": {text}"));
        }
    }

    /// Whether a part of the result could not be written to stdout.
    pub fn has_stdout_failed(&self) -> bool {
        self.has_stdout_failed.load(Ordering::Relaxed)
    }

    /// A line with a label. In a terminal, it breaks between words.
    fn labelled(&self, style: Style, label: &str, text: &str) {
        let text = named(text).into_owned();
        let text = match self.stderr_width {
            // Status lines continue below their text, others a little to the right.
            Some(width) => {
                let indent = if label.starts_with(' ') { label.len() + 1 } else { 4 };
                Wrap { width, first: label.len(), indent }.apply(&text)
            }
            None => text,
        };
        self.raw((Printable::from(label).styled(style) + Printable::message(&text)).as_str());
    }

    /// Prints a line on stderr.
    pub fn eprint(&self, text: impl Into<Printable>) {
        self.raw(&named(text.into().as_str()));
    }

    /// Prints the output of another program on stderr as it is, colours included.
    pub fn program_output(&self, text: &str) {
        self.raw(text);
    }

    fn raw(&self, text: &str) {
        self.progress.above(|| {
            // If stderr is closed, there is no place to report that.
            let _ = writeln!(AutoStream::new(std::io::stderr(), self.color), "{text}");
        });
    }

    /// Prints lines on stderr that belong to the result. `--quiet` hides them unless they report an error.
    pub fn detail(&self, is_error: bool, lines: &[Printable]) {
        if is_error || self.verbosity >= Verbosity::Normal {
            lines.iter().for_each(|it| self.eprint(it));
        }
    }

    /// A function that prints the output of another program on stderr, line by line. `--quiet` hides it.
    pub fn line_printer(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let (progress, color) = (self.progress.clone(), self.color);
        let is_shown = self.shows_lines();
        move |line| {
            if is_shown {
                progress.above(|| {
                    let _ = writeln!(AutoStream::new(std::io::stderr(), color), "{line}");
                });
            }
        }
    }

    /// Whether [`Shell::line_printer`] prints anything.
    pub fn shows_lines(&self) -> bool {
        self.verbosity >= Verbosity::Normal
    }

    /// Whether stdin is a terminal, so that [`Shell::ask`] can be answered.
    pub fn can_ask(&self) -> bool {
        std::io::stdin().is_terminal()
    }

    /// Asks a question on stderr and returns the line that was typed; `None` at the end of the input. Ctrl-C
    /// interrupts the command while it waits.
    pub async fn ask(&self, question: &str) -> Option<String> {
        self.is_asking.store(true, Ordering::Relaxed);
        let question = Printable::message(&named(question));
        self.progress.above(|| {
            let _ = write!(AutoStream::new(std::io::stderr(), self.color), "{question} ");
            let _ = std::io::stderr().flush();
        });
        let answer = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            let n = std::io::stdin().read_line(&mut line).unwrap_or_default();
            (n > 0).then(|| line.trim().to_owned())
        });
        let answer = answer.await.unwrap_or_default();
        self.is_asking.store(false, Ordering::Relaxed);
        answer
    }

    /// Asks a question, which ends with `?`, and returns whether the answer is yes.
    pub async fn confirm(&self, question: &str) -> bool {
        let answer = self.ask(&format!("{question} [y/N]")).await;
        answer.is_some_and(|it| matches!(it.to_lowercase().as_str(), "y" | "yes"))
    }

    /// Prints a failure on stderr and, if the format is JSON, on stdout.
    pub fn failure(&self, failure: &Failure) {
        self.eprint_failure(failure);
        self.json_failure(failure);
    }

    /// Prints the failure of a part on stderr.
    pub fn eprint_failure(&self, failure: &Failure) {
        self.eprint(failure_text(failure));
    }

    /// Prints a failure on stdout if the format is JSON.
    pub fn json_failure(&self, failure: &Failure) {
        let error = ErrorDetails::from(failure);
        self.json(&ErrorReport { error, interrupted: false });
    }

    /// The interruption of the command.
    pub fn interruption(&self) -> &Interruption {
        &self.interruption
    }

    /// Runs a step whose parts the command reports; see [`Interruption::until_interrupted`].
    pub async fn until_interrupted<T>(&self, step: impl Future<Output = T>) -> Option<T> {
        self.interruption.until_interrupted(step).await
    }

    /// States what holds if the command is interrupted before it begins a step that it reports: `nothing was deleted`.
    pub fn has_no_effect_yet(&self, text: &'static str) {
        *lock(&self.without_effect) = Some(text);
    }

    /// Prints that the command was interrupted, unless it has reported that itself.
    pub fn interrupted(&self) {
        if self.is_asking.load(Ordering::Relaxed) {
            // The terminal shows `^C` behind the question.
            self.eprint("");
        }
        let text = lock(&self.without_effect).filter(|_| !self.interruption.is_reported());
        text.iter().for_each(|it| self.bad_status("Interrupted", it));
        if !self.has_json.load(Ordering::Relaxed) {
            let causes = text.into_iter().map(str::to_owned).collect();
            let error = ErrorDetails { causes, help: None, message: "interrupted".to_owned() };
            self.json(&ErrorReport { error, interrupted: true });
        }
    }

    /// The time since the command started.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Writes the result of a push to the step outputs and the job summary of GitHub Actions, if it runs
    /// there.
    pub fn github_outputs(&self, references: &str, report: &PushReport) {
        if !github::is_step() {
            return;
        }
        let write = || {
            github::output("references", references)?;
            github::output("images", &serde_json::to_string(&report.images)?)?;
            github::summary(&report.markdown())
        };
        if let Err(error) = write() {
            self.warn(format!("failed to write the step outputs of GitHub Actions: {error}"));
        }
    }

    /// The flags that give cargo the same verbosity and colours.
    pub fn cargo_flags(&self) -> Vec<String> {
        let quiet = (self.verbosity == Verbosity::Quiet).then(|| "--quiet".to_owned());
        let verbose = match self.verbosity {
            Verbosity::Quiet | Verbosity::Normal => None,
            Verbosity::Verbose => Some("-v".to_owned()),
            Verbosity::VeryVerbose => Some("-vv".to_owned()),
        };
        let color = match self.color {
            anstream::ColorChoice::Always | anstream::ColorChoice::AlwaysAnsi => Some("--color=always"),
            anstream::ColorChoice::Never => Some("--color=never"),
            anstream::ColorChoice::Auto => None,
        };
        quiet.into_iter().chain(verbose).chain(color.map(str::to_owned)).collect()
    }

    /// Shows that the command waits for `what`, at most for `timeout`: in the progress line, or as one status
    /// line if stderr is not a terminal.
    pub fn waiting(&self, verb: &'static str, what: String, timeout: Duration) -> Waiting {
        if !self.progress.is_visible() {
            self.status(verb, format!("{what} (waiting for at most {})", duration(timeout)));
        }
        self.progress.wait(verb, what)
    }

    /// Shows in the progress line, which is visible only on a terminal, how many of `total` services are built.
    pub fn steps(&self, total: usize) -> Steps {
        self.progress.steps(total)
    }

    /// [`Shell::bar`] for other threads.
    pub fn bars(&self) -> impl Fn(&'static str, u64) -> Bar + Send + Sync + 'static {
        let progress = self.progress.clone();
        move |verb, bytes| progress.begin(verb, bytes)
    }

    /// Adds a transfer of `bytes` bytes to the progress line, which is visible only on a terminal. `verb` is that of the
    /// line, such as `Uploading`.
    pub fn bar(&self, verb: &'static str, bytes: u64) -> Bar {
        self.progress.begin(verb, bytes)
    }
}

/// How many of `total` findings are not shown; `None` if all are.
fn left_out(total: usize, what: &str) -> Option<String> {
    let more = total.checked_sub(Shell::MAX_FINDINGS).filter(|it| *it > 0)?;
    Some(format!("and {more} more; `--format json` lists all {}", count(total as u64, what)))
}

/// An error with its causes, its problems and its help. Lines of a cause stay below it.
fn failure_text(failure: &Failure) -> Printable {
    let help = |text: &str| Printable::from("help").styled(HELP) + ": " + Printable::message(text);
    let mut text = Printable::from("error").styled(ERROR) + ": " + Printable::message(&failure.message);
    let causes = failure.causes();
    if !causes.is_empty() {
        text += "\n\nCaused by:";
        causes.iter().for_each(|it| text += Printable::from("\n  ") + Printable::message(it));
    }
    for problem in failure.problems.iter().take(Shell::MAX_FINDINGS) {
        text += format!("\n\n{}: ", problem.place);
        text += Printable::message(&problem.message);
        problem.help.iter().for_each(|it| text += Printable::from("\n  ") + help(it));
    }
    left_out(failure.problems.len(), "problem").iter().for_each(|it| text += format!("\n\n{it}"));
    failure.help.iter().for_each(|it| text += Printable::from("\n\n") + help(it));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_gets_the_same_verbosity() {
        let flags = |verbosity| Shell::new(Format::Human, Some(Color::Never), verbosity).cargo_flags();
        assert_eq!(flags(Verbosity::Quiet), ["--quiet", "--color=never"]);
        assert_eq!(flags(Verbosity::Normal), ["--color=never"]);
        assert_eq!(flags(Verbosity::Verbose), ["-v", "--color=never"]);
        assert_eq!(flags(Verbosity::VeryVerbose), ["-vv", "--color=never"]);
    }
}
