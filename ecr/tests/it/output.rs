//! What holds for all commands: usage errors, stdout and stderr, colours, and the environment of AWS.

use expect_test::expect;
use serde_json::Value;

use crate::support::{Fixture, Workspace};

#[test]
fn output_usage_error_exits_with_1() {
    let workspace = Workspace::example();
    let output = workspace.command(&["ecr", "plan", "--chek"]).run();
    expect![[r#"
        --- stderr
        error: unexpected argument '--chek' found

          tip: a similar argument exists: '--check'

        Usage: cargo xtask ecr plan --check

        For more information, try '--help'.
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
    let json = workspace.command(&["push", "--format", "json", "--nonsense"]).run().json_with(1);
    assert_eq!(json["error"]["message"], "unexpected argument '--nonsense' found");
    assert_eq!(workspace.command(&["--help"]).run().code, 0);
    assert_eq!(workspace.command(&[]).run().code, 1);
}

#[test]
fn output_verbose_may_be_repeated() {
    let workspace = Workspace::example();
    for flags in [&["-v"][..], &["-vv"], &["-vvv"], &["-v", "-v"], &["--verbose", "--verbose"]] {
        workspace.local(&[&["ecr", "plan"], flags].concat()).good();
    }
    assert_eq!(workspace.local(&["ecr", "plan", "-vv", "--quiet"]).code, 1);
}

#[test]
fn output_fatal_error_is_json_too() {
    let workspace = Workspace::example().service("third", "scan-on-psh = true\n");
    let json = workspace.local(&["ecr", "plan", "--format", "json"]).json_with(1);
    expect![[r#"
        {
          "error": {
            "causes": [
              "third/Cargo.toml:7:1: unknown key `scan-on-psh` in [package.metadata.ecr] (help: did you mean `scan-on-push`?)"
            ],
            "help": null,
            "message": "there is a problem in the configuration"
          }
        }
    "#]].assert_eq(&format!("{json:#}\n"));
}

#[test]
fn output_json_quiet_is_one_document_and_no_stderr() {
    let output = Fixture::example().run(&["ecr", "create", "--format", "json", "--quiet"]).good();
    assert!(serde_json::from_str::<Value>(&output.stdout).is_ok());
    assert_eq!(output.stderr, "");
}

#[test]
fn output_colour_only_on_demand() {
    let workspace = Workspace::example();
    let coloured = |args: &[&str], env: Option<(&str, &str)>| {
        let args = [&["ecr", "plan", "--local"], args].concat();
        let mut run = workspace.command(&args);
        if let Some((key, value)) = env {
            run = run.env(key, value);
        }
        run.run().good().stderr.contains("\x1b[")
    };
    assert!(!coloured(&[], None));
    assert!(coloured(&["--color", "always"], None));
    assert!(coloured(&[], Some(("CLICOLOR_FORCE", "1"))));
    assert!(coloured(&[], Some(("CARGO_TERM_COLOR", "always"))));
    assert!(!coloured(&["--color", "never"], Some(("CLICOLOR_FORCE", "1"))));
}

#[test]
fn aws_environment_sets_region_and_endpoints_below_flags() {
    let fixture = Fixture::example();
    let region = |args: &[&str], env: &[(&str, &str)]| {
        let args = [&["ecr", "plan", "--format", "json"], args].concat();
        let run = env.iter().fold(fixture.command(&args), |run, (k, v)| run.env(k, v));
        run.run().json_with(0)["region"].as_str().unwrap().to_owned()
    };
    assert_eq!(region(&[], &[]), "us-east-1");
    assert_eq!(region(&[], &[("AWS_REGION", "eu-west-1")]), "eu-west-1");
    assert_eq!(region(&["--region", "eu-north-1"], &[("AWS_REGION", "eu-west-1")]), "eu-north-1");
    let apart = fixture
        .workspace
        .command(&["ecr", "plan"])
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .env("AWS_ENDPOINT_URL_ECR", &fixture.registry.url())
        .env("AWS_ENDPOINT_URL_STS", &fixture.registry.url());
    apart.run().good();
}

#[test]
fn output_help_fits_the_terminal() {
    let workspace = Workspace::new();
    for command in [
        "",
        "push",
        "ecr",
        "ecr plan",
        "ecr create",
        "ecr delete",
        "ecr status",
        "ecr images",
        "ecr scan",
        "ecr lifecycle",
        "ecr lifecycle check",
        "ecr lifecycle preview",
        "ecr iam-policy",
        "ecr login",
        "ecr serve",
    ] {
        for flag in ["--help", "-h"] {
            let args: Vec<_> = command.split_whitespace().chain([flag]).collect();
            let help = |columns: &str| workspace.command(&args).env("COLUMNS", columns).run().good().stdout;
            let (narrow, wide) = (help("80"), help("200"));
            let long: Vec<_> = narrow.lines().filter(|it| it.chars().count() > 80).collect();
            assert!(long.is_empty(), "{command} {flag}: {long:#?}");
            assert!(narrow.split_whitespace().eq(wide.split_whitespace()), "{command} {flag}: other words");
            // Text is hard to read in lines that are longer.
            assert!(wide.lines().all(|it| it.chars().count() <= 100), "{command} {flag}");
        }
    }
}

#[test]
fn verbose_commands_show_what_they_read_and_ask() {
    let fixture = Fixture::example().created();
    let output = fixture.run(&["ecr", "images", "-p", "my-app", "-v", "--concurrency", "1"]);
    let shown = output.shown();
    let mut lines: Vec<_> = shown
        .lines()
        .map(str::trim)
        .filter(|it| it.starts_with("Loaded") || it.starts_with("Request"))
        .collect();
    // What is read at the same time has no order.
    lines.sort_unstable();
    expect![[r#"
        Loaded [ROOT]/Cargo.toml: 2 services, 2 repositories in [TIME]
        Request DescribeImages 127.0.0.1:[PORT]: 200 in [TIME]
        Request DescribeRepositories 127.0.0.1:[PORT]: 200 in [TIME]
        Request GetLifecyclePolicy 127.0.0.1:[PORT]: 200 in [TIME]
        Request POST 127.0.0.1:[PORT]/: 200 in [TIME]"#]]
    .assert_eq(&lines.join("\n"));
    let quiet = fixture.run(&["ecr", "images", "-p", "my-app"]);
    assert!(!quiet.stderr.contains("Request"), "{quiet:#?}");
}

#[test]
fn verbose_commands_without_requests_show_what_they_read() {
    let workspace = Workspace::example();
    for (args, loaded) in [
        (&["ecr", "explain", "-v"][..], "settings"),
        (&["ecr", "lifecycle", "check", "-v"], "1 lifecycle policy"),
    ] {
        let stderr = workspace.command(args).run().good().stderr;
        assert!(
            stderr.lines().any(|it| it.starts_with("      Loaded ") && it.ends_with(loaded)),
            "{args:?}: {stderr}"
        );
    }
}
