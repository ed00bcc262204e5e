//! `ecr init`: a workspace of somebody else becomes one that pushes.

use std::path::Path;
use std::process::Command;

use expect_test::expect;

use crate::support::{Output, Registry, Run, Workspace};

/// A workspace that knows nothing of the tool, in git.
fn stranger() -> Workspace {
    let workspace = Workspace::new();
    let package = |name: &str| {
        format!("# {name} of ours\n[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n")
    };
    let workspace = workspace.member("shop", &package("shop"), "fn main() {}\n").member(
        "tool",
        &package("tool"),
        "fn main() {}\n",
    );
    let root = "[workspace]\nresolver = \"3\"\nmembers = [\"shop\", \"tool\"] # both\ndefault-members = [\"shop\"]\n";
    workspace.file("Cargo.toml", root);
    for path in ["ecr/lifecycle-policy.json", "Cargo.lock"] {
        let _ = std::fs::remove_file(workspace.root().join(path));
    }
    workspace.file(".gitignore", "*.log\n");
    workspace.git_init();
    workspace.git(&["add", "."]);
    workspace
}

/// `ecr init` without credentials, so that it asks AWS nothing.
fn init(workspace: &Workspace, args: &[&str]) -> Output {
    workspace.command(&[&["ecr", "init"], args].concat()).without_keys().run()
}

