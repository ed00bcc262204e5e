//! Temporary workspaces, the commands that run in them, and the registries that those talk to.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub mod fixture;
pub mod proxy;
mod registry;
pub mod scans;
mod schema;
pub use fixture::Fixture;
pub use registry::Registry;

/// The lifecycle policy in `ecr/lifecycle-policy.json` of this repository, in one line.
pub const POLICY: &str = r#"{"rules":[{"rulePriority":1,"description":"Keep last 10 images","selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":10},"action":{"type":"expire"}}]}"#;

/// A workspace in a temporary folder, which is removed on drop.
pub struct Workspace {
    folder: tempfile::TempDir,
    members: Vec<String>,
    metadata: String,
}

impl Workspace {
    /// A workspace without members, whose region is us-east-1.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Self { folder, members: Vec::new(), metadata: "region = \"us-east-1\"\n".to_owned() };
        workspace.file("ecr/lifecycle-policy.json", POLICY);
        workspace.write_manifest();
        workspace
    }

    /// A workspace with the services `my-app` and `my-app-worker` and the project `my-project`.
    pub fn example() -> Self {
        let workspace = Self::new().metadata("region = \"us-east-1\"\nproject = \"my-project\"\n");
        workspace.service("my-app", "").service("my-app-worker", "")
    }

    /// Replaces `[workspace.metadata.ecr]`.
    pub fn metadata(mut self, toml: &str) -> Self {
        self.metadata = toml.to_owned();
        self.write_manifest();
        self
    }

    /// Adds a member that is a service; `metadata` is its table, after the header.
    pub fn service(self, name: &str, metadata: &str) -> Self {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n\
             [package.metadata.ecr]\n{metadata}"
        );
        self.member(name, &manifest, "fn main() { println!(\"hello\"); }\n")
    }

    /// Adds a member with a manifest and a `main.rs`.
    pub fn member(mut self, name: &str, manifest: &str, main: &str) -> Self {
        self.file(&format!("{name}/Cargo.toml"), manifest);
        self.file(&format!("{name}/src/main.rs"), main);
        self.add_member(name);
        self
    }

    /// Adds a member whose files the caller writes.
    pub fn add_member(&mut self, name: &str) {
        self.members.push(name.to_owned());
        self.write_manifest();
    }

    /// Writes `ecr/repositories.json`.
    pub fn repositories(self, json: &str) -> Self {
        self.file("ecr/repositories.json", json);
        self
    }

    /// Writes a file, and creates its folders.
    pub fn file(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// Adds text to a file.
    pub fn append(&self, path: &str, text: &str) {
        let before = fs::read_to_string(self.root().join(path)).unwrap();
        self.file(path, before + text);
    }

    /// Writes an executable shell script. Returns its path.
    pub fn program(&self, path: &str, script: &str) -> String {
        self.file(path, format!("#!/bin/sh\n{script}\n"));
        let path = self.root().join(path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    /// Reads a JSON file.
    pub fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&fs::read(self.root().join(path)).unwrap()).unwrap()
    }

    /// The folder of the workspace.
    pub fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    fn write_manifest(&self) {
        let members: Vec<_> = self.members.iter().map(|it| format!("\"{it}\"")).collect();
        let manifest = format!(
            "[workspace]\nresolver = \"3\"\nmembers = [{}]\n\n[workspace.metadata.ecr]\n{}",
            members.join(", "),
            self.metadata
        );
        self.file("Cargo.toml", manifest);
    }

    /// A command in this workspace. Its environment has dummy keys, and no other setting of AWS.
    pub fn command(&self, args: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-ecr"));
        // Under this name it is an xtask.
        command.arg0("xtask");
        command.current_dir(self.root()).args(args).stdin(Stdio::null());
        command.env_clear().env("HOME", self.root()).env("AWS_EC2_METADATA_DISABLED", "true");
        let inherited = ["PATH", "CARGO", "RUSTUP_TOOLCHAIN", "LLVM_PROFILE_FILE"];
        let inherited = inherited.iter().filter_map(|key| Some((*key, std::env::var_os(key)?)));
        let home = |key: &'static str, default: &str| {
            let default = || Some(std::env::home_dir()?.join(default).into_os_string());
            Some((key, std::env::var_os(key).or_else(default)?))
        };
        command.envs(inherited.chain(home("CARGO_HOME", ".cargo")).chain(home("RUSTUP_HOME", ".rustup")));
        Run { command, root: self.root() }.keys()
    }

    /// Runs a command against a registry.
    pub fn on(&self, registry: &Registry, args: &[&str]) -> Output {
        self.command(args).registry(registry).run()
    }

    /// Runs a command with `--local`.
    pub fn local(&self, args: &[&str]) -> Output {
        self.command(&[args, &["--local"]].concat()).run()
    }

    /// Makes the workspace a git repository with one commit.
    pub fn git_init(&self) {
        self.file(".gitignore", "target\nCargo.lock\n");
        self.git(&["init", "--quiet"]);
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message", "First"]);
    }

    /// Runs git, and returns the line that it prints.
    pub fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.root())
            .args(["-c", "user.name=Test", "-c", "user.email=test@localhost"])
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// A command that is about to run.
pub struct Run {
    command: Command,
    root: PathBuf,
}

