//! `docker build` and `docker push` with a private configuration.

use std::fs;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ecr_types::{Digest, host, lock};

use super::config::{EngineLogin, PrivateConfig};
use super::output::{self, Output};
use super::{BuildSource, ContextFolder, Engine, EngineError, Frontend, MAX_LINES};

/// An engine with a private configuration for the duration of a push.
pub struct EngineSession {
    engine: Engine,
    config: PrivateConfig,
    frontend: Frontend,
    running: Mutex<Running>,
    /// Called with each line of output of long commands. `None` if nobody sees them.
    on_line: Option<LinePrinter>,
}

/// Shows a line.
pub type LinePrinter = Box<dyn Fn(&str) + Send + Sync>;

#[derive(Default)]
struct Running {
    children: Vec<Arc<Mutex<Child>>>,
    is_closed: bool,
}

/// Ends a session when it is dropped, also on Ctrl-C: running commands are killed, and the credentials are removed.
/// Threads that use the session may live longer.
pub struct EngineGuard(Arc<EngineSession>);

impl EngineGuard {
    pub fn new(session: EngineSession) -> Self {
        Self(Arc::new(session))
    }

    /// The session, to be used in a thread.
    pub fn session(&self) -> Arc<EngineSession> {
        self.0.clone()
    }
}

impl Drop for EngineGuard {
    fn drop(&mut self) {
        let mut running = lock(&self.0.running);
        running.is_closed = true;
        for child in &running.children {
            let _ = lock(child).kill();
        }
        drop(running);
        self.0.config.remove();
    }
}

/// The input of a build.
#[derive(Debug, Clone)]
pub struct EngineBuild {
    pub source: BuildSource,
    /// Platforms such as `linux/arm64`, separated by commas. `None` is the default platform of the engine.
    pub platform: Option<String>,
    /// Additional arguments of the build command.
    pub args: Vec<String>,
}

impl EngineBuild {
    /// The folder and the Dockerfile of the user, if they are the source.
    pub fn context(&self) -> Option<&ContextFolder> {
        match &self.source {
            BuildSource::Folder(folder) => Some(folder),
            BuildSource::Generated { .. } => None,
        }
    }

    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        match self.context() {
            Some(folder) => folder.explain(error),
            None => error,
        }
    }
}

impl EngineSession {
    /// Creates a session that knows the credentials of `login`. `on_line` is called with each line of output of long commands.
    pub fn new(engine: Engine, login: Option<EngineLogin>, on_line: Option<LinePrinter>) -> Result<Self> {
        let frontend = engine.frontend()?;
        let config = PrivateConfig::new(login)?;
        Ok(Self { engine, config, frontend, running: Mutex::default(), on_line })
    }

    /// The builder of [`EngineSession::build`].
    pub fn frontend(&self) -> Frontend {
        self.frontend
    }

    fn is_podman(&self) -> bool {
        self.frontend == Frontend::Podman
    }

    /// The name of the engine, for messages.
    pub fn name(&self) -> &str {
        self.engine.name()
    }

    /// What of the user's configuration was left out because it is malformed: sentences that name the file.
    pub fn config_problems(&self) -> &[String] {
        self.config.problems()
    }

    /// Builds an image and returns its ID.
    pub fn build(&self, build: &EngineBuild) -> Result<Digest> {
        let folder = tempfile_folder(&self.config)?;
        let id_file = folder.join("id");
        let mut command = self.command(&["build", "--iidfile"]);
        command.arg(&id_file);
        if let Some(platform) = &build.platform {
            command.args(["--platform", platform]);
        }
        self.run_build(&mut command, build, self.frontend, &folder)?;
        let id = fs::read_to_string(&id_file).context("the engine did not write the ID of the image")?;
        let _ = fs::remove_dir_all(&folder);
        let id = id.trim();
        let id = if id.starts_with("sha256:") { id.to_owned() } else { format!("sha256:{id}") };
        id.parse().map_err(|it| anyhow::anyhow!("the engine wrote an invalid image ID: {it}"))
    }

