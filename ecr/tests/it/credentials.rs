//! Credentials go where they belong: passwords are not printed, and not sent to another host; and the help is that for the
//! cause.

use std::sync::atomic::{AtomicUsize, Ordering};

use expect_test::expect;

use crate::support::proxy::{Proxy, Wrong};
use crate::support::{Fixture, Output, Workspace, static_binary};

const SECRET: &str = "s3cr3t";

fn without_secret(output: Output) -> Output {
    assert!(!output.stdout.contains(SECRET) && !output.stderr.contains(SECRET), "{output:#?}");
    output
}

/// The URL with a user and a password.
fn with_password(url: &str) -> String {
    url.replace("://", &format!("://me:{SECRET}@"))
}

#[test]
fn password_of_an_endpoint_is_not_printed() {
    let fixture = Fixture::example().created();
    let endpoint = with_password(&fixture.registry.url());
    let run = |args: &[&str], endpoint: &str| {
        without_secret(fixture.workspace.command(args).env("AWS_ENDPOINT_URL", endpoint).run())
    };
    let json = run(&["ecr", "status", "--format", "json"], &endpoint).json_with(0);
    let shown = json["environment"]["endpoint"].as_str().unwrap();
    assert_eq!(shown, fixture.registry.url().replace("://", "://***@"));
    assert!(run(&["ecr", "status", "-v"], &endpoint).good().stdout.contains("://***@127.0.0.1:"));
    let refused = run(&["ecr", "plan"], &with_password("http://127.0.0.1:9"));
    assert!(refused.stderr.contains("AWS_ENDPOINT_URL=http://***@127.0.0.1:9"), "{refused:#?}");
    for malformed in [
        "http://me:s3cr3t@",
        "me:s3cr3t@127.0.0.1",
        "http://me:s3cr3t/@127.0.0.1:9",
        "http:/me:s3cr3t@127.0.0.1",
    ] {
        for format in ["human", "json"] {
            let output = run(&["ecr", "plan", "--format", format], malformed);
            assert_eq!(output.code, 1, "{output:#?}");
        }
    }
}

#[test]
fn password_of_an_endpoint_is_not_printed_while_it_is_waited_for() {
    let fixture = Fixture::example().with_faults(&["slow=GetCallerIdentity:6000ms:1"]);
    let endpoint = with_password(&fixture.registry.url());
    let output = fixture.workspace.command(&["ecr", "plan"]).env("AWS_ENDPOINT_URL", &endpoint).run();
    let output = without_secret(output);
    assert!(output.stderr.contains("Waiting for ***@127.0.0.1:"), "{output:#?}");
}