impl Run {
    /// Sets an environment variable.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// Talks to a registry, with dummy credentials.
    pub fn registry(self, registry: &Registry) -> Self {
        self.env("AWS_ENDPOINT_URL", &registry.url())
    }

    fn keys(self) -> Self {
        self.env("AWS_ACCESS_KEY_ID", "dummy").env("AWS_SECRET_ACCESS_KEY", "dummy")
    }

    /// Removes the dummy credentials.
    pub fn without_keys(mut self) -> Self {
        self.command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        self
    }

    /// Limits `PATH` to the Rust toolchain: docker and podman are not found.
    pub fn without_path(self) -> Self {
        let cargo = std::env::var("CARGO").unwrap();
        let bin = Path::new(&cargo).parent().unwrap().display().to_string();
        self.env("PATH", &bin)
    }

    /// Finds cargo and rustc in `PATH` only, as a command that cargo does not run.
    pub fn without_cargo(self) -> Self {
        let mut run = self.without_path();
        run.command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
        run
    }

    /// Runs the command, and waits for its end.
    pub fn run(self) -> Output {
        // More than any command of the tests takes, so that none can hold up the others for ever.
        self.run_within(Duration::from_secs(600))
    }

    /// The same, for at most so long. Then the command is killed, and its exit code is -1.
    pub fn run_within(mut self, bound: Duration) -> Output {
        let mut child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (reading(child.stdout.take()), reading(child.stderr.take()));
        let end = Instant::now() + bound;
        while child.try_wait().unwrap().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        // Nothing happens to a command that has ended.
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        self.output(std::process::Output { status, stdout, stderr })
    }

