//! Programs that are run for their output, such as `cargo metadata` and git, within a limit of time.
//!
//! Builds have no limit: they take as long as they take, and say themselves what they do.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ecr_oci::http::{Limits, OnWait};
use ecr_types::{human, lock};
use thiserror::Error;

/// How long to wait for a program, and who is told about the wait.
#[derive(Clone)]
pub struct Patience {
    /// The maximum time.
    pub limit: Duration,
    /// The time after which `on_wait` is called, and the times after that.
    pub first: Duration,
    pub next: Duration,
    /// Gets the program with its first argument.
    pub on_wait: OnWait,
}

impl Patience {
    /// The default limit of the network, without anybody to tell: for what takes milliseconds wherever it works.
    pub fn silent() -> Self {
        let (limit, on_wait) = (Limits::default().total, Arc::new(|_: &str, _: Option<&str>| ()));
        Self { limit, first: limit, next: limit, on_wait }
    }
}

/// What a program printed, and how it ended.
#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Why there is no output.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// The program cannot be run.
    #[error("failed to run `{program}`")]
    NotRun {
        program: String,
        #[source]
        cause: io::Error,
    },
    /// The program has ended, and another process keeps its output open: it may be incomplete.
    #[error("`{program}` has ended, but a process that it started keeps its output open")]
    Open { program: String },
    /// The program did not end in time, and was killed.
    #[error("`{program}` did not end within {}", human::duration(*.limit))]
    TimedOut { program: String, limit: Duration },
}

impl ProcessError {
    /// What the user can do about the error. `None` if unknown.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NotRun { .. } | Self::Open { .. } => None,
            Self::TimedOut { program, .. } => Some(format!(
                "run `{program}` by itself to see what it waits for, or wait longer with --network-timeout"
            )),
        }
    }
}

/// A process that the program leaves running may keep its pipes open. They are read for so long after its end. On a busy
/// machine the threads that read may have to wait for their turn, and what they have not read yet would be lost.
const AFTERWARDS: Duration = Duration::from_secs(3);
/// The interval at which the end of a program is looked for whose pipes stay open.
const INTERVAL: Duration = Duration::from_millis(20);

/// Runs a program with `input` on its stdin, and reads what it prints.
///
/// # Errors
/// The program cannot be run, does not end in time, or leaves a process that keeps its output open. A program that fails has an
/// output.
pub fn output(command: &mut Command, input: &[u8], patience: &Patience) -> Result<Output, ProcessError> {
    let program = name(command);
    let not_run = |cause| ProcessError::NotRun { program: program.clone(), cause };
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    let command = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(not_run)?;
    let (sender, ended) = mpsc::channel();
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_owned();
        // A program that ends before it has read its input has its own error.
        thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let stdout = read(child.stdout.take(), sender.clone());
    let stderr = read(child.stderr.take(), sender);
    let tell = || (patience.on_wait)(&format!("`{program}`"), None);
    match wait(&mut child, &ended, patience, tell).map_err(not_run)? {
        End::Whole(status) => {
            let taken = |it: Arc<Mutex<Vec<u8>>>| std::mem::take(&mut *lock(&it));
            Ok(Output { status, stdout: taken(stdout), stderr: taken(stderr) })
        }
        End::Open => Err(ProcessError::Open { program }),
        End::TimedOut => Err(ProcessError::TimedOut { program, limit: patience.limit }),
    }
}

/// The end of a program.
enum End {
    /// All of its output was read.
    Whole(ExitStatus),
    /// Its output is still open.
    Open,
    /// It was killed at the limit.
    TimedOut,
}

/// The program and its command: `cargo metadata`, `git status`.
fn name(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let mut arguments =
        command.get_args().map(|it| it.to_string_lossy()).skip_while(|it| it.starts_with("--no-"));
    arguments
        .next()
        .filter(|it| !it.starts_with('-'))
        .map_or(program.to_string(), |it| format!("{program} {it}"))
}

