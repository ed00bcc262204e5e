//! `ecr login`: it passes the password by standard input only.

use expect_test::expect;

use crate::support::Fixture;

#[test]
fn login_sends_the_password_by_standard_input() {
    let fixture = Fixture::example();
    let engine = fixture
        .workspace
        .program("engine", "echo \"$@\" >args; cat >password; echo 'WARNING! stored unencrypted' >&2");
    let output = fixture.run(&["ecr", "login", "--engine", &engine]).good();
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        warning: engine: stored unencrypted
           Logged in to 127.0.0.1:[PORT] with engine, until [TIME] (12 hours)
    "#]]
    .assert_eq(&output.shown());
    let read = |name: &str| std::fs::read_to_string(fixture.workspace.root().join(name)).unwrap();
    let host = fixture.registry.host();
    assert_eq!(read("args").trim(), format!("login --username AWS --password-stdin {host}"));
    let printed = fixture.run(&["ecr", "login", "--print-token"]).good();
    assert!(read("password").len() > 20 && printed.stdout.trim().len() > 20);
    let json = fixture.run(&["ecr", "login", "--print-token", "--format", "json"]).json_with(0);
    assert_eq!(json["username"], "AWS");
    assert!(json["expiresAt"].as_str().unwrap().ends_with('Z'), "{json}");
}

