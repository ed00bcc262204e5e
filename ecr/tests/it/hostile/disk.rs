//! A disk without space below the embedded ECR. The limit on the size of files (RLIMIT_FSIZE) stands for it: it needs no
//! rights, and writes fail in the same way, in the middle of a blob.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Output, Registry, Workspace, files_below, static_binary};

/// A process that ends with its test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn hostile_full_disk_is_told_at_once_and_heals() {
    let workspace = Workspace::new().service("my-app", "");
    workspace.file("my-app/binary", static_binary(std::env::consts::ARCH, 4_000_000));
    let here = if cfg!(target_arch = "x86_64") { "linux/amd64" } else { "linux/arm64" };
    let binary = format!("{here}=my-app/binary");
    let push = ["push", "--create", "--binary", &binary];
    let state = tempfile::tempdir().unwrap();
    // 1 or 2 MiB, by the unit of the shell.
    let script = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" ecr serve --port 0 --data .";
    let server = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_cargo-ecr")])
        .current_dir(state.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut server = Server(server.unwrap());
    let mut url = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let run = |args: &[&str]| -> Output { workspace.command(args).env("AWS_ENDPOINT_URL", url.trim()).run() };

    let began = Instant::now();
    let output = run(&push);
    assert!(output.code == 1 && output.stderr.contains("File too large (os error 27)"), "{output:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}: it was tried again", began.elapsed());
    // What was received for the upload that failed does not keep the space; another one may have been broken off with it.
    let kept = files_below(&state.path().join("uploads"));
    let kept: Vec<_> = kept.iter().map(|it| it.metadata().unwrap().len()).filter(|it| *it > 0).collect();
    assert!(kept.len() < 2, "{kept:?}");
    assert_eq!(run(&["ecr", "plan", "--check"]).code, 0);
    drop(server);

    let check =
        workspace.command(&["ecr", "serve", "--check", "--data", &state.path().display().to_string()]);
    assert_eq!(check.run().code, 0);
    let registry = Registry::on(state.path());
    let json = workspace.on(&registry, &[&push[..], &["--format", "json"]].concat()).json_with(0);
    assert_eq!(json["images"][0]["outcome"], json!("pushed"));
}
