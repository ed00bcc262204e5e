//! The command line: words that people know from other tools, flags in any place, help, and the name of the program.

use std::process::Command;

use expect_test::expect;

use crate::support::Workspace;

/// The first lines of an error, without the usage.
fn error(args: &[&str]) -> String {
    let output = Workspace::new().command(args).run();
    assert_eq!(output.code, 1, "{output:#?}");
    let lines = output.stderr.lines().take_while(|it| !it.starts_with("Usage")).filter(|it| !it.is_empty());
    format!("{}\n{}\n", args.join(" "), lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn words_of_other_tools_lead_to_the_right_one() {
    let lines: &[&[&str]] = &[
        &["ecr", "list"],
        &["ecr", "ls"],
        &["ecr", "push"],
        &["ecr", "apply"],
        &["ecr", "rm"],
        &["--format", "human", "ecr", "diff"],
        &["create"],
        &["deploy"],
        &["push", "my-app"],
        &["push", "--release"],
        &["ecr", "create", "--dry-run"],
        &["ecr", "delete", "--force"],
        &["ecr", "plan", "--json"],
        &["ecr", "plan", "--profile", "x"],
        // clap knows what is nearly right.
        &["ecr", "creat"],
        &["push", "--dryrun"],
    ];
    expect![[r#"
        ecr list
        error: unrecognized subcommand 'list'
          tip: this is `cargo xtask ecr images`
        ecr ls
        error: unrecognized subcommand 'ls'
          tip: this is `cargo xtask ecr images`
        ecr push
        error: unrecognized subcommand 'push'
          tip: this is `cargo xtask push`
        ecr apply
        error: unrecognized subcommand 'apply'
          tip: this is `cargo xtask ecr create`
        ecr rm
        error: unrecognized subcommand 'rm'
          tip: this is `cargo xtask ecr delete`
        --format human ecr diff
        error: unrecognized subcommand 'diff'
          tip: this is `cargo xtask ecr plan`
        create
        error: unrecognized subcommand 'create'
          tip: this is `cargo xtask ecr create`
        deploy
        error: unrecognized subcommand 'deploy'
          tip: this is `cargo xtask push`
        push my-app
        error: unexpected argument 'my-app' found
          tip: select a service with `-p my-app`
        push --release
        error: unexpected argument '--release' found
          tip: release is the profile that push compiles with; another one is `--profile NAME`
        ecr create --dry-run
        error: unexpected argument '--dry-run' found
          tip: `cargo xtask ecr plan` shows what create would do
        ecr delete --force
        error: unexpected argument '--force' found
          tip: to go on without a question, pass `--yes`
        ecr plan --json
        error: unexpected argument '--json' found
          tip: for a JSON document, pass `--format json`
        ecr plan --profile x
        error: unexpected argument '--profile' found
          tip: the AWS profile is `--aws-profile NAME`; --profile is that of cargo, for push
        ecr creat
        error: unrecognized subcommand 'creat'
          tip: a similar subcommand exists: 'create'
        push --dryrun
        error: unexpected argument '--dryrun' found
          tip: a similar argument exists: '--dry-run'
          tip: to pass '--dryrun' as a value, use '-- --dryrun'
    "#]]
    .assert_eq(&lines.iter().map(|it| error(it)).collect::<String>());
    let json = Workspace::new().command(&["push", "my-app", "--format", "json"]).run().json_with(1);
    assert_eq!(json["error"]["help"], "select a service with `-p my-app`");
}

#[test]
fn common_flags_stand_anywhere() {
    let workspace = Workspace::example();
    let plain = workspace.command(&["ecr", "plan", "--local", "--format", "json"]).run().json_with(0);
    for args in [
        &["--local", "--format", "json", "ecr", "plan"][..],
        &["--format=json", "ecr", "--local", "plan"],
        &["-q", "ecr", "--local", "plan", "--format", "json"],
    ] {
        let output = workspace.command(args).run();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&output.stdout).unwrap(), plain, "{args:?}");
    }
}

#[test]
fn help_ends_with_examples_and_exit_codes() {
    let help = Workspace::new().command(&["ecr", "deployed", "--help"]).run().good().stdout;
    expect![[r#"

          cargo xtask ecr deployed
          cargo xtask ecr deployed -e prod --format json

        Exit codes:
          0    done
          1    failed, usage errors included
          2    plan --check, pin-bases --check or resolve --check found changes
          3    a tag is immutable and points to another image
          4    an image did not pass the gate of scans or of signatures
          5    refused: protected, another project's repository, wrong account, unclean tree, not confirmed
          130  interrupted
    "#]]
    .assert_eq(help.split_once("Examples:").unwrap().1);
    // The short help is one screen.
    assert!(!Workspace::new().command(&["push", "-h"]).run().good().stdout.contains("Examples"));
    assert_eq!(
        Workspace::new().command(&["--version"]).run().good().stdout,
        concat!("xtask-ecr ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn every_command_has_examples() {
    let workspace = Workspace::new();
    let commands = |args: &[&str]| {
        let help = workspace.command(&[args, &["-h"]].concat()).run().good().stdout;
        let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap().to_owned();
        let names = list.lines().filter(|it| it.starts_with("  ") && !it.starts_with("   "));
        names
            .map(|it| it.split_whitespace().next().unwrap().to_owned())
            .filter(|it| it != "help")
            .collect::<Vec<_>>()
    };
    let mut leaves: Vec<Vec<String>> = Vec::new();
    for top in commands(&[]) {
        match top.as_str() {
            "ecr" => leaves.extend(commands(&["ecr"]).into_iter().map(|it| vec![top.clone(), it])),
            _ => leaves.push(vec![top]),
        }
    }
    leaves.retain(|it| it.last().unwrap() != "lifecycle");
    leaves.extend(
        commands(&["ecr", "lifecycle"]).into_iter().map(|it| vec!["ecr".into(), "lifecycle".into(), it]),
    );
    assert!(leaves.len() > 14, "{leaves:?}");
    for leaf in leaves {
        let args: Vec<_> = leaf.iter().map(String::as_str).chain(["--help"]).collect();
        let help = workspace.command(&args).run().good().stdout;
        assert!(help.contains("\nExamples:\n  ") && help.contains("\nExit codes:\n"), "{leaf:?}");
    }
}

#[test]
fn shells_complete_the_installed_program() {
    for (shell, word) in [
        ("bash", "complete -F _cargo__ecr"),
        ("zsh", "#compdef cargo-ecr"),
        ("fish", "complete -c cargo-ecr"),
    ] {
        let script = Workspace::new().command(&["ecr", "completions", shell]).run().good().stdout;
        assert!(script.contains(word) && script.contains("promote"), "{shell}");
    }
    let wrong = Workspace::new().command(&["ecr", "completions", "cmd"]).run();
    assert!(wrong.stderr.contains("[possible values: bash, elvish, fish, powershell, zsh]"), "{wrong:#?}");
}

#[test]
fn manual_pages_are_those_of_the_help() {
    let workspace = Workspace::new();
    let output = workspace.command(&["ecr", "man", "man1"]).run().good();
    let pages: Vec<_> = output.stdout.lines().collect();
    assert!(
        pages.contains(&"man1/cargo-ecr.1") && pages.contains(&"man1/cargo-ecr-lifecycle-check.1"),
        "{pages:?}"
    );
    let page = std::fs::read_to_string(workspace.root().join("man1/cargo-ecr-push.1")).unwrap();
    for part in ["cargo ecr push", "\\-\\-image\\-refs", "Exit codes:", "Examples:"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

/// What the installed program prints, as cargo runs it.
fn installed(workspace: &Workspace, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-ecr"));
    command.current_dir(workspace.root()).arg("ecr").args(args);
    let output = command.env("AWS_EC2_METADATA_DISABLED", "true").output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn installed_program_names_its_own_commands() {
    let workspace = Workspace::example();
    let shown = installed(&workspace, &["create", "--local"]);
    assert!(shown.contains("push the images with `cargo ecr push --local`"), "{shown}");
    assert!(shown.contains("with `cargo ecr login --local`"), "{shown}");
    assert!(installed(&workspace, &["list"]).contains("this is `cargo ecr images`"));
    assert!(
        installed(&workspace, &["push"]).contains("cargo ecr")
            || !installed(&workspace, &["push"]).contains("cargo xtask")
    );
    let help = installed(&workspace, &["resolve", "--help"]);
    assert!(
        help.contains("Usage: cargo ecr resolve") && help.contains("\n  cargo ecr resolve -f k8s"),
        "{help}"
    );
    assert!(installed(&workspace, &["plan", "--local", "--format", "json"]).contains("\"repositories\""));
    assert!(installed(&workspace, &["--version"]).starts_with("xtask-ecr "));
}
