//! Tags with the branch and the pull request that a push is of.

use expect_test::expect;

use crate::support::{Workspace, static_binary};

fn workspace() -> Workspace {
    let workspace = Workspace::new().service("my-app", "");
    workspace.file("amd", static_binary("x86_64", 10));
    workspace
}

const PUSH: [&str; 5] = ["push", "--dry-run", "--allow-dirty", "--binary", "linux/amd64=amd"];

fn tags(workspace: &Workspace, tags: &[&str], variables: &[(&str, &str)]) -> serde_json::Value {
    let tags = tags.iter().flat_map(|it| ["--tag", it]);
    let args: Vec<_> = PUSH.into_iter().chain(tags).chain(["--format", "json"]).collect();
    let command = variables.iter().fold(workspace.command(&args), |it, (key, value)| it.env(key, value));
    command.run().json_with(0)["images"][0]["tags"].clone()
}

#[test]
fn branch_is_that_of_git_or_of_ci() {
    let workspace = workspace();
    workspace.git_init();
    workspace.git(&["checkout", "-q", "-b", "feature/login#2"]);
    assert_eq!(tags(&workspace, &["{branch}"], &[]), serde_json::json!(["feature-login-2"]));
    // CI checks a commit out.
    workspace.git(&["checkout", "-q", "--detach"]);
    let github = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_REF", "refs/pull/12/merge"),
        ("GITHUB_HEAD_REF", "feature/login"),
    ];
    assert_eq!(tags(&workspace, &["{branch}-{git-short-sha}", "pr-{pr}"], &github)[1], "pr-12");
    assert!(tags(&workspace, &["{branch}"], &github) == serde_json::json!(["feature-login"]));
}

#[test]
fn branch_or_pull_request_that_is_none_fails() {
    let workspace = workspace();
    workspace.git_init();
    workspace.git(&["checkout", "-q", "--detach"]);
    let shown = |tag: &str| workspace.command(&[&PUSH[..], &["--tag", tag]].concat()).run().shown();
    expect![[r#"
        --- stderr
              Failed my-app: tag `{branch}` needs a branch, but a commit is checked out without one, and no variable of CI names one
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]].assert_eq(&shown("{branch}"));
    expect![[r#"
        --- stderr
              Failed my-app: tag `pr-{pr}` needs a pull request, but the variables of CI name none
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]]
    .assert_eq(&shown("pr-{pr}"));
}
