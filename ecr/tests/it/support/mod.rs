//! Workspaces made in temporary folders, commands run in them, and registries for them to talk to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

mod registry;
mod schema;
pub use registry::Registry;

/// The seed's lifecycle policy, in one line.
pub const POLICY: &str = r#"{"rules":[{"rulePriority":1,"description":"Keep last 10 images","selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":10},"action":{"type":"expire"}}]}"#;

/// A workspace in a folder of its own, which goes when it is dropped.
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

    /// The services of the seed: `my-app` and `my-app-worker` of project `my-project`.
    pub fn seed() -> Self {
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
        self.members.push(name.to_owned());
        self.write_manifest();
        self
    }

    /// Writes `ecr/repositories.json`.
    pub fn repositories(self, json: &str) -> Self {
        self.file("ecr/repositories.json", json);
        self
    }

    /// Writes a file.
    pub fn file(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The folder.
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
        self.file("Cargo.toml", &manifest);
    }

    /// A command in this workspace, with nothing of AWS in its environment but dummy keys.
    pub fn command(&self, args: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask-ecr"));
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

    /// Runs git.
    pub fn git(&self, args: &[&str]) {
        let output = Command::new("git")
            .current_dir(self.root())
            .args(["-c", "user.name=Test", "-c", "user.email=test@localhost"])
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A command that is about to run.
pub struct Run {
    command: Command,
    root: PathBuf,
}

impl Run {
    /// Sets a variable.
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

    /// Takes the dummy credentials away.
    pub fn without_keys(mut self) -> Self {
        self.command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        self
    }

    /// Finds the Rust toolchain and no other program: neither docker nor podman.
    pub fn without_path(self) -> Self {
        let cargo = std::env::var("CARGO").unwrap();
        let bin = Path::new(&cargo).parent().unwrap().display().to_string();
        self.env("PATH", &bin)
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Output {
        let output = self.command.output().unwrap();
        let args = self.command.get_args().map(|it| it.to_string_lossy().into_owned()).collect();
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            root: self.root,
            args,
        }
    }

    /// Starts it.
    pub fn spawn(mut self) -> std::process::Child {
        self.command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }
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
    /// The JSON on stdout, which keeps to the schema of its command.
    pub fn json(&self) -> Value {
        let json = serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        schema::check(&self.args, &json);
        json
    }

    /// The same, of a command that must have ended with `code`.
    pub fn json_with(&self, code: i32) -> Value {
        assert_eq!(self.code, code, "{self:#?}");
        self.json()
    }

    /// Fails unless the command ended well.
    pub fn good(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// Everything, with what differs from run to run replaced.
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

/// Ports, digests and times become words.
fn redact(text: &str) -> String {
    let text = replace_after(text, "127.0.0.1:", |c| c.is_ascii_digit(), "[PORT]");
    let text = replace_after(&text, "sha256:", |c| c.is_ascii_hexdigit(), "[DIGEST]");
    let line = |line: &str| match line.rsplit_once(" in ") {
        Some((before, after)) if after.ends_with('s') && line.trim_start().starts_with("Finished") => {
            format!("{before} in [TIME]")
        }
        _ => line.trim_end().to_owned(),
    };
    // Cargo says that where another cargo of this machine is at work.
    let lines = text.lines().filter(|it| !it.contains("Blocking waiting for file lock"));
    lines.map(|it| line(it) + "\n").collect()
}

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

/// The members of a list of objects, by `name`.
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

/// A static binary of an architecture, as far as its headers tell (System V ABI, "ELF Header"): no segment, and so many
/// bytes that do not compress.
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
    // Nothing of it can be compressed: the finalizer of MurmurHash3 over the positions.
    bytes.extend((0..payload as u32).map(|n| {
        let n = (n ^ n >> 16).wrapping_mul(0x85eb_ca6b);
        let n = (n ^ n >> 13).wrapping_mul(0xc2b2_ae35);
        (n ^ n >> 16) as u8
    }));
    bytes
}