#[test]
fn login_engine_error_becomes_advice() {
    let fixture = Fixture::example();
    let engine = fixture
        .workspace
        .program("engine", "echo 'Cannot connect to the Docker daemon at unix:///x' >&2; exit 1");
    let output = fixture.run(&["ecr", "login", "--engine", &engine]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        error: failed to log in to 127.0.0.1:[PORT] with engine

        Caused by:
          Cannot connect to the Docker daemon at unix:///x

        help: start docker (`sudo systemctl start docker`, or Docker Desktop), or use podman (--engine podman)
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn login_hides_a_password_that_the_engine_repeats() {
    let fixture = Fixture::example();
    let engine =
        fixture.workspace.program("engine", "read -r word; echo \"wrong password $word\" >&2; exit 1");
    let output = fixture.run(&["ecr", "login", "--engine", &engine, "--format", "json"]);
    assert!(output.stderr.contains("wrong password ***"), "{}", output.stderr);
    assert!(output.json_with(1)["error"]["causes"][0].as_str().unwrap().contains("***"));
}

#[test]
fn login_takes_the_first_engine_that_works() {
    let fixture = Fixture::example();
    fixture.workspace.program("bin/docker", "[ \"$1\" = --version ] || { echo 'no daemon' >&2; exit 1; }");
    fixture.workspace.program("bin/podman", "echo podman version 5.0.0");
    let cargo = std::env::var("CARGO").unwrap();
    let path =
        [fixture.workspace.root().join("bin").as_path(), std::path::Path::new(&cargo).parent().unwrap()]
            .map(|it| it.display().to_string())
            .join(":");
    let login = || fixture.command(&["ecr", "login"]).env("PATH", &path).run();
    assert!(login().good().stderr.contains("with podman, until"));
    // The only engine is taken untested, and its own error is shown.
    std::fs::remove_file(fixture.workspace.root().join("bin/podman")).unwrap();
    let failed = login();
    assert!(failed.code == 1 && failed.stderr.contains("no daemon"), "{failed:#?}");
}

#[test]
fn login_without_engine_gives_advice() {
    let fixture = Fixture::example();
    let output = fixture.command(&["ecr", "login"]).without_path().run();
    expect![[r#"
        --- stderr
        error: neither docker nor podman is installed

        help: install one of them, choose another program with --engine PATH, or pass --print-token; `cargo xtask push` needs neither of them
        --- exit 1
    "#]].assert_eq(&output.shown());
    let output = fixture.run(&["ecr", "login", "--engine", "/nowhere/docker"]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        error: failed to log in to 127.0.0.1:[PORT] with docker

        Caused by:
          failed to run `/nowhere/docker`
          No such file or directory (os error 2)

        help: choose docker, podman, or the path of a compatible program with --engine
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
    let output = fixture.workspace.local(&["ecr", "login", "--print-token"]);
    expect![[r#"
        --- stderr
        error: the embedded ECR is not running

        help: start it with `cargo xtask ecr serve`, then log in from another terminal
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

/// amazon-ecr-credential-helper stores nothing, and answers for hosts of ECR only (awslabs/amazon-ecr-credential-helper#102).
#[test]
fn login_by_a_helper_that_cannot_store() {
    let fixture = Fixture::example();
    let engine = fixture.workspace.program(
        "engine",
        "[ \"$1\" = login ] || exit 0; touch asked; cat >/dev/null\necho 'error storing credentials - err: exit status 1, \
         out: `not implemented`' >&2; exit 1",
    );
    let login = |config: &str| {
        fixture.workspace.file("docker/config.json", config);
        let config = fixture.workspace.root().join("docker").display().to_string();
        let path = format!("{}/bin:{}", fixture.workspace.root().display(), std::env::var("PATH").unwrap());
        let run = fixture.command(&["ecr", "login", "--engine", &engine, "--format", "json"]);
        run.env("DOCKER_CONFIG", &config).env("PATH", &path).run()
    };
    let helper = |script: &str| drop(fixture.workspace.program("bin/docker-credential-ecr-login", script));
    helper("echo 'not implemented'; exit 1");
    let set = r#"{"credsStore": "ecr-login"}"#;
    expect![[r#"
        {
          "error": {
            "causes": [
              "the credential helper `docker-credential-ecr-login` failed with exit status: 1: not implemented"
            ],
            "help": "to have docker store the login in its own file, add `\"127.0.0.1:[PORT]\": \"\"` to `credHelpers` in [ROOT]/docker/config.json",
            "message": "engine cannot store a login for 127.0.0.1:[PORT]: it is set to docker-credential-ecr-login (`credsStore` in [ROOT]/docker/config.json), which logs in by itself, but failed"
          }
        }
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        error: engine cannot store a login for 127.0.0.1:[PORT]: it is set to docker-credential-ecr-login (`credsStore` in [ROOT]/docker/config.json), which logs in by itself, but failed

        Caused by:
          the credential helper `docker-credential-ecr-login` failed with exit status: 1: not implemented

        help: to have docker store the login in its own file, add `"127.0.0.1:[PORT]": ""` to `credHelpers` in [ROOT]/docker/config.json
        --- exit 1
    "#]].assert_eq(&login(set).shown());
    helper(
        "[ $1 = get ] && host=$(cat) && echo \"{\\\"ServerURL\\\":\\\"$host\\\",\\\"Username\\\":\\\"AWS\\\",\\\"Secret\\\":\\\"a-secret\\\"}\"",
    );
    let output = login(set);
    expect![[r#"
        {
          "engine": "engine",
          "expiresAt": null,
          "registry": "127.0.0.1:[PORT]",
          "username": "AWS"
        }
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
           Logged in to 127.0.0.1:[PORT] by docker-credential-ecr-login (`credsStore` in [ROOT]/docker/config.json), which gets a token whenever engine asks
    "#]].assert_eq(&output.shown());
    assert!(!output.stderr.contains("a-secret") && output.json_with(0)["expiresAt"].is_null());
    assert!(!fixture.workspace.root().join("asked").exists());
    // Another helper, which fails when it stores.
    let output = login(r#"{"credsStore": "readonly"}"#);
    expect![[r#"
        {
          "error": {
            "causes": [
              "error storing credentials - err: exit status 1, out: `not implemented`"
            ],
            "help": "engine stores logins with docker-credential-readonly (`credsStore` in [ROOT]/docker/config.json); to have docker store the login in its own file, add `\"127.0.0.1:[PORT]\": \"\"` to `credHelpers` in [ROOT]/docker/config.json",
            "message": "failed to log in to 127.0.0.1:[PORT] with engine"
          }
        }
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        error: failed to log in to 127.0.0.1:[PORT] with engine

        Caused by:
          error storing credentials - err: exit status 1, out: `not implemented`

        help: engine stores logins with docker-credential-readonly (`credsStore` in [ROOT]/docker/config.json); to have docker store the login in its own file, add `"127.0.0.1:[PORT]": ""` to `credHelpers` in [ROOT]/docker/config.json
        --- exit 1
    "#]].assert_eq(&output.shown());
    // docker's own file for this host.
    let host = fixture.registry.host();
    let output = login(&format!(r#"{{"credsStore": "ecr-login", "credHelpers": {{"{host}": ""}}}}"#));
    assert!(output.code == 1 && !output.stderr.contains("help:"), "{output:#?}");
}
