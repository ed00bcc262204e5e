//! Everything that a person or a script reads: data on stdout, talk on stderr, and the one renderer of errors.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};

use crate::cli::error::{Exit, Failure};
use crate::cli::report::{ErrorDetails, ErrorReport, PushReport};

mod github;
mod json;
mod output_file;
mod progress;
pub use output_file::OutputFile;
use progress::Progress;
pub use progress::{Bar, Waiting};

/// What stdout carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Text for people.
    #[default]
    Human,
    /// One JSON document.
    Json,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Only warnings and errors.
    Quiet,
    /// What is done.
    #[default]
    Normal,
    /// And how.
    Verbose,
}

/// The terminal, or what stands in for it.
#[derive(Debug)]
pub struct Shell {
    format: Format,
    verbosity: Verbosity,
    color: anstream::ColorChoice,
    progress: Progress,
    is_stdout_lost: AtomicBool,
    /// Whether the JSON document, or its beginning, is written.
    has_json: AtomicBool,
    began: Instant,
}

const GOOD: Style = AnsiColor::Green.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default().bold();

impl Shell {
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
            is_stdout_lost: AtomicBool::new(false),
            has_json: AtomicBool::new(false),
            began: Instant::now(),
        }
    }

    /// `     Created my-app`: the verb right-aligned to 12 columns, as in cargo.
    pub fn status(&self, verb: &str, text: impl std::fmt::Display) {
        if self.verbosity >= Verbosity::Normal {
            self.talk(&format!("{GOOD}{verb:>12}{GOOD:#} {text}"));
        }
    }

    /// A status that nobody may miss: refused, blocked, failed, about to be deleted. `--quiet` does not hide it.
    pub fn bad_status(&self, verb: &str, text: impl std::fmt::Display) {
        self.talk(&format!("{ERROR}{verb:>12}{ERROR:#} {text}"));
    }

    /// How something is done; with `-v` only.
    pub fn verbose(&self, verb: &str, text: impl std::fmt::Display) {
        if self.verbosity >= Verbosity::Verbose {
            self.talk(&format!("{GOOD}{verb:>12}{GOOD:#} {text}"));
        }
    }

    /// It worked, but.
    pub fn warn(&self, text: impl std::fmt::Display) {
        self.talk(&format!("{WARNING}warning{WARNING:#}: {text}"));
    }

    /// Background.
    pub fn note(&self, text: impl std::fmt::Display) {
        if self.verbosity >= Verbosity::Normal {
            self.talk(&format!("{HELP}note{HELP:#}: {text}"));
        }
    }

    /// Something to type.
    pub fn help(&self, text: impl std::fmt::Display) {
        if self.verbosity >= Verbosity::Normal {
            self.talk(&format!("{HELP}help{HELP:#}: {text}"));
        }
    }

    /// Whether some of the result could not be written.
    pub fn is_stdout_lost(&self) -> bool {
        self.is_stdout_lost.load(Ordering::Relaxed)
    }

    /// A line on stderr as it is.
    pub fn talk(&self, text: &str) {
        self.progress.above(|| {
            // There is nobody to tell that stderr is gone.
            let _ = writeln!(AutoStream::new(std::io::stderr(), self.color), "{text}");
        });
    }

    /// Lines on stderr that belong to the result; `--quiet` hides them unless they are bad news.
    pub fn detail(&self, is_bad: bool, lines: &[String]) {
        if is_bad || self.verbosity >= Verbosity::Normal {
            lines.iter().for_each(|it| self.talk(it));
        }
    }

    /// Lines on stderr for whoever outlives this borrow: what another program says while it works. `--quiet` hides them.
    pub fn talker(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let (progress, color) = (self.progress.clone(), self.color);
        let is_heard = self.verbosity >= Verbosity::Normal;
        move |line| {
            if is_heard {
                progress.above(|| {
                    let _ = writeln!(AutoStream::new(std::io::stderr(), color), "{line}");
                });
            }
        }
    }

    /// Whether a person can answer [`Shell::ask`]: stdin is a terminal.
    pub fn can_ask(&self) -> bool {
        std::io::stdin().is_terminal()
    }

    /// A question on stderr, and the line that was answered; `None` at the end of the input. Ctrl-C is heard
    /// meanwhile.
    pub async fn ask(&self, question: &str) -> Option<String> {
        self.progress.above(|| {
            let _ = write!(AutoStream::new(std::io::stderr(), self.color), "{question} ");
            let _ = std::io::stderr().flush();
        });
        let answer = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            let n = std::io::stdin().read_line(&mut line).unwrap_or_default();
            (n > 0).then(|| line.trim().to_owned())
        });
        answer.await.unwrap_or_default()
    }

    /// A line of the result, for people; nothing in JSON.
    pub fn print(&self, text: impl std::fmt::Display) {
        if self.format == Format::Human {
            self.out(&text.to_string());
        }
    }

    /// The result as JSON, if that is what is wanted.
    pub fn json(&self, value: &impl serde::Serialize) {
        if self.format == Format::Json {
            self.has_json.store(true, Ordering::Relaxed);
            self.out(&serde_json::to_string_pretty(value).unwrap_or_default());
        }
    }

    fn out(&self, text: &str) {
        let write = || writeln!(AutoStream::new(std::io::stdout(), self.color), "{text}");
        let result = self.progress.above(write);
        self.note_lost(result);
    }

    /// A reader that went away (`| head -1`) has what it wanted; a full disk is another matter.
    fn note_lost(&self, result: std::io::Result<()>) {
        if result.is_err_and(|it| it.kind() != std::io::ErrorKind::BrokenPipe) {
            self.is_stdout_lost.store(true, Ordering::Relaxed);
        }
    }

    /// Shows an error that stops everything, on stderr and (if that is what is wanted) as JSON.
    pub fn failure(&self, failure: &Failure) {
        let mut text = format!("{ERROR}error{ERROR:#}: {}", failure.message);
        let causes = failure.causes();
        if !causes.is_empty() {
            let causes = causes.iter().map(|it| format!("\n  {}", it.replace('\n', "\n  ")));
            text += &format!("\n\nCaused by:{}", causes.collect::<String>());
        }
        for problem in &failure.problems {
            text += &format!("\n\n{}: {}", problem.place, problem.message);
            if let Some(help) = &problem.help {
                text += &format!("\n  {HELP}help{HELP:#}: {help}");
            }
        }
        if let Some(help) = &failure.help {
            text += &format!("\n\n{HELP}help{HELP:#}: {help}");
        }
        self.talk(&text);
        self.json_failure(failure);
    }

    /// The same as JSON alone.
    pub fn json_failure(&self, failure: &Failure) {
        let (causes, help, message) = (failure.cause_lines(), failure.help.clone(), failure.message.clone());
        self.json(&ErrorReport { error: ErrorDetails { causes, help, message } });
    }

    /// Says as JSON that the command was interrupted, if there is no document yet.
    pub fn interrupted(&self) {
        if !self.has_json.load(Ordering::Relaxed) {
            self.json_failure(&Failure::new("interrupted").with_exit(Exit::Interrupted));
        }
    }

    /// How long this command has run.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Hands the result of a push to the pipeline that this command runs in, if there is one.
    pub fn pipeline_outputs(&self, references: &str, report: &PushReport) {
        let write = || {
            github::output("references", references)?;
            github::output("images", &serde_json::to_string(&report.images)?)?;
            github::summary(&report.markdown())
        };
        if let Err(error) = write() {
            self.warn(format!("failed to write the outputs of this step of GitHub Actions: {error}"));
        }
    }

    /// How cargo is to talk, so that it agrees with us.
    pub fn cargo_flags(&self) -> Vec<String> {
        let quiet = (self.verbosity == Verbosity::Quiet).then(|| "--quiet".to_owned());
        let verbose = (self.verbosity == Verbosity::Verbose).then(|| "--verbose".to_owned());
        let color = match self.color {
            anstream::ColorChoice::Always | anstream::ColorChoice::AlwaysAnsi => Some("--color=always"),
            anstream::ColorChoice::Never => Some("--color=never"),
            anstream::ColorChoice::Auto => None,
        };
        quiet.into_iter().chain(verbose).chain(color.map(str::to_owned)).collect()
    }

    /// Something that is waited for, at most for `timeout`: in the progress line, or told once where nobody watches.
    pub fn waiting(&self, verb: &'static str, what: String, timeout: Duration) -> Waiting {
        if !self.progress.is_visible() {
            self.status(verb, format!("{what} (waiting for at most {timeout:?})"));
        }
        self.progress.wait(verb, what)
    }

    /// The share of an upload of `bytes` in the progress line, which is there where somebody watches.
    pub fn bar(&self, bytes: u64) -> Bar {
        self.progress.begin(bytes)
    }
}
