//! Credential helpers: the programs `docker-credential-NAME` (docker-credential-helpers, "Development").

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ecr_types::human;
use serde::Deserialize;
use thiserror::Error;

use super::Credentials;
use super::auth_file::first_value;

/// The maximum time that a helper may take. One may ask its user for a password or call a server.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);
/// The interval at which the end of a helper is looked for.
const INTERVAL: Duration = Duration::from_millis(5);
/// The maximum length of a helper's output in bytes.
const MAX_OUTPUT: u64 = 64 * 1024;
/// What a helper prints if it has no credentials (docker-credential-helpers, `credentials/error.go`).
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The reason for which a helper gave no answer.
#[derive(Debug, Error)]
#[error("the credential helper `docker-credential-{name}` {cause}")]
pub struct HelperError {
    name: String,
    cause: HelperCause,
}

#[derive(Debug, Error)]
enum HelperCause {
    #[error("cannot be run: {0}")]
    NotRun(io::Error),
    #[error("did not answer within {}", human::duration(TIMEOUT))]
    TimedOut,
    #[error("failed with {status}{}", said(.output))]
    Failed { status: ExitStatus, output: String },
    #[error("gave an answer that is not JSON with `Username` and `Secret`")]
    Malformed,
}

/// Go, in which helpers and docker are written, takes names of fields in any case; these two are those that helpers write.
#[derive(Deserialize)]
struct Answer {
    #[serde(default, alias = "Username")]
    username: String,
    #[serde(default, alias = "Secret")]
    secret: String,
}

/// Asks the helper `name` for the credentials of `key`; `None` if it has none. An answer without user and secret is none, too.
///
/// # Errors
/// The helper cannot be run, fails, gives another answer, or takes longer than a minute.
pub fn get(name: &str, key: &str) -> Result<Option<Credentials>, HelperError> {
    let mut command = Command::new(format!("docker-credential-{name}"));
    let answer = run(command.arg("get"), key, TIMEOUT);
    answer.map_err(|cause| HelperError { name: name.to_owned(), cause })
}

fn run(command: &mut Command, key: &str, timeout: Duration) -> Result<Option<Credentials>, HelperCause> {
    // docker shows what a helper prints on stderr, too.
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(HelperCause::NotRun)?;
    let output = read(&mut child, key);
    let end = Instant::now() + timeout;
    let output = output.recv_timeout(timeout);
    let status = wait(&mut child, end).map_err(HelperCause::NotRun)?;
    let (Some(status), Ok(output)) = (status, output) else { return Err(HelperCause::TimedOut) };
    if !status.success() {
        let output = String::from_utf8_lossy(&output).trim().to_owned();
        return if output.contains(NOT_FOUND) {
            Ok(None)
        } else {
            Err(HelperCause::Failed { status, output })
        };
    }
    let answer = first_value::<Answer>(&String::from_utf8_lossy(&output));
    let Answer { username, secret } = answer.map_err(|_| HelperCause::Malformed)?;
    Ok((!username.is_empty() && !secret.is_empty()).then(|| Credentials::of(&username, &secret)))
}

/// Writes the key and reads the output. A process that the helper leaves running may keep the pipe open, so that the thread
/// is not joined.
fn read(child: &mut Child, key: &str) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    let (stdin, stdout, key) = (child.stdin.take(), child.stdout.take(), key.to_owned());
    thread::spawn(move || {
        // A helper that does not read its input may still answer.
        let _ = stdin.map(|mut it| it.write_all(key.as_bytes()));
        let mut output = Vec::new();
        let _ = stdout.map(|it| it.take(MAX_OUTPUT).read_to_end(&mut output));
        let _ = sender.send(output);
    });
    receiver
}

/// The status of the helper. It is killed at `end`, and the result is `None`.
fn wait(child: &mut Child, end: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Some(status)),
            None if Instant::now() >= end => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            None => thread::sleep(INTERVAL),
        }
    }
}

/// The first line of what a helper printed.
fn said(output: &str) -> String {
    output.lines().next().map(|it| format!(": {it}")).unwrap_or_default()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn ask(script: &str) -> String {
        let mut command = Command::new("sh");
        let command = command.args(["-c", script]).stderr(Stdio::null());
        // What sleeps is not waited for.
        let timeout = Duration::from_millis(if script.contains("sleep") { 300 } else { 20_000 });
        match run(command, "reg.io", timeout) {
            Ok(Some(Credentials::Basic { user, password })) => format!("{user}:{password}"),
            Ok(Some(other)) => format!("{other:?}"),
            Ok(None) => "none".to_owned(),
            Err(cause) => cause.to_string(),
        }
    }

    /// "tried" is what docker 28.2 and skopeo 1.9 did.
    #[test]
    fn helper_answers_are_read_as_docker_reads_them() {
        for (script, wanted, source) in [
            (
                r#"echo '{"ServerURL":"x","Username":"u","Secret":"p"}'"#,
                "u:p",
                "docker-credential-helpers, README",
            ),
            (
                r#"read host; echo "{\"Username\":\"$host\",\"Secret\":\"p\"}""#,
                "reg.io:p",
                "the key on its input",
            ),
            (r#"echo '{"Username":"<token>","Secret":"T"}'"#, "IdentityToken", "native_store.go"),
            (r#"echo '{"username":"u","secret":"p"} more'"#, "u:p", "tried"),
            (r#"echo '{"Username":"","Secret":""}'"#, "none", "tried: anonymous"),
            (r#"echo '{"Username":"u"}'"#, "none", "tried: Basic needs both"),
            ("echo ' credentials not found in native keychain '; exit 1", "none", "client.go, Get"),
            (
                "echo 'credentials not found in native keychain' >&2; exit 1",
                "failed with exit status: 1",
                "tried: an ordinary failure",
            ),
            ("echo boom; exit 3", "failed with exit status: 3: boom", "tried"),
            (
                "true",
                "gave an answer that is not JSON with `Username` and `Secret`",
                "tried: unexpected end of JSON input",
            ),
            (
                "echo credentials not found in native keychain",
                "gave an answer that is not JSON with `Username` and `Secret`",
                "tried: invalid character",
            ),
            (
                r#"sleep 2 & echo '{"Username":"u","Secret":"p"}'"#,
                "did not answer within 1 minute",
                "it holds the pipe",
            ),
            ("exec sleep 2", "did not answer within 1 minute", "docker waits for ever"),
        ] {
            assert_eq!(ask(script), wanted, "{script}: {source}");
        }
        let missing = get("xtask-ecr-test-missing", "reg.io").unwrap_err().to_string();
        let told = "the credential helper `docker-credential-xtask-ecr-test-missing` cannot be run: ";
        assert!(missing.starts_with(told), "{missing}");
    }
}