    fn output(self, output: std::process::Output) -> Output {
        let args = self.command.get_args().map(|it| it.to_string_lossy().into_owned()).collect();
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            root: self.root,
            args,
        }
    }

    /// Starts the command, and sends SIGINT to it and to its children as a terminal does, once `is_time` holds or it has ended.
    /// Returns what it printed, and the time from the signal to its end.
    pub fn interrupted(mut self, is_time: impl Fn() -> bool) -> (Output, Duration) {
        use std::os::unix::process::CommandExt;
        let command = self.command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while !is_time() && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "the moment for the signal did not come");
            std::thread::sleep(Duration::from_millis(1));
        }
        let signal = format!("kill -INT -{} 2>/dev/null", child.id());
        let sent = Instant::now();
        let _ = Command::new("sh").args(["-c", &signal]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        (self.output(output), sent.elapsed())
    }

    /// Starts the command, with stdout piped.
    pub fn spawn(mut self) -> std::process::Child {
        self.command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// Reads a pipe to its end, in a thread.
fn reading(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    root: PathBuf,
    args: Vec<String>,
}

impl Output {
    /// The JSON on stdout. Fails unless it is valid under the schema of its command.
    pub fn json(&self) -> Value {
        let json = serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        schema::check(&self.args, &json);
        json
    }

    /// The same. Fails unless the exit code is `code`.
    pub fn json_with(&self, code: i32) -> Value {
        assert_eq!(self.code, code, "{self:#?}");
        self.json()
    }

    /// Fails unless the exit code is 0.
    pub fn good(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// Stdout, stderr and exit code as one text for a snapshot; see [`redact`].
    pub fn shown(&self) -> String {
        let mut text = self.stdout.clone();
        if !self.stderr.is_empty() {
            text += &format!("--- stderr\n{}", self.stderr);
        }
        if self.code != 0 {
            text += &format!("--- exit {}\n", self.code);
        }
        redact(&text.replace(&self.root.display().to_string(), "[ROOT]"))
    }

    /// The warnings on stderr.
    pub fn warnings(&self) -> Vec<&str> {
        self.stderr.lines().filter_map(|it| it.strip_prefix("warning: ")).collect()
    }
}

/// The beginnings of lines that end with a duration.
const TIMED: [&str; 3] = ["Finished ", "Loaded ", "Request "];

/// Replaces what differs from run to run or from machine to machine.
fn redact(text: &str) -> String {
    // Ports of registries and proxies.
    let text = replace_after(text, "127.0.0.1:", |c| c.is_ascii_digit(), "[PORT]");
    // Digests of images, which depend on the compiler.
    let text = replace_after(&text, "sha256:", |c| c.is_ascii_hexdigit(), "[DIGEST]");
    let line = |line: &str| match (line.rsplit_once(" in "), line.split_once(", until ")) {
        // The duration of a push, of a build by cargo, of a request.
        (Some((before, after)), _)
            if after.ends_with('s') && TIMED.iter().any(|it| line.trim_start().starts_with(it)) =>
        {
            format!("{before} in [TIME]")
        }
        // The expiry of a login: `, until 2026-01-01T00:00:00Z (12 hours)`.
        (_, Some((before, after))) if after.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("{before}, until [TIME]{}", after.trim_start_matches(|c: char| !c.is_whitespace()))
        }
        _ => line.trim_end().to_owned(),
    };
    let is_of_cargo = |line: &str| {
        // Another cargo is at work on this machine.
        line.contains("Blocking waiting for file lock")
            // The summary of a build in the profile `dev`.
            || line.contains("[unoptimized")
    };
    text.lines().filter(|it| !is_of_cargo(it)).map(|it| line(it) + "\n").collect()
}

/// Replaces the characters that follow each `prefix` and are variable by a word.
fn replace_after(text: &str, prefix: &str, is_variable: impl Fn(char) -> bool, word: &str) -> String {
    let mut parts = text.split(prefix);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        replaced += prefix;
        replaced += word;
        replaced += part.trim_start_matches(&is_variable);
    }
    replaced
}

/// Replaces the short digests in tables, and the escape characters of colours. This is apart from [`redact`], as account IDs
/// look like short digests, and some snapshots show fixed digests.
pub fn without_digests(text: &str) -> String {
    let is_digest = |word: &str| word.len() == 12 && word.bytes().all(|it| it.is_ascii_hexdigit());
    let word = |word: &str| if is_digest(word) { "[-digest--]".to_owned() } else { word.to_owned() };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "\n";
    text.replace('\x1b', "^").lines().map(line).collect()
}

/// The object of a list that has a `name`.
pub fn by_name<'a>(list: &'a Value, name: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|it| it["name"] == name).unwrap()
}

/// All files below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// The headers of a static binary of an architecture (System V ABI, "ELF Header") without any segment, and `payload` bytes
/// that do not compress.
pub fn static_binary(architecture: &str, payload: usize) -> Vec<u8> {
    let machine = if architecture == "aarch64" { 183 } else { 62 };
    let mut bytes = vec![0; 64];
    // Magic, 64 bits, little endian, version 1.
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let mut half = |at: usize, value: u16| bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    // ET_EXEC, the machine, and the sizes of the headers.
    [(16, 2), (18, machine), (20, 1), (52, 64), (54, 56), (58, 64)]
        .into_iter()
        .for_each(|(at, it)| half(at, it));
    // The finalizer of MurmurHash3 over the positions, which does not compress.
    bytes.extend((0..payload as u32).map(|n| {
        let n = (n ^ n >> 16).wrapping_mul(0x85eb_ca6b);
        let n = (n ^ n >> 13).wrapping_mul(0xc2b2_ae35);
        (n ^ n >> 16) as u8
    }));
    bytes
}
