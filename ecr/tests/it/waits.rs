//! Waits: each has an end, and says what it waits for.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use expect_test::expect;

use crate::support::{Fixture, Output, Run, Workspace, static_binary};

/// The time that a command has besides its limit, where all tests run at once.
const SLACK: Duration = Duration::from_secs(60);

/// Runs a command that has to end soon, and not by being killed.
fn soon(run: Run) -> Output {
    let output = run.run_within(SLACK);
    assert_ne!(output.code, -1, "{output:#?}");
    output
}

/// A process that ends with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn wait_for_a_throttled_operation_is_told_and_ends() {
    let fixture = Fixture::service().with_faults(&["throttle=DescribeRepositories"]);
    let output = soon(fixture.command(&["ecr", "plan", "--network-timeout", "15s"]));
    expect![[r#"
        --- stderr
             Waiting for 127.0.0.1:[PORT] (throttled)
        error: failed to read the repositories

        Caused by:
          ecr:DescribeRepositories: ThrottlingException: Rate exceeded

        help: AWS limits the rate of requests: retry later, or lower --concurrency
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn wait_for_throttled_operations_ends_once_for_all_of_them() {
    // One operation after the other: the limit is that of the command.
    let workspace = (0..12).fold(Workspace::new(), |it, n| it.service(&format!("service-{n}"), ""));
    let fixture = workspace.start().created();
    let calls = ["throttle=GetLifecyclePolicy", "throttle=ListTagsForResource"];
    let throttled = crate::support::Registry::with_faults(&calls);
    (0..12).for_each(|n| throttled.create_plain(&format!("service-{n}")));
    let began = Instant::now();
    let args = ["ecr", "plan", "--network-timeout", "2s", "--concurrency", "1"];
    let output = soon(fixture.workspace.command(&args).registry(&throttled));
    assert_eq!(output.code, 1, "{output:#?}");
    assert!(output.stderr.contains("AWS limits the rate of requests"), "{output:#?}");
    assert!(began.elapsed() < Duration::from_secs(45), "{:?}: {output:#?}", began.elapsed());
}

#[test]
fn wait_for_cargo_ends() {
    let workspace = Workspace::example();
    let cargo = workspace.program("bin/cargo", "exec sleep 60");
    let run = workspace.command(&["ecr", "plan", "--local", "--network-timeout", "300ms"]);
    expect![[r#"
        --- stderr
        error: failed to read the workspace

        Caused by:
          `cargo metadata` did not end within 300 ms

        help: run `cargo metadata` by itself to see what it waits for, or wait longer with --network-timeout
        --- exit 1
    "#]]
    .assert_eq(&soon(run.env("CARGO", &cargo)).shown());
}

#[test]
fn wait_for_cargo_can_be_interrupted() {
    let workspace = Workspace::example();
    let cargo = workspace.program("bin/cargo", "touch started; trap '' INT TERM; exec sleep 25");
    let run = workspace.command(&["ecr", "plan", "--local"]).env("CARGO", &cargo);
    let started = workspace.root().join("started");
    let (output, took) = run.interrupted(|| started.exists());
    assert_eq!(output.code, 130, "{output:#?}");
    // This cargo ignores the signal, and goes on for longer.
    assert!(took < SLACK, "{took:?}");
}

#[test]
fn wait_for_git_ends() {
    let workspace = Workspace::example();
    workspace.file("bin/my-app", static_binary(std::env::consts::ARCH, 100));
    workspace.program("programs/git", "exec sleep 60");
    let path = format!("{}:{}", workspace.root().join("programs").display(), std::env::var("PATH").unwrap());
    let platform = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let binary = format!("linux/{platform}=bin/my-app");
    let args = ["push", "--dry-run", "-p", "my-app", "--binary", &binary, "--network-timeout", "5s"];
    let output = soon(workspace.command(&args).env("PATH", &path));
    expect![[r#"
        --- stderr
        error: `git status` did not end within 5 seconds

        help: run `git status` by itself to see what it waits for, or wait longer with --network-timeout
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn wait_for_credentials_is_told_and_ends() {
    let fixture = Fixture::service();
    let helper = fixture.workspace.program("bin/helper", "exec sleep 60");
    fixture.workspace.file(".aws/config", format!("[profile slow]\ncredential_process = {helper}\n"));
    let args = ["ecr", "plan", "--aws-profile", "slow", "--network-timeout", "4s"];
    expect![[r#"
        --- stderr
        error: failed to identify the AWS account

        Caused by:
          sts:GetCallerIdentity: credentials provider timed out after 4 seconds

        help: set AWS_PROFILE or pass --aws-profile, run `aws sso login`, or add --local to use the embedded ECR, which needs no account
        --- exit 1
    "#]]
    .assert_eq(&soon(fixture.command(&args)).shown());
}

#[test]
fn wait_for_the_login_of_an_engine_ends() {
    let fixture = Fixture::service().created();
    let script = "case $1 in --version) echo 'Docker version 28.2.2';; *) exec sleep 60;; esac";
    let docker = fixture.workspace.program("bin/docker", script);
    let args = ["ecr", "login", "--engine", &docker, "--network-timeout", "4s"];
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
        error: failed to log in to 127.0.0.1:[PORT] with docker

        Caused by:
          `docker login` did not end within 4 seconds

        help: run `docker login` by itself to see what it waits for, or wait longer with --network-timeout
        --- exit 1
    "#]]
    .assert_eq(&soon(fixture.command(&args)).shown());
}

#[test]
fn wait_for_the_state_of_another_command_ends() {
    let workspace = Workspace::new().service("my-app", "");
    workspace.local(&["ecr", "plan"]).good();
    let lock = workspace.root().join("target/ecr-local/lock");
    let lock = OpenOptions::new().write(true).open(lock).unwrap();
    lock.lock().unwrap();
    let run = workspace.command(&["ecr", "plan", "--local", "--network-timeout", "700ms"]);
    let shown = soon(run).shown();
    let held = format!("(process {})", last_process(&workspace));
    expect![[r#"
        --- stderr
            Blocking waiting for the embedded ECR: another command [PROCESS] is using `[ROOT]/target/ecr-local`
        error: another command [PROCESS] is using `[ROOT]/target/ecr-local`

        help: wait longer with --network-timeout, or choose another directory with --data
        --- exit 1
    "#]]
    .assert_eq(&shown.replace(&held, "[PROCESS]"));
}

/// The process that the lock names. A test that holds it does not write its own.
fn last_process(workspace: &Workspace) -> String {
    std::fs::read_to_string(workspace.root().join("target/ecr-local/lock")).unwrap()
}

#[test]
fn wait_for_a_suspended_server_ends_with_its_process() {
    let workspace = Workspace::new().service("my-app", "");
    let mut serve = Guard(workspace.command(&["ecr", "serve", "--port", "0"]).spawn());
    let mut url = String::new();
    BufReader::new(serve.0.stdout.take().unwrap()).read_line(&mut url).unwrap();
    workspace.local(&["ecr", "plan"]).good();
    let id = serve.0.id().to_string();
    assert!(Command::new("kill").args(["-STOP", &id]).status().unwrap().success());
    let run = workspace.command(&["ecr", "plan", "--local", "--network-timeout", "500ms"]);
    let shown = soon(run).shown();
    expect![[r#"
        --- stderr
        error: the embedded ECR at http://127.0.0.1:[PORT] does not answer

        Caused by:
          no response within 500 ms

        help: process [ID] runs it, and may be suspended: continue it with `kill -CONT [ID]`, or end it with `kill -KILL [ID]`
        --- exit 1
    "#]]
    .assert_eq(&shown.replace(&id, "[ID]"));
}

/// Errors that no wait changes are told at once, however long the limit is.
#[test]
fn wait_for_what_does_not_change_is_none() {
    let workspace = Workspace::example();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let rows = [
        ("http://127.0.0.1:1/a b", "AWS_ENDPOINT_URL"),
        ("http://127.0.0.1:99999", "AWS_ENDPOINT_URL"),
        ("ftp://127.0.0.1", "AWS_ENDPOINT_URL"),
        (&format!("http://{closed}"), "refused"),
    ];
    for (endpoint, told) in rows {
        let began = Instant::now();
        let output = soon(workspace.command(&["ecr", "plan"]).env("AWS_ENDPOINT_URL", endpoint));
        assert_eq!(output.code, 1, "{endpoint}: {output:#?}");
        assert!(output.stderr.contains(told), "{endpoint}: {output:#?}");
        assert!(began.elapsed() < Duration::from_secs(40), "{endpoint}: {:?}", began.elapsed());
    }
}
