//! docker and podman, through their command lines.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A program with docker's command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// As it was named.
    pub program: PathBuf,
}

/// What is known of an engine without asking a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It answers; its version.
    Running(String),
    /// Its program is there, and its daemon does not answer.
    Stopped,
}

/// Engines that are looked for, in this order.
const KNOWN: [&str; 2] = ["docker", "podman"];
/// How long a daemon may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(3);

impl Engine {
    /// The engine that is named, else the first one that is installed.
    pub fn find(named: Option<&Path>) -> Option<Self> {
        match named {
            Some(program) => Some(Self { program: program.to_owned() }),
            None => KNOWN.into_iter().find(|it| is_installed(it)).map(|it| Self { program: it.into() }),
        }
    }

    /// How people call it.
    pub fn name(&self) -> &str {
        self.program.file_name().and_then(OsStr::to_str).unwrap_or("docker")
    }

    fn is_podman(&self) -> bool {
        self.name().starts_with("podman")
    }

    /// Whether it runs, and in which version.
    pub fn probe(&self) -> Result<Found> {
        // podman has no daemon to ask.
        let format = if self.is_podman() { "{{.Client.Version}}" } else { "{{.Server.Version}}" };
        let mut command = Command::new(&self.program);
        command.args(["version", "--format", format]);
        let output = finish(spawn(&mut command)?, PATIENCE)?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(if output.status.success() && !version.is_empty() {
            Found::Running(version)
        } else {
            Found::Stopped
        })
    }

    /// Logs in to a registry; the password goes by standard input. Gives what the engine has to say about it.
    ///
    /// # Errors
    /// The engine's own words.
    pub fn login(&self, host: &str, username: &str, password: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(["login", "--username", username, "--password-stdin"]);
        if self.is_podman() && is_loopback(host) {
            // docker takes loopback registries for insecure ones by itself.
            command.arg("--tls-verify=false");
        }
        let mut child = spawn(command.arg(host).stdin(Stdio::piped()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // An engine that ends before it has read says why itself.
            let _ = stdin.write_all(password.as_bytes());
        }
        let output = child.wait_with_output().context("failed to wait for it")?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if !output.status.success() {
            bail!(if said.is_empty() { format!("it ended with {}", output.status) } else { said });
        }
        Ok(said)
    }
}

fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|it| it.join(program).is_file())
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost"
        || name == "[::1]"
        || name.parse::<std::net::Ipv4Addr>().is_ok_and(|it| it.is_loopback())
}

fn spawn(command: &mut Command) -> Result<Child> {
    let program = command.get_program().to_string_lossy().into_owned();
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().with_context(|| format!("failed to run `{program}`"))
}

/// The end of a process; one that takes longer than `patience` is ended.
fn finish(mut child: Child, patience: Duration) -> Result<Output> {
    let end = Instant::now() + patience;
    while child.try_wait()?.is_none() {
        if Instant::now() >= end {
            child.kill()?;
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let status = child.wait()?;
    // What it left running may hold the pipe open: read what is there only of a process that ended by itself.
    let (mut stdout, stderr) = (Vec::new(), Vec::new());
    if let (true, Some(mut pipe)) = (status.success(), child.stdout.take()) {
        pipe.read_to_end(&mut stdout)?;
    }
    Ok(Output { status, stdout, stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_loopback() {
        assert!(is_loopback("127.0.0.1:4510") && is_loopback("localhost") && is_loopback("[::1]:80"));
        assert!(!is_loopback("127.0.0.1.example.com") && !is_loopback("1.dkr.ecr.eu-west-1.amazonaws.com"));
    }
}
