//! The container engines docker and podman, through their command lines.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ecr_types::host;
use thiserror::Error;

use crate::build::advice::advice;
use crate::process::{self, Patience};

mod build;
mod config;
mod context;
mod dockerfile;
mod frontend;
mod ignore;
mod login;
mod output;

pub use build::{EngineBuild, EngineGuard, EngineSession, LinePrinter};
pub use config::EngineLogin;
pub use context::{BuildSource, ContextFolder, LeftOut};
pub use frontend::Frontend;
pub use ignore::DockerIgnore;
pub use login::LoginHelper;

/// A failed engine command.
#[derive(Debug, Error)]
#[error("{summary}")]
pub struct EngineError {
    /// What is not on the terminal yet.
    summary: String,
    /// All that the engine said, for [`EngineError::help`].
    output: String,
}

/// A program with the command line of docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// The name or path of the program.
    pub program: PathBuf,
}

/// The state of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineProbe {
    /// The engine works, and has this version.
    Running(String),
    /// The program is installed, but its daemon does not respond.
    Stopped,
}

/// The engines that are searched for, in this order.
const ENGINES: [&str; 2] = ["docker", "podman"];
/// The maximum number of lines of an engine's output in an error.
const MAX_LINES: usize = 20;
/// The timeout for the version of an engine.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

impl Engine {
    /// The engine `named`, or the first one that works, or the first one that is installed, whose own error message is
    /// shown later. `None` if no engine is installed.
    pub fn find(named: Option<&Path>) -> Option<Self> {
        if let Some(program) = named {
            return Some(Self { program: program.to_owned() });
        }
        let installed =
            ENGINES.into_iter().filter(|it| is_installed(it)).map(|it| Self { program: it.into() });
        let mut installed: Vec<_> = installed.collect();
        let works = |it: &Self| matches!(it.probe(), Ok(EngineProbe::Running(_)));
        // A client without a daemon is common. With a single engine there is no choice, so that it is not probed.
        let first = if installed.len() > 1 { installed.iter().position(works) } else { None };
        (!installed.is_empty()).then(|| installed.swap_remove(first.unwrap_or(0)))
    }

    /// The name for messages.
    pub fn name(&self) -> &str {
        self.program.file_name().and_then(OsStr::to_str).unwrap_or("docker")
    }

    /// Whether the engine works, and its version.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn probe(&self) -> Result<EngineProbe> {
        // podman has no daemon. The name of the program does not tell, because `docker` may be an alias of podman.
        if let Some(version) = self.podman_version()? {
            return Ok(EngineProbe::Running(version));
        }
        let version = self.first_line(&["version", "--format", "{{.Server.Version}}"])?;
        Ok(version.filter(|it| !it.is_empty()).map_or(EngineProbe::Stopped, EngineProbe::Running))
    }

    /// The version in `podman version 4.3.1`. `None` for other engines.
    fn podman_version(&self) -> Result<Option<String>> {
        let line = self.first_line(&["--version"])?.unwrap_or_default();
        Ok(line.strip_prefix("podman version ").map(str::to_owned))
    }

    /// The builder of the `build` command.
    fn frontend(&self) -> Result<Frontend> {
        let line = self.first_line(&["--version"])?.unwrap_or_default();
        match line.starts_with("podman version ") {
            true => Ok(Frontend::Podman),
            false => Frontend::of_docker(self, &line),
        }
    }

    /// Whether the plugin buildx is installed.
    fn has_buildx(&self) -> Result<bool> {
        Ok(self.first_line(&["buildx", "version"])?.is_some())
    }

    /// The first line of output, if the program succeeds within the timeout.
    fn first_line(&self, args: &[&str]) -> Result<Option<String>> {
        let mut command = Command::new(&self.program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = spawn(&mut command)?;
        let pipe = child.stdout.take();
        let (sender, receiver) = mpsc::channel();
        // A process that the program leaves running may keep the pipe open, so that this thread is not joined.
        thread::spawn(move || {
            let mut line = String::new();
            let is_read = pipe.is_some_and(|it| BufReader::new(it).read_line(&mut line).is_ok());
            let _ = sender.send(is_read.then_some(line));
        });
        let end = Instant::now() + PROBE_TIMEOUT;
        let line = receiver.recv_timeout(PROBE_TIMEOUT).ok().flatten();
        while child.try_wait()?.is_none() && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        if child.try_wait()?.is_none() {
            child.kill()?;
        }
        let is_good = child.wait()?.success();
        Ok(line.filter(|_| is_good).map(|it| it.trim().to_owned()))
    }

    /// Logs in to a registry. The password is passed by standard input. Returns the warnings of the engine.
    ///
    /// # Errors
    /// [`EngineError`] if the login fails, [`ProcessError`] if the engine cannot be run or does not end.
    ///
    /// [`ProcessError`]: crate::process::ProcessError
    pub fn login(&self, host: &str, username: &str, password: &str, patience: &Patience) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(["login", "--username", username, "--password-stdin"]);
        if host::is_loopback(host) && self.podman_version()?.is_some() {
            // docker uses plain HTTP for loopback registries by default.
            command.arg("--tls-verify=false");
        }
        let output = process::output(command.arg(host), password.as_bytes(), patience)?;
        // An engine may repeat the password, which must not get into a log.
        let stderr = String::from_utf8_lossy(&output.stderr).replace(password, "***");
        let lines: Vec<_> =
            stderr.lines().map(str::trim).filter(|it| !it.is_empty()).take(MAX_LINES).collect();
        let warnings = lines.join("\n");
        if !output.status.success() {
            return Err(EngineError::new(output.status, warnings).into());
        }
        Ok(warnings)
    }
}

impl Engine {
    /// Loads the archive of images that `write` writes.
    ///
    /// # Errors
    /// [`EngineError`] if the engine fails, or the archive cannot be written.
    pub fn load(&self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("load").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawn(&mut command)?;
        let written = child.stdin.take().map_or(Ok(()), |it| write(&mut BufWriter::new(it)));
        let output = child.wait_with_output().context("failed to wait for the engine")?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(EngineError::new(output.status, stderr).into());
        }
        written.context("failed to write the archive")
    }
}

impl EngineError {
    /// The output of the engine, or its exit status if there is no output.
    fn new(status: ExitStatus, output: String) -> Self {
        let summary = if output.is_empty() { format!("it failed with {status}") } else { output.clone() };
        Self { summary, output }
    }

    /// The same for output that has been shown already: the line that names the error is enough.
    fn shown(status: ExitStatus, output: String) -> Self {
        let lines = || output.lines().map(str::trim).filter(|it| !it.is_empty()).rev();
        // BuildKit may end with a hint to where its log is.
        let names_error = |it: &&str| it.get(..5).is_some_and(|it| it.eq_ignore_ascii_case("error"));
        let line = lines().find(names_error).or_else(|| lines().next());
        Self { summary: line.map_or(format!("it failed with {status}"), str::to_owned), output }
    }
    /// What the user can do about the error. `None` if the message is unknown.
    pub fn help(&self) -> Option<&'static str> {
        advice(&self.output)
    }
}

fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|it| is_executable(&it.join(program)))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

fn spawn(command: &mut Command) -> Result<Child> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.spawn().with_context(|| format!("failed to run `{program}`"))
}
