//! Parses the command line and runs the command to its exit code.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use ecr_oci::files;

use super::arguments::reordered;
use super::commands;
use super::error::{Exit, Failure};
use super::examples::with_examples;
use super::flags::{
    Completions, Create, Delete, DeliveryTask, Deployed, EcrTask, Explain, IamPolicy, Images, Init,
    InstalledTask, LifecycleCheck, LifecyclePreview, LifecycleTask, Login, Man, OutputArgs, PinBases, Plan,
    Promote, Push, Resolve, Scan, Serve, Status, Task,
};
use super::interruption::Signals;
use super::near_miss;
use super::program::{Program, named};
use super::shell::{Format, Printable, Shell, Verbosity};

/// Implements `run` for each command. `$output` is the path of its output flags, `$run` the function that
/// runs it.
macro_rules! commands {
    ($($command:ident { $($output:ident).+ } => $run:path),* $(,)?) => {$(
        impl $command {
            /// Runs the command in a new tokio runtime and returns its exit code.
            pub fn run(self) -> ExitCode {
                // Boxed, as the states of some commands are too large to be moved about.
                execute(&self.$($output).+, async |shell| Box::pin($run(&self, shell)).await)
            }
        }
    )*};
}

commands! {
    Plan { common.output } => commands::plan::run,
    Create { common.output } => commands::create::run,
    Delete { common.output } => commands::delete::run,
    Status { common.output } => commands::status::run,
    Images { common.output } => commands::images::run,
    Scan { common.output } => commands::scan::run,
    IamPolicy { common.output } => commands::iam_policy::run,
    PinBases { common.output } => commands::pin_bases::run,
    Login { common.output } => commands::login::run,
    LifecycleCheck { output } => commands::lifecycle::check::run,
    LifecyclePreview { common.output } => commands::lifecycle::preview::run,
    Serve { output } => commands::serve::run,
    Completions { output } => commands::completions::run,
    Man { output } => commands::man::run,
    Explain { output } => commands::explain::run,
    Init { output } => commands::init::run,
    Push { common.output } => commands::push::run,
    Resolve { common.output } => commands::resolve::run,
    Promote { common.output } => commands::promote::run,
    Deployed { common.output } => commands::deployed::run,
}

impl Task {
    /// Runs the task in a new tokio runtime and returns its exit code.
    pub fn run(self) -> ExitCode {
        match self {
            Self::Ecr(task) => task.run(),
            Self::Push(it) => it.run(),
            Self::Delivery(task) => task.run(),
        }
    }
}

impl InstalledTask {
    /// Runs the task in a new tokio runtime and returns its exit code.
    pub fn run(self) -> ExitCode {
        match self {
            Self::Ecr(task) => task.run(),
            Self::Push(it) => it.run(),
            Self::Delivery(task) => task.run(),
        }
    }
}

impl DeliveryTask {
    /// Runs the task in a new tokio runtime and returns its exit code.
    pub fn run(self) -> ExitCode {
        match self {
            Self::Resolve(it) => it.run(),
            Self::Promote(it) => it.run(),
        }
    }
}

impl EcrTask {
    /// Runs the task in a new tokio runtime and returns its exit code.
    pub fn run(self) -> ExitCode {
        match self {
            Self::Plan(it) => it.run(),
            Self::Create(it) => it.run(),
            Self::Delete(it) => it.run(),
            Self::Status(it) => it.run(),
            Self::Images(it) => it.run(),
            Self::Scan(it) => it.run(),
            Self::Lifecycle(task) => task.run(),
            Self::IamPolicy(it) => it.run(),
            Self::PinBases(it) => it.run(),
            Self::Deployed(it) => it.run(),
            Self::Login(it) => it.run(),
            Self::Serve(it) => it.run(),
            Self::Completions(it) => it.run(),
            Self::Man(it) => it.run(),
            Self::Explain(it) => it.run(),
            Self::Init(it) => it.run(),
        }
    }
}

impl LifecycleTask {
    /// Runs the task in a new tokio runtime and returns its exit code.
    pub fn run(self) -> ExitCode {
        match self {
            Self::Check(it) => it.run(),
            Self::Preview(it) => it.run(),
        }
    }
}

/// Runs a command until it ends or is interrupted, and prints its failure.
fn execute(output: &OutputArgs, command: impl AsyncFnOnce(&Shell) -> Result<Exit, Failure>) -> ExitCode {
    let shell = Shell::new(output.format, output.color, output.verbosity());
    let result = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(until_interrupted(&shell, command));
            // After Ctrl-C, a blocking thread may still wait for cargo or read from stdin.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(anyhow::Error::new(error).context("failed to start the runtime").into()),
    };
    let exit = result.unwrap_or_else(|failure| {
        shell.failure(&failure);
        failure.exit
    });
    files::remove_temporary_files();
    if shell.has_stdout_failed() {
        shell.failure(&Failure::new("failed to write to stdout"));
        return ExitCode::from(Exit::Failed as u8);
    }
    ExitCode::from(exit as u8)
}