    /// Builds on a builder of buildx, pushes the image from there with all `names`, and returns its digest.
    ///
    /// Attestations are disabled unless requested with `-- --provenance=true`, because they turn a single image into an
    /// index.
    pub fn build_and_push(&self, builder: &str, build: &EngineBuild, names: &[String]) -> Result<Digest> {
        if self.run(&mut self.command(&["buildx", "version"]), |_| Ok(()), false).is_err() {
            bail!(
                "`{}` has no buildx: install docker-buildx-plugin, or omit --engine-builder",
                self.engine.name()
            );
        }
        let folder = tempfile_folder(&self.config)?;
        let metadata = folder.join("metadata.json");
        let mut command =
            self.command(&["buildx", "build", "--builder", builder, "--push", "--provenance=false"]);
        command.arg("--metadata-file").arg(&metadata);
        if let Some(platform) = &build.platform {
            command.args(["--platform", platform]);
        }
        names.iter().for_each(|it| {
            command.args(["--tag", it]);
        });
        self.run_build(&mut command, build, Frontend::BuildKit, &folder)?;
        let json = fs::read(&metadata).context("buildx did not write its metadata file")?;
        let json: serde_json::Value =
            serde_json::from_slice(&json).context("the metadata file of buildx is not valid JSON")?;
        let _ = fs::remove_dir_all(&folder);
        let digest = json["containerimage.digest"].as_str().unwrap_or_default();
        digest
            .parse()
            .map_err(|it| anyhow::anyhow!("`containerimage.digest` in the metadata of buildx: {it}"))
    }

    /// Runs a build command with its input. `private` is an empty folder.
    fn run_build(
        &self,
        command: &mut Command,
        build: &EngineBuild,
        frontend: Frontend,
        private: &Path,
    ) -> Result<()> {
        let input = build.source.input(frontend, private)?;
        command.arg("--file").arg(&input.dockerfile);
        if let Some(file) = &input.ignore_file {
            command.arg("--ignorefile").arg(file);
        }
        command.args(&build.args).arg(&input.context);
        let write = |stdin: &mut dyn Write| match &input.archive {
            Some(archive) => archive.write(BufWriter::new(stdin)),
            None => Ok(()),
        };
        self.run(command, write, true).map(drop).map_err(|it| build.explain(it))
    }

    /// Adds a name to an image.
    pub fn tag(&self, id: &Digest, name: &str) -> Result<()> {
        let id = if self.is_podman() { id.hex() } else { id.as_str() };
        self.run(&mut self.command(&["tag", id, name]), |_| Ok(()), false).map(drop)
    }