#[test]
fn password_of_a_proxy_is_not_printed() {
    let workspace = Workspace::example();
    let command = workspace.command(&["ecr", "plan"]).env("AWS_ENDPOINT_URL", "https://aws.invalid");
    let output = command.env("HTTPS_PROXY", &with_password("http://127.0.0.1:9")).run();
    expect![[r#"
        --- stderr
        error: failed to identify the AWS account

        Caused by:
          sts:GetCallerIdentity: failed to connect through the proxy 127.0.0.1:[PORT] of the environment: tunnel error: failed to create underlying connection: tcp connect error: Connection refused (os error 111)

        help: check the proxy that HTTPS_PROXY or ALL_PROXY names (http://NAME:PASSWORD@HOST:PORT), or list the host in NO_PROXY
        --- exit 1
    "#]].assert_eq(&without_secret(output).shown());
}

/// With `-v` each request is shown, with its host and why it failed.
#[test]
fn password_of_a_proxy_is_not_printed_with_the_requests() {
    let workspace = Workspace::example();
    let command = workspace.command(&["ecr", "plan", "-v"]).env("AWS_ENDPOINT_URL", "https://aws.invalid");
    let output = without_secret(command.env("HTTPS_PROXY", &with_password("http://127.0.0.1:9")).run());
    assert!(output.stderr.contains("Request POST aws.invalid/: client error"), "{output:#?}");
}

#[test]
fn password_with_characters_of_a_url_is_not_printed() {
    for proxy in
        ["http://me:s3cr3t/1@127.0.0.1:9", "http://me:s3cr3t#@127.0.0.1:9", "http://me:s3cr3t?@127.0.0.1:9"]
    {
        let workspace = Workspace::example();
        let command = workspace.command(&["ecr", "plan"]).env("AWS_ENDPOINT_URL", "https://127.0.0.1:9");
        let output = without_secret(command.env("HTTPS_PROXY", proxy).run());
        assert!(output.stderr.contains("its address is not valid"), "{output:#?}");
    }
}

#[test]
fn password_of_the_address_of_credentials_is_not_printed() {
    let fixture = Fixture::example();
    let command = fixture.command(&["ecr", "plan"]).without_keys();
    let output = command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "me:s3cr3t@x").run();
    assert!(without_secret(output).stderr.contains("***@x"));
}

#[test]
fn password_of_a_base_is_not_printed() {
    for base in
        ["me:s3cr3t@127.0.0.1:9/x:1", "https://me:s3cr3t@127.0.0.1:9/x", "me:s3cr3t@127.0.0.1/x@sha256:0"]
    {
        let image = format!("[package.metadata.ecr.image]\nbase = \"{base}\"\n");
        let workspace = Workspace::new().service("my-app", &image);
        workspace.file("my-app/binary", static_binary(std::env::consts::ARCH, 100));
        let engine = workspace.program("engine", "echo \"$@\"; cat; exit 1");
        let native = &["--binary", "linux/amd64=my-app/binary"][..];
        let wrapped = &["--binary", "linux/amd64=my-app/binary", "--builder", "docker", "--engine", &engine];
        for builder in [native, wrapped] {
            for format in ["human", "json"] {
                let args = [&["push", "--dry-run", "--format", format], builder].concat();
                let output = without_secret(workspace.command(&args).run());
                assert_eq!(output.code, 1, "{output:#?}");
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
const HERE: &str = "linux/amd64=my-app/binary";
#[cfg(target_arch = "aarch64")]
const HERE: &str = "linux/arm64=my-app/binary";

fn push(fixture: &Fixture, change: impl Fn(&str) -> Option<Wrong> + Send + Sync + 'static) -> Output {
    fixture.workspace.file("my-app/binary", static_binary(std::env::consts::ARCH, 1000));
    let proxy = Proxy::before(&fixture.registry, change);
    fixture.workspace.command(&["push", "--binary", HERE]).env("AWS_ENDPOINT_URL", &proxy.url()).run()
}

#[test]
fn push_sends_no_password_to_a_host_that_only_the_repository_names() {
    let fixture = Fixture::service().created();
    let other = Wrong::Replaced("\"repositoryUri\":\"127.0.0.1", "\"repositoryUri\":\"127.0.0.2");
    let mut output = push(&fixture, move |it| (it == "DescribeRepositories").then_some(other));
    output.stderr = output.stderr.replace("127.0.0.2:", "other 127.0.0.1:");
    expect![[r#"
        --- stderr
            Registry other 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
        error: the registry's password is for `127.0.0.1:[PORT]`, and is not sent to `other 127.0.0.1:[PORT]`, which `repositoryUri` names

        help: both hosts come from the ECR API: check AWS_ENDPOINT_URL, and who answers there
        --- exit 1
    "#]].assert_eq(&output.shown());
    assert!(!fixture.registry.calls().contains_key("BatchGetImage"));
}

#[test]
fn push_sends_no_renewed_password_to_another_host() {
    let fixture = Fixture::service().with_faults(&["expire=PutImage:1"]).created();
    let (host, other) = (fixture.registry.host(), fixture.registry.host().replace("127.0.0.1", "127.0.0.2"));
    let (host, other): (&str, &str) = (host.leak(), other.leak());
    let asked = AtomicUsize::new(0);
    // The endpoint of the API is another one than the registry.
    let proxy = Proxy::transparent(&fixture.registry, move |it| {
        let is_renewal = it == "GetAuthorizationToken" && asked.fetch_add(1, Ordering::Relaxed) > 0;
        is_renewal.then_some(Wrong::Replaced(host, other))
    });
    fixture.workspace.file("my-app/binary", static_binary(std::env::consts::ARCH, 1000));
    let command = fixture.workspace.command(&["push", "--binary", HERE]);
    let output = command.env("AWS_ENDPOINT_URL", &proxy.url()).run();
    assert_eq!(output.code, 1, "{output:#?}");
    assert!(output.stderr.contains(&format!("the registry's password is for `{other}`")), "{output:#?}");
}

#[test]
fn push_takes_localhost_for_the_same_registry() {
    let fixture = Fixture::service().created();
    let other = Wrong::Replaced("\"repositoryUri\":\"127.0.0.1", "\"repositoryUri\":\"localhost");
    push(&fixture, move |it| (it == "DescribeRepositories").then_some(other)).good();
}

/// The help for an error that AWS answers with, an hour after this moment by its clock.
fn help_for(code: &str, message: &str) -> String {
    use aws_sdk_ecr::primitives::{DateTime, DateTimeFormat};
    let hour = std::time::Duration::from_secs(3600);
    let date = DateTime::from(std::time::SystemTime::now() + hour).fmt(DateTimeFormat::HttpDate).unwrap();
    let body = format!(r#"{{"__type":"{code}","message":"{message}"}}"#);
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\ndate: {date}\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let wrong = Wrong::Instead(answer.leak());
    let fixture = Fixture::service();
    let proxy = Proxy::with(&fixture.registry, "DescribeRepositories", wrong);
    let output = fixture.workspace.command(&["ecr", "plan"]).env("AWS_ENDPOINT_URL", &proxy.url()).run();
    assert_eq!(output.code, 1, "{output:#?}");
    output.stderr.lines().find_map(|it| it.strip_prefix("help: ")).unwrap_or_default().to_owned()
}

#[test]
fn help_for_a_wrong_clock_tells_the_difference() {
    let expired = "Signature expired: 20260101T000000Z is now earlier than 20260101T001500Z (20260101T002000Z - 5 min.)";
    for (code, message) in [
        ("InvalidSignatureException", expired),
        (
            "SignatureDoesNotMatch",
            "Signature not yet current: 20260101T010000Z is still later than 20260101T000500Z",
        ),
        ("RequestExpired", "Request has expired."),
        (
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
    ] {
        let help = help_for(code, message);
        assert!(help.contains("set the clock of this machine"), "{code}: {help}");
        assert!(help.contains("which is 60 minutes behind that of AWS"), "{code}: {help}");
    }
    let help = help_for("InvalidSignatureException", "The request signature we calculated does not match.");
    assert!(help.contains("does not recognize these credentials"), "{help}");
}

/// The SDK takes each refusal for one that is due to the clock, if the clock is wrong.
#[test]
fn refusal_with_a_wrong_clock_is_told_at_once() {
    let began = std::time::Instant::now();
    let help =
        help_for("AccessDeniedException", "User: x is not authorized to perform: ecr:DescribeRepositories");
    assert!(help.contains("lack the permission ecr:DescribeRepositories"), "{help}");
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}
