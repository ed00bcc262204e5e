//! Environments of a workspace: which one is chosen, what it changes, and what it refuses.

use expect_test::expect;
use serde_json::json;

use crate::support::{Fixture, Registry, Workspace};

/// Three environments, of which `stage` and `prod` have accounts of their own.
const ENVIRONMENTS: &str = r#"region = "us-east-1"
project = "p"
[workspace.metadata.ecr.tags]
team = "web"
[workspace.metadata.ecr.environments.dev]
account-id = "123456789012"
prefix = "dev/"
[workspace.metadata.ecr.environments.stage]
account-id = "111111111111"
[workspace.metadata.ecr.environments.prod]
account-id = "222222222222"
region = "eu-west-1"
aws-profile = "production"
prefix = "prod/"
lifecycle-policy = "prod-policy.json"
protect = true
tags = { tier = "1", team = "ops" }
"#;

fn workspace(more: &str) -> Workspace {
    let workspace = Workspace::new().metadata(&format!("{more}{ENVIRONMENTS}"));
    workspace
        .file("prod-policy.json", crate::support::POLICY.replace(":10", ":99").replace("last 10", "last 99"));
    workspace.service("my-app", "")
}

#[test]
fn environment_must_be_selected_where_there_are_some() {
    let workspace = workspace("");
    let shown = |args: &[&str]| workspace.command(args).run().shown();
    expect![[r#"
        --- stderr
        error: no environment is selected: the workspace has `dev`, `prod`, `stage`

        help: select one, such as -e dev, or set `default-environment` below [workspace.metadata.ecr]
        --- exit 1
    "#]]
    .assert_eq(&shown(&["ecr", "plan", "--local"]));
    expect![[r#"
        --- stderr
        error: --environment names the environment `prd`, which the workspace does not have

        help: did you mean `prod`? the environments are `dev`, `prod`, `stage`
        --- exit 1
    "#]]
    .assert_eq(&shown(&["ecr", "plan", "--local", "-e", "prd"]));
    let variable = workspace.command(&["ecr", "plan", "--local"]).env("XTASK_ECR_ENVIRONMENT", "qa").run();
    expect![[r#"
        --- stderr
        error: XTASK_ECR_ENVIRONMENT names the environment `qa`, which the workspace does not have

        help: the environments are `dev`, `prod`, `stage`
        --- exit 1
    "#]]
    .assert_eq(&variable.shown());
    expect![[r#"
        --- stderr
        error: several environments are selected: `dev`, `prod`, `stage`

        help: only `ecr plan` takes several: name one of them
        --- exit 1
    "#]]
    .assert_eq(&shown(&["ecr", "create", "--local", "-e", "*"]));
    let none = Workspace::example();
    expect![[r#"
        --- stderr
        error: --environment names the environment `prod`, which the workspace does not have

        help: add a table [workspace.metadata.ecr.environments.prod] to the root Cargo.toml
        --- exit 1
    "#]]
    .assert_eq(&none.command(&["ecr", "plan", "--local", "-e", "prod"]).run().shown());
}

#[test]
fn environment_is_that_of_the_flag_then_of_the_variable_then_the_default() {
    let workspace = workspace("default-environment = \"stage\"\n");
    let environment = |args: &[&str], variable: &str| {
        let command = workspace.command(&[&["ecr", "plan", "--local", "--format", "json"], args].concat());
        let plan = command.env("XTASK_ECR_ENVIRONMENT", variable).run().json_with(0);
        [&plan["environment"], &plan["account"]].map(|it| it.as_str().unwrap().to_owned())
    };
    assert_eq!(environment(&["-e", "prod"], "dev"), ["prod", "222222222222"]);
    assert_eq!(environment(&["--environment=dev"], ""), ["dev", "123456789012"]);
    assert_eq!(environment(&[], "dev"), ["dev", "123456789012"]);
    assert_eq!(environment(&[], ""), ["stage", "111111111111"]);
}

#[test]
fn environment_replaces_the_settings_of_the_workspace() {
    let workspace = workspace("");
    expect![[r#"
        + prod/my-app  (to create)
            + imageTagMutability: IMMUTABLE
            + scanOnPush: true
            + tags: ManagedBy=cargo-xtask-ecr, Project=p, Service=my-app, team=ops, tier=1
            + lifecyclePolicy: 1 rule
        Plan: 1 to create, 0 to change, 0 unchanged
        --- stderr
            Registry 127.0.0.1:[PORT] (prod, account 222222222222, region eu-west-1, project p, embedded ECR)
    "#]]
    .assert_eq(&workspace.local(&["ecr", "plan", "-e", "prod"]).shown());
    expect![[r#"
        127.0.0.1:[PORT]/prod/my-app
        --- stderr
            Registry 127.0.0.1:[PORT] (prod, account 222222222222, region eu-west-1, project p, embedded ECR)
             Created repository prod/my-app
            Finished 1 repository: 1 created
        help: push the images with `cargo xtask push --local -e prod`, which needs no docker login
        help: log docker in to 127.0.0.1:[PORT] with `cargo xtask ecr login --local -e prod`
        help: to keep the embedded ECR running at this address, run `cargo xtask ecr serve`
    "#]]
    .assert_eq(&workspace.local(&["ecr", "create", "-e", "prod"]).shown());
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (prod, account 222222222222, region eu-west-1, project p, embedded ECR)
             Refused prod/my-app: protected (`protect = true`)
            Finished 1 repository: 1 refused
        help: nothing was deleted; exclude the refused repositories with -p or --exclude
        --- exit 5
    "#]]
    .assert_eq(&workspace.local(&["ecr", "delete", "-e", "prod", "--yes"]).shown());
    // The repositories of another environment are other ones.
    let plan = workspace.local(&["ecr", "plan", "-e", "dev", "--format", "json"]).json_with(0);
    assert_eq!(plan["repositories"][0]["name"], "dev/my-app");
    assert_eq!(plan["repositories"][0]["state"], "absent");
}

#[test]
fn environment_of_another_account_is_refused_before_anything_is_written() {
    let Fixture { workspace, registry } = workspace("").start();
    for command in [
        &["ecr", "create", "-e", "stage"][..],
        &["ecr", "delete", "-e", "stage", "--yes"],
        &["push", "--create", "-e", "stage"],
        &["ecr", "plan", "-e", "stage"],
    ] {
        let output = workspace.on(&registry, command);
        assert_eq!(output.code, 5, "{output:#?}");
    }
    assert_eq!(registry.writes(), [""; 0]);
    expect![[r#"
        --- stderr
        error: the credentials belong to account 123456789012, but environment `stage` is pinned to account 111111111111

        help: use the credentials of account 111111111111 (--aws-profile, AWS_PROFILE), or change `account-id` below [workspace.metadata.ecr.environments.stage]; the current identity is arn:aws:iam::123456789012:root
        --- exit 5
    "#]].assert_eq(&workspace.on(&registry, &["ecr", "create", "-e", "stage"]).shown());
    workspace.on(&registry, &["ecr", "create", "-e", "dev"]).good();
    assert_eq!(registry.names(), ["dev/my-app"]);
}

#[test]
fn environment_region_and_profile_win_over_variables_but_not_over_flags_and_keys() {
    let Fixture { workspace, registry } = workspace("").start();
    workspace.file(
        ".aws/config",
        "[profile production]\naws_access_key_id = 222222222222\naws_secret_access_key = x\n\
         [profile other]\naws_access_key_id = 333333333333\naws_secret_access_key = x\n",
    );
    let plan = |args: &[&str], keys: bool| {
        let args = [&["ecr", "plan", "-e", "prod"], args].concat();
        let command = workspace.command(&args).registry(&registry).env("AWS_REGION", "us-west-2");
        let command = command.env("AWS_PROFILE", "other");
        let output = if keys { command.run() } else { command.without_keys().run() };
        (
            output.code,
            output.stderr.lines().next().unwrap_or_default().trim().replace(&registry.host(), "HOST"),
        )
    };
    let good = "Registry HOST (prod, account 222222222222, region eu-west-1, project p)".to_owned();
    assert_eq!(plan(&[], false), (0, good.clone()));
    assert_eq!(plan(&["--region", "us-east-1"], false), (0, good.replace("eu-west-1", "us-east-1")));
    let other = "error: the credentials belong to account 333333333333, but environment `prod` is pinned to account 222222222222";
    assert_eq!(plan(&["--aws-profile", "other"], false), (5, other.to_owned()));
    assert_eq!(plan(&[], true), (5, other.replace("333333333333", "123456789012")));
    workspace.file(".aws/config", "[profile other]\n");
    let missing = workspace.command(&["ecr", "plan", "-e", "prod"]).registry(&registry).without_keys().run();
    expect![[r#"
        --- stderr
        error: there is no AWS profile `production`, which the key `aws-profile` of the environment names

        help: the profiles are `other`
        --- exit 1
    "#]]
    .assert_eq(&missing.shown());
}

#[test]
fn plan_of_several_environments_is_one_document() {
    let Fixture { workspace, registry } = workspace("").start();
    let args = ["ecr", "plan", "--check", "-e", "*", "--format", "json"];
    let output = workspace.on(&registry, &args);
    // `stage` and `prod` are other accounts: refused is worse than changes.
    let plans = output.json_with(5);
    let names: Vec<_> =
        plans["environments"].as_array().unwrap().iter().map(|it| it["environment"].clone()).collect();
    assert_eq!(names, ["dev", "prod", "stage"]);
    assert_eq!(plans["environments"][0]["summary"]["create"], 1);
    assert!(plans["environments"][2]["error"]["message"].as_str().unwrap().contains("111111111111"));
    expect![[r#"
        dev
        + dev/my-app  (to create)
            + imageTagMutability: IMMUTABLE
            + scanOnPush: true
            + tags: ManagedBy=cargo-xtask-ecr, Project=p, Service=my-app, team=web
            + lifecyclePolicy: 1 rule
        Plan: 1 to create, 0 to change, 0 unchanged
        prod
        + prod/my-app  (to create)
            + imageTagMutability: IMMUTABLE
            + scanOnPush: true
            + tags: ManagedBy=cargo-xtask-ecr, Project=p, Service=my-app, team=ops, tier=1
            + lifecyclePolicy: 1 rule
        Plan: 1 to create, 0 to change, 0 unchanged
        stage
        + my-app  (to create)
            + imageTagMutability: IMMUTABLE
            + scanOnPush: true
            + tags: ManagedBy=cargo-xtask-ecr, Project=p, Service=my-app, team=web
            + lifecyclePolicy: 1 rule
        Plan: 1 to create, 0 to change, 0 unchanged
        --- stderr
            Registry 127.0.0.1:[PORT] (dev, account 123456789012, region us-east-1, project p, embedded ECR)
            Registry 127.0.0.1:[PORT] (prod, account 222222222222, region eu-west-1, project p, embedded ECR)
            Registry 127.0.0.1:[PORT] (stage, account 111111111111, region us-east-1, project p, embedded ECR)
        --- exit 2
    "#]]
    .assert_eq(&workspace.local(&["ecr", "plan", "--check", "-e", "*"]).shown());
    workspace.local(&["ecr", "create", "-e", "dev"]).good();
    let check = |pattern| workspace.local(&["ecr", "plan", "--check", "-e", pattern]).code;
    assert_eq!((check("dev"), check("d*"), check("*")), (0, 0, 2));
}

#[test]
fn environments_that_would_share_a_repository_are_refused() {
    let shown = |metadata: &str, service: &str| {
        let workspace = Workspace::new().metadata(&format!("region = \"us-east-1\"\n{metadata}"));
        workspace.service("my-app", service).local(&["ecr", "plan", "-e", "a"]).shown()
    };
    let table = |name: &str, keys: &str| format!("[workspace.metadata.ecr.environments.{name}]\n{keys}\n");
    expect![[r#"
        --- stderr
        error: there is a problem in the configuration

        Cargo.toml:9:1: the environments `a` and `b` would both use the repository `my-app`
          help: give each an `account-id`, a `region` or a `prefix` of its own; a prefix does not apply to names that are configured with `repository` or in repositories.json
        --- exit 1
    "#]].assert_eq(&shown(&(table("a", "") + &table("b", "account-id = \"111111111111\"")), ""));
    expect![[r#"
        --- stderr
        error: there is a problem in the configuration

        Cargo.toml:9:1: the environments `a` and `b` would both use the repository `fixed`
          help: give each an `account-id`, a `region` or a `prefix` of its own; a prefix does not apply to names that are configured with `repository` or in repositories.json
        --- exit 1
    "#]].assert_eq(&shown(
        &(table("a", "prefix = \"a/\"") + &table("b", "prefix = \"b/\"")),
        "repository = \"fixed\"\n",
    ));
    for distinct in [
        table("a", "prefix = \"a/\"") + &table("b", ""),
        table("a", "account-id = \"222222222222\"") + &table("b", "account-id = \"111111111111\""),
        table("a", "region = \"eu-west-1\"") + &table("b", ""),
        table("a", "aws-profile = \"a\"") + &table("b", "aws-profile = \"b\""),
    ] {
        let shown = shown(&distinct, "");
        assert!(shown.contains("Plan: 1 to create"), "{shown}");
    }
}

#[test]
fn environment_problems_are_reported_with_their_places() {
    let workspace = Workspace::new().metadata(
        "default-environment = \"prd\"\n[workspace.metadata.ecr.environments.prod]\naccount = \"1\"\naccount-id = \"1\"\n\
         lifecycle-policy = \"none.json\"\n[workspace.metadata.ecr.environments.\"a b\"]\n",
    );
    expect![[r#"
        --- stderr
        error: there are 5 problems in the configuration

        Cargo.toml:6:23: there is no environment `prd`
          help: did you mean `prod`?

        Cargo.toml:8:1: unknown key `account` in [workspace.metadata.ecr.environments.prod]
          help: did you mean `account-id`?

        Cargo.toml:9:14: `1` is not an AWS account number (12 digits)

        Cargo.toml:10:20: the lifecycle policy `none.json` cannot be read: No such file or directory (os error 2)
          help: create the file, or name another one; `false` means no policy

        Cargo.toml:11:38: `a b` is not a name of an environment: it has 1 to 64 letters, digits, `-`, `_` and `.`
        --- exit 1
    "#]]
        .assert_eq(&workspace.service("my-app", "").local(&["ecr", "plan", "-e", "prod"]).shown());
}

#[test]
fn environments_of_three_accounts_are_apart_on_one_server() {
    let workspace = workspace("").start();
    // An access key ID of twelve digits is its own account.
    for (name, account) in [("dev", "123456789012"), ("stage", "111111111111"), ("prod", "222222222222")] {
        let create = workspace.command(&["ecr", "create", "-e", name]).env("AWS_ACCESS_KEY_ID", account);
        create.run().good();
    }
    let names = |registry: &Registry| registry.names();
    assert_eq!(names(&workspace.registry), ["dev/my-app"]);
    let status = workspace
        .command(&["ecr", "plan", "-e", "prod", "--format", "json"])
        .env("AWS_ACCESS_KEY_ID", "222222222222")
        .run()
        .json_with(0);
    assert_eq!(
        status["summary"],
        json!({"create": 0, "change": 0, "unchanged": 1, "blocked": 0, "foreign": 0})
    );
}