#[test]
fn init_shows_what_a_workspace_needs() {
    let workspace = stranger();
    let shown = init(&workspace, &[]).good().shown();
    let folder = workspace.root().file_name().unwrap().to_str().unwrap().to_owned();
    expect![[r#"
        service shop: shop
            why: it has a binary
            to change it: remove the table [package.metadata.ecr] from shop/Cargo.toml
        project: [FOLDER]
            why: the name of the folder; it marks the repositories as those of this workspace, and `ecr delete` asks for it
            to change it: `project` in ecr/repositories.json
        lifecycle policy: untagged images go after 14 days, and the last 50 stay
            why: without one, a repository grows for ever
            to change it: ecr/lifecycle-policy.json; `lifecycle-policy = false` is none
        way: installed
            why: nothing of the workspace depends on the tool, so that no locked crate changes and any toolchain will do
            to change it: --way installed|workspace|member
        --- a/shop/Cargo.toml
        +++ b/shop/Cargo.toml
        @@ -3,3 +3,5 @@
         name = "shop"
         version = "0.1.0"
         edition = "2024"
        +
        +[package.metadata.ecr]
        --- /dev/null
        +++ b/ecr/repositories.json
        @@ -0,0 +1,4 @@
        +{
        +  "project": "[FOLDER]",
        +  "repositories": []
        +}
        --- /dev/null
        +++ b/ecr/lifecycle-policy.json
        @@ -0,0 +1,29 @@
        +{
        +  "rules": [
        +    {
        +      "rulePriority": 1,
        +      "description": "Expire untagged images after 14 days",
        +      "selection": {
        +        "tagStatus": "untagged",
        +        "countType": "sinceImagePushed",
        +        "countUnit": "days",
        +        "countNumber": 14
        +      },
        +      "action": {
        +        "type": "expire"
        +      }
        +    },
        +    {
        +      "rulePriority": 2,
        +      "description": "Keep the last 50 images",
        +      "selection": {
        +        "tagStatus": "any",
        +        "countType": "imageCountMoreThan",
        +        "countNumber": 50
        +      },
        +      "action": {
        +        "type": "expire"
        +      }
        +    }
        +  ]
        +}
        --- stderr
        note: `tool` is no default member, and is left out; to make it a service, add [package.metadata.ecr] to tool/Cargo.toml
        note: `region` and `account-id` can be added below [workspace.metadata.ecr] at any time: no AWS region is set, and there are no AWS credentials
        note: people and CI install the tool with `cargo install --locked --path SOURCE/ecr, or --git URL xtask-ecr`
            Finished 3 files to write
        help: `cargo xtask ecr init --write` writes them
    "#]].assert_eq(&shown.replace(&folder, "[FOLDER]"));
    assert!(!workspace.root().join("ecr/repositories.json").exists(), "nothing is written");
}

#[test]
fn init_write_is_all_that_a_push_needs() {
    let workspace = stranger();
    init(&workspace, &["--write"]).good();
    let changed = workspace.git(&["diff", "--stat", "--", "shop", "tool", "Cargo.toml"]);
    assert!(changed.contains("1 file changed, 2 insertions(+)"), "{changed}");
    let again = init(&workspace, &["--write", "--format", "json"]).json_with(0);
    assert_eq!((again["files"].as_array().unwrap().len(), &again["written"]), (0, &true.into()), "{again:#}");
    workspace.git(&["add", "."]);
    workspace.git(&["-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "-q", "-m", "Adopt"]);
    let push = workspace.command(&["push", "--local", "--create", "--profile", "dev"]).run().good();
    assert!(push.stdout.contains("/shop@sha256:"), "{push:#?}");
}

#[test]
fn init_fixes_the_region_and_the_account_of_the_credentials() {
    let registry = Registry::start();
    let workspace = stranger();
    let run = |args: &[&str]| workspace.command(&[&["ecr", "init"], args].concat());
    // Without a region, that of no account is assumed.
    let shown = run(&[]).registry(&registry).env("AWS_REGION", "").run().good().shown();
    assert!(
        shown.contains(
            "note: `region` can be added below [workspace.metadata.ecr] at any time: no AWS region"
        ),
        "{shown}"
    );
    let arguments = ["--write", "--format", "json"];
    let written = run(&arguments).registry(&registry).env("AWS_REGION", "eu-west-1").run().json_with(0);
    expect![[r#"
        [
          {
            "change": "`region` in Cargo.toml; AWS_REGION and --region win over it",
            "setting": "region",
            "value": "eu-west-1",
            "why": "AWS_REGION has it"
          },
          {
            "change": "`account-id` in Cargo.toml; without it, commands write to any account",
            "setting": "account-id",
            "value": "123456789012",
            "why": "the AWS credentials are those of arn:aws:iam::123456789012:root; commands write to no other account"
          }
        ]
    "#]]
    .assert_eq(&format!("{:#}\n", serde_json::json!(written["settings"].as_array().unwrap()[2..4])));
    workspace.command(&["ecr", "plan"]).registry(&registry).env("AWS_REGION", "").run().good();
    let again = run(&arguments).registry(&registry).env("AWS_REGION", "us-east-1").run().json_with(0);
    assert_eq!(again["files"], serde_json::json!([]));
}

#[test]
fn init_needs_no_credentials() {
    let workspace = stranger();
    let note = |run: Run| {
        let shown = run.run().good().shown();
        shown.lines().find(|it| it.contains("[workspace.metadata.ecr]")).unwrap().to_owned()
    };
    let at = |url: &str| workspace.command(&["ecr", "init"]).env("AWS_ENDPOINT_URL", url);
    let nothing = note(workspace.command(&["ecr", "init"]).without_keys());
    assert!(nothing.ends_with("no AWS region is set, and there are no AWS credentials"), "{nothing}");
    // A port on which nothing listens, and a profile that is none.
    let refused = note(at("http://127.0.0.1:9"));
    assert!(
        refused.contains("it is not known whose the AWS credentials are (sts:GetCallerIdentity: "),
        "{refused}"
    );
    let missing = note(workspace.command(&["ecr", "init"]).without_keys().env("AWS_PROFILE", "none"));
    assert!(missing.contains("whose the AWS credentials are (there is no AWS profile `none`"), "{missing}");
    // A server that does not answer.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let slow = note(at(&format!("http://{}", silent.local_addr().unwrap())));
    assert!(slow.contains("whose the AWS credentials are (sts:GetCallerIdentity: "), "{slow}");
}

#[test]
fn init_proposes_tags_where_versions_do_not_move() {
    let workspace = stranger();
    let commit = |message: &str| {
        workspace.git(&["add", "."]);
        workspace.git(&[
            "-c",
            "user.name=x",
            "-c",
            "user.email=x@localhost",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            message,
        ]);
    };
    commit("One");
    assert!(!init(&workspace, &[]).good().stdout.contains("git-short-sha"));
    workspace.file("shop/src/main.rs", "fn main() { println!() }\n");
    commit("Two");
    let shown = init(&workspace, &[]).good().stdout;
    assert!(shown.contains("+tags = [\"{version}-{git-short-sha}\"]"), "{shown}");
}

#[test]
fn init_reads_manifests_and_configurations_as_others_write_them() {
    let workspace = Workspace::new().member(
        "MyApp",
        "[package]\r\nname = \"MyApp\"\r\nversion.workspace = true\r\nedition = \"2024\"\r\n",
        "fn main() {}\n",
    );
    let root = "[workspace]\r\nresolver = \"3\"\r\nmembers = [\"MyApp\"]\r\n[workspace.package]\r\nversion = '0.1.0'\r\n";
    workspace.file("Cargo.toml", root);
    workspace.file(".cargo/config", "[build]\njobs = 2\n");
    workspace.git_init();
    workspace.file("MyApp/src/main.rs", "fn main() { println!() }\n");
    workspace.git(&["commit", "-q", "-a", "-m", "Two"]);
    let tool = env!("CARGO_MANIFEST_DIR");
    let shown = init(&workspace, &["--way", "member", "--source", tool]).good().stdout;
    for wanted in [
        "+repository = \"my-app\"",
        "+tags = [\"{version}-{git-short-sha}\"]",
        "+++ b/.cargo/config\n",
        "+members = [\"MyApp\", \"xtask\"]",
    ] {
        assert!(shown.contains(wanted), "{wanted} is not in {shown}");
    }
    // Only what changes is in the diff of a file with line ends of Windows.
    assert!(!shown.contains("-resolver"), "{shown}");
}

#[test]
fn init_of_an_xtask_leaves_the_lock_file_alone() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).display().to_string();
    let workspace = stranger();
    let metadata = |manifest: &str| {
        let args =
            ["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path", manifest];
        Command::new(env!("CARGO")).args(args).current_dir(workspace.root()).output().unwrap()
    };
    let missing = init(&workspace, &["--way", "workspace"]).shown();
    assert!(missing.contains("pass --source PATH with a checkout of the tool"), "{missing}");
    let wrong = init(&workspace, &["--way", "workspace", "--source", "shop"]).shown();
    assert!(wrong.contains("`shop` has no package `xtask-ecr`"), "{wrong}");
    init(&workspace, &["--way", "workspace", "--source", &source, "--write"]).good();
    // The profiles are those that the documents show.
    let manifest = std::fs::read_to_string(workspace.root().join("xtask/Cargo.toml")).unwrap();
    let profiles = &manifest[manifest.find("[profile.dev.package.\"*\"]").unwrap()..];
    assert!(
        crate::docs::read(&crate::docs::root().join("ecr/docs/adopting.md")).contains(profiles),
        "{manifest}"
    );
    assert!(workspace.git(&["diff", "--stat", "--", "Cargo.toml"]).is_empty(), "no pattern takes the folder");
    let xtask = metadata("xtask/Cargo.toml");
    assert!(xtask.status.success(), "{}", String::from_utf8_lossy(&xtask.stderr));
    assert!(metadata("Cargo.toml").status.success() && !workspace.root().join("Cargo.lock").exists());
    let again =
        init(&workspace, &["--way", "workspace", "--source", &source, "--format", "json"]).json_with(0);
    assert_eq!(again["files"].as_array().unwrap().len(), 0, "{again:#}");
}