/// Reads a pipe in a thread, which ends with the pipe.
fn read(pipe: Option<impl Read + Send + 'static>, ended: mpsc::Sender<()>) -> Arc<Mutex<Vec<u8>>> {
    let text = Arc::new(Mutex::new(Vec::new()));
    let shared = text.clone();
    thread::spawn(move || {
        let mut chunk = vec![0; 64 * 1024];
        if let Some(mut pipe) = pipe {
            loop {
                match pipe.read(&mut chunk) {
                    Ok(n @ 1..) => lock(&shared).extend_from_slice(&chunk[..n]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(0) | Err(_) => break,
                }
            }
        }
        let _ = ended.send(());
    });
    text
}

/// Waits until both pipes and the program have ended.
fn wait(child: &mut Child, ended: &Receiver<()>, patience: &Patience, tell: impl Fn()) -> io::Result<End> {
    let began = Instant::now();
    let (mut told_at, mut open, mut exited) = (patience.first, 2, None);
    loop {
        if let Some(status) = child.try_wait()? {
            let exited: &mut Instant = exited.get_or_insert_with(Instant::now);
            match open {
                0 => return Ok(End::Whole(status)),
                _ if exited.elapsed() >= AFTERWARDS => return Ok(End::Open),
                _ => {}
            }
        } else if began.elapsed() >= patience.limit {
            child.kill()?;
            child.wait()?;
            return Ok(End::TimedOut);
        } else if began.elapsed() >= told_at {
            tell();
            told_at += patience.next;
        }
        match open {
            0 => thread::sleep(Duration::from_millis(1)),
            _ => open -= usize::from(ended.recv_timeout(INTERVAL).is_ok()),
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    /// Runs a shell script. Returns its output or the error, and how often somebody was told.
    fn run(script: &str, input: &str, limit: Duration) -> (String, usize) {
        let (sender, told) = mpsc::channel();
        let on_wait = Arc::new(move |program: &str, _: Option<&str>| drop(sender.send(program.to_owned())));
        let step = Duration::from_millis(50);
        let patience = Patience { limit, first: step, next: step, on_wait };
        let result = output(Command::new("sh").args(["-c", script]), input.as_bytes(), &patience);
        drop(patience);
        let text = |it: Vec<u8>| String::from_utf8(it).unwrap();
        let result = match result {
            Ok(it) => format!("{}{}{}", it.status, text(it.stdout), text(it.stderr)),
            Err(error) => error.to_string(),
        };
        (result, told.iter().count())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn output_is_what_the_program_prints() {
        assert_eq!(run("echo a; echo b >&2; exit 3", "", LONG).0, "exit status: 3a\nb\n");
        assert_eq!(run("cat", "text", LONG).0, "exit status: 0text");
        // More than a pipe holds, and input that is not read.
        let long = "x".repeat(1_000_000);
        assert_eq!(run("cat", &long, LONG).0.len(), "exit status: 0".len() + long.len());
        assert_eq!(run("exec <&-; echo", &long, LONG).0, "exit status: 0\n");
    }

    #[test]
    fn output_of_a_program_that_leaves_a_process_may_be_incomplete() {
        let began = Instant::now();
        let told = "`sh` has ended, but a process that it started keeps its output open";
        assert_eq!(run("sleep 6 & echo a", "", LONG).0, told);
        assert!(began.elapsed() < Duration::from_secs(15));
        // One that closes it is no matter.
        assert_eq!(run("sleep 6 >/dev/null 2>&1 & echo a", "", LONG).0, "exit status: 0a\n");
    }

    #[test]
    fn output_of_a_program_that_does_not_end_is_an_error() {
        let (error, told) = run("exec sleep 30", "", Duration::from_millis(300));
        assert_eq!(error, "`sh` did not end within 300 ms");
        assert!((1..=5).contains(&told), "{told}");
        let (ended, told) = run("sleep 0.2", "", LONG);
        assert_eq!(ended, "exit status: 0");
        assert!(told >= 1, "a wait is told");
    }
}
