//! docker and podman, through their command lines.

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

mod build;
mod config;
mod context;
pub mod ignore;

pub use build::{Dockerfile, EngineBuild, EngineGuard, EngineSession};
pub use context::BuildContext;

/// What an engine said when it failed.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct EngineError(String);

/// A program with docker's command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// As it was named.
    pub program: PathBuf,
}

/// What is known of an engine without asking a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineProbe {
    /// It answers; its version.
    Running(String),
    /// Its program is there, and its daemon does not answer.
    Stopped,
}

/// Engines that are looked for, in this order.
const ENGINES: [&str; 2] = ["docker", "podman"];
/// Lines of an engine's talk that are passed on.
const MAX_LINES: usize = 20;
/// How long a daemon may take to tell its version.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

impl Engine {
    /// The engine that is named, else the first one that works; else the first that is installed, which says itself what
    /// is wrong.
    pub fn find(named: Option<&Path>) -> Option<Self> {
        if let Some(program) = named {
            return Some(Self { program: program.to_owned() });
        }
        let installed =
            ENGINES.into_iter().filter(|it| is_installed(it)).map(|it| Self { program: it.into() });
        let mut installed: Vec<_> = installed.collect();
        let works = |it: &Self| matches!(it.probe(), Ok(EngineProbe::Running(_)));
        // A client without its daemon is common; a single one is nothing to choose from.
        let first = if installed.len() > 1 { installed.iter().position(works) } else { None };
        (!installed.is_empty()).then(|| installed.swap_remove(first.unwrap_or(0)))
    }

    /// How people call it.
    pub fn name(&self) -> &str {
        self.program.file_name().and_then(OsStr::to_str).unwrap_or("docker")
    }

    /// Whether it runs, and in which version.
    pub fn probe(&self) -> Result<EngineProbe> {
        // podman, under whatever name, has no daemon to ask.
        if let Some(version) = self.podman_version()? {
            return Ok(EngineProbe::Running(version));
        }
        let version = self.first_line(&["version", "--format", "{{.Server.Version}}"])?;
        Ok(version.filter(|it| !it.is_empty()).map_or(EngineProbe::Stopped, EngineProbe::Running))
    }

    /// `podman version 4.3.1`.
    fn podman_version(&self) -> Result<Option<String>> {
        let said = self.first_line(&["--version"])?.unwrap_or_default();
        Ok(said.strip_prefix("podman version ").map(str::to_owned))
    }

    /// What the program answers, if it ends well and in time.
    fn first_line(&self, args: &[&str]) -> Result<Option<String>> {
        let mut command = Command::new(&self.program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = spawn(&mut command)?;
        let pipe = child.stdout.take();
        let (sender, receiver) = mpsc::channel();
        // What the program leaves running may hold the pipe open, so nobody waits for the end of this thread.
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

    /// Logs in to a registry; the password goes by standard input. Gives what the engine has to say about it.
    ///
    /// # Errors
    /// The engine's own words.
    pub fn login(&self, host: &str, username: &str, password: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(["login", "--username", username, "--password-stdin"]);
        if host::is_loopback(host) && self.podman_version()?.is_some() {
            // docker takes loopback registries for insecure ones by itself.
            command.arg("--tls-verify=false");
        }
        let command = command.arg(host).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(command)?;
        if let Some(mut stdin) = child.stdin.take() {
            // An engine that ends before it has read says why itself.
            let _ = stdin.write_all(password.as_bytes());
        }
        let output = child.wait_with_output().context("failed to wait for the engine")?;
        // Nothing that an engine repeats may bring the password into a log.
        let said = String::from_utf8_lossy(&output.stderr).replace(password, "***");
        let lines: Vec<_> = said.lines().map(str::trim).filter(|it| !it.is_empty()).take(MAX_LINES).collect();
        let said = lines.join("\n");
        if !output.status.success() {
            return Err(EngineError::new(output.status, said).into());
        }
        Ok(said)
    }
}

impl Engine {
    /// Loads an archive of images, which `write` writes.
    ///
    /// # Errors
    /// The engine's own words, else why the archive could not be written.
    pub fn load(&self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("load").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawn(&mut command)?;
        let written = child.stdin.take().map_or(Ok(()), |it| write(&mut BufWriter::new(it)));
        let output = child.wait_with_output().context("failed to wait for the engine")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(EngineError::new(output.status, said).into());
        }
        written.context("failed to write the archive")
    }
}

impl EngineError {
    /// The engine's words; where there are none, how it ended.
    fn new(status: ExitStatus, output: String) -> Self {
        Self(if output.is_empty() { format!("it failed with {status}") } else { output })
    }

    /// What to do about it, where the words are known.
    pub fn help(&self) -> Option<&'static str> {
        advice(&self.0)
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