/// The time in which a command that was interrupted has to report what it had done. It takes a few milliseconds.
const REPORT: Duration = Duration::from_secs(2);
/// The time within which a signal counts as the reason of a failure: a child process dies of the same signal.
const SAME_SIGNAL: Duration = Duration::from_millis(5);

async fn until_interrupted(
    shell: &Shell,
    command: impl AsyncFnOnce(&Shell) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let mut signals = Signals::catch();
    let mut command = std::pin::pin!(command(shell));
    let result = tokio::select! {
        result = &mut command => Some(result),
        () = signals.next() => None,
    };
    match result {
        Some(Ok(Exit::Done)) => return Ok(Exit::Done),
        Some(result) if tokio::time::timeout(SAME_SIGNAL, signals.next()).await.is_err() => return result,
        Some(_) => {}
        None => {
            shell.interruption().interrupt();
            if shell.interruption().is_reported() {
                let reported = tokio::time::timeout(REPORT, command).await;
                if let Ok(result) = reported {
                    return result;
                }
            }
        }
    }
    shell.interrupted();
    Ok(Exit::Interrupted)
}

/// Parses a command line. `args` do not contain the program's name.
///
/// # Errors
/// Help, the version or a usage error was printed; the exit code.
pub fn parse_from<C: Parser>(
    program: Program,
    args: impl IntoIterator<Item = OsString>,
) -> Result<C, ExitCode> {
    program.set();
    let name = program.name;
    let args: Vec<OsString> = std::iter::once(name.into()).chain(args).collect();
    let mut command = with_examples(C::command().name(name).bin_name(name));
    let args = reordered(&command, args);
    let matches = command.try_get_matches_from_mut(&args);
    matches.and_then(|it| C::from_arg_matches(&it)).map_err(|error| {
        let (error, advice) = with_advice(&command, error, &args);
        print_usage_error(&error, advice, &args)
    })
}

/// The error with advice in the place of clap's guesses, where this tool has another word for what was typed.
fn with_advice(
    command: &clap::Command,
    mut error: clap::Error,
    args: &[OsString],
) -> (clap::Error, Option<String>) {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let words = words(command, args);
    let advice = match error.kind() {
        ErrorKind::InvalidSubcommand => text(ContextKind::InvalidSubcommand)
            .and_then(|it| near_miss::of_subcommand(words.last().copied(), &it)),
        ErrorKind::UnknownArgument => {
            let argument = text(ContextKind::InvalidArg);
            argument.and_then(|it| near_miss::of_argument(words.last().copied().unwrap_or_default(), &it))
        }
        _ => None,
    };
    if let Some(advice) = &advice {
        for guess in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::TrailingArg] {
            error.remove(guess);
        }
        let advice = StyledStr::from(named(advice).into_owned());
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![advice]));
    }
    (error, advice)
}

/// The subcommands at the beginning of the arguments.
fn words<'a>(command: &clap::Command, args: &'a [OsString]) -> Vec<&'a str> {
    let mut current = command;
    let mut words = Vec::new();
    for word in args.iter().skip(1).map_while(|it| it.to_str()) {
        let Some(found) = current.find_subcommand(word) else { break };
        words.push(word);
        current = found;
    }
    words
}

/// Prints help and version to stdout (exit code 0), and usage errors to stderr (exit code 1: clap's 2 means
/// "changes" here).
fn print_usage_error(error: &clap::Error, advice: Option<String>, args: &[OsString]) -> ExitCode {
    print_error_of_clap(error, args);
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return ExitCode::from(Exit::Done as u8);
    }
    if requests_json(args) {
        // The message is the first paragraph; the usage follows it.
        let text = error.to_string();
        let lines = text.lines().take_while(|it| !it.trim().is_empty()).map(str::trim);
        let message = lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned();
        let help = advice.unwrap_or_else(|| "run the command with --help".to_owned());
        let failure = Failure::new(message).with_help(help);
        Shell::new(Format::Json, None, Verbosity::Quiet).json_failure(&failure);
    }
    ExitCode::from(Exit::Failed as u8)
}

/// clap mixes its styles with what was typed. If that has characters that a terminal obeys, the message is printed
/// without styles, so that they can be told apart.
fn print_error_of_clap(error: &clap::Error, args: &[OsString]) {
    let is_plain = |it: &OsString| Printable::line(&it.to_string_lossy()).as_str() == it.to_string_lossy();
    if args.iter().all(is_plain) {
        let _ = error.print();
    } else {
        let shell = Shell::new(Format::Human, None, Verbosity::Quiet);
        shell.eprint(error.to_string().trim_end());
    }
}

/// Whether a command line that could not be parsed requests JSON.
fn requests_json(args: &[OsString]) -> bool {
    let texts: Vec<_> = args.iter().map(|it| it.to_string_lossy()).collect();
    texts.iter().any(|it| it == "--format=json")
        || texts.windows(2).any(|it| it[0] == "--format" && it[1] == "json")
}