    /// Pushes the image `name`. Returns the digest if the engine reports it.
    pub fn push(&self, name: &str) -> Result<Option<Digest>> {
        let folder = tempfile_folder(&self.config)?;
        let digest_file = folder.join("digest");
        let mut command = self.command(&["push"]);
        if self.is_podman() {
            command.arg("--digestfile").arg(&digest_file);
        }
        self.plain_http(&mut command, name);
        let output = self.run(command.arg(name), |_| Ok(()), false)?;
        let from_file = fs::read_to_string(&digest_file).ok().and_then(|it| it.trim().parse().ok());
        let _ = fs::remove_dir_all(&folder);
        // `1.0.0: digest: sha256:... size: 528`.
        let mut lines = output.lines().rev();
        let line = lines.find_map(|it| it.split_once("digest: ")?.1.split(' ').next()?.parse().ok());
        Ok(from_file.or(line))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.engine.program);
        command.args(args);
        match self.is_podman() {
            true => self.config.apply_to_podman(&mut command),
            false => self.config.apply_to_docker(&mut command),
        }
        command
    }

    /// Allows plain HTTP for loopback registries in podman. docker allows it by default.
    fn plain_http(&self, command: &mut Command, reference: &str) {
        let host = reference.split('/').next().unwrap_or_default();
        if self.is_podman() && host::is_loopback(host) {
            command.arg("--tls-verify=false");
        }
    }

    /// Runs a command and returns its standard output. `write` writes its standard input. If `is_long`, its lines are
    /// passed to `on_line` while it runs.
    fn run(
        &self,
        command: &mut Command,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
        is_long: bool,
    ) -> Result<String> {
        let child = self.start(command)?;
        let (stdin, stdout, stderr) = pipes(&child);
        let show = |line: &str| self.show(line, is_long);
        let (written, stdout, stderr) = thread::scope(|scope| {
            let stdout = scope.spawn(|| stdout.map(|it| output::read(it, show)).unwrap_or_default());
            let stderr = scope.spawn(|| stderr.map(|it| output::read(it, show)).unwrap_or_default());
            let written = stdin.map_or(Ok(()), |mut it| write(&mut it).inspect_err(|_| end(&child)));
            (written, stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default())
        });
        let status = wait(&child)?;
        lock(&self.running).children.retain(|it| !Arc::ptr_eq(it, &child));
        // The engine would say of an input that breaks off only that it does.
        if let Some(error) = written.as_ref().err().filter(|it| it.kind() != ErrorKind::BrokenPipe) {
            bail!("failed to send the build context: {error}");
        }
        if !status.success() {
            return Err(self.failure(status, &stdout, &stderr, is_long).into());
        }
        [&stdout, &stderr].into_iter().filter_map(Output::kept).for_each(show);
        written.context("failed to send the build context")?;
        Ok(stdout.lines.join("\n"))
    }

    fn start(&self, command: &mut Command) -> Result<Arc<Mutex<Child>>> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = lock(&self.running);
        if running.is_closed {
            bail!("interrupted");
        }
        let child = command.spawn().with_context(|| format!("failed to run `{}`", self.engine.name()))?;
        let child = Arc::new(Mutex::new(child));
        running.children.push(child.clone());
        Ok(child)
    }

    fn show(&self, line: &str, is_long: bool) {
        if let Some(show) = self.on_line.as_ref().filter(|_| is_long) {
            show(line);
        }
    }

    /// The error of a command. What was shown while it ran is not repeated, and of what was kept back the rest is shown.
    fn failure(&self, status: ExitStatus, stdout: &Output, stderr: &Output, is_long: bool) -> EngineError {
        // The legacy builder of docker writes its progress to stdout and errors to stderr.
        let lines: Vec<_> = stdout.lines.iter().chain(&stderr.lines).map(String::as_str).collect();
        let text = lines[lines.len().saturating_sub(MAX_LINES)..].join("\n");
        if !is_long || self.on_line.is_none() {
            return EngineError::new(status, text);
        }
        let error = EngineError::shown(status, text);
        let rest = [stdout, stderr].into_iter().filter_map(Output::kept);
        rest.filter(|it| it.trim() != error.summary).for_each(|it| self.show(it, is_long));
        error
    }
}

type Pipes = (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>);

fn pipes(child: &Mutex<Child>) -> Pipes {
    let mut child = lock(child);
    (child.stdin.take(), child.stdout.take(), child.stderr.take())
}

fn wait(child: &Mutex<Child>) -> std::io::Result<ExitStatus> {
    loop {
        // The lock is released while waiting, so that `EngineGuard` can kill the child.
        if let Some(status) = lock(child).try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Creates a folder within the private folder.
fn tempfile_folder(config: &PrivateConfig) -> Result<std::path::PathBuf> {
    config.subfolder().context("failed to create a private folder")
}

/// Kills an engine whose input breaks off, before it sees an end of the input and takes it for all of it.
fn end(child: &Mutex<Child>) {
    let _ = lock(child).kill();
}
