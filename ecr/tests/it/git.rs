//! Repositories and toolchains as other people have them.

use expect_test::expect;

use crate::support::Workspace;

const PUSH: [&str; 4] = ["push", "--dry-run", "--profile", "dev"];

#[test]
fn uncommitted_changes_of_a_package_outside_of_the_workspace_are_refused() {
    let outside = Workspace::new().service("extra", "");
    outside.file("extra/src/lib.rs", "pub fn text() -> u8 { 1 }\n");
    outside.git_init();
    let path = outside.root().join("extra");
    let dependency = format!("[dependencies]\nextra = {{ path = \"{}\" }}\n", path.display());
    let workspace = Workspace::new().service("app", &dependency);
    workspace.git_init();
    workspace.command(&PUSH).run().good();
    outside.file("extra/src/lib.rs", "pub fn text() -> u8 { 2 }\n");
    let output = workspace.command(&PUSH).run();
    expect![[r#"
        --- stderr
        error: the working tree has 1 uncommitted change

        Caused by:
           M src/lib.rs

        help: commit the changes, or pass --allow-dirty
        --- exit 5
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn repository_that_cannot_be_read_is_no_clean_one() {
    let workspace = Workspace::new().service("app", "");
    workspace.file(".git", "gitdir: /nowhere\n");
    let output = workspace.command(&PUSH).run();
    expect![[r#"
        --- stderr
        error: git cannot read this working tree: fatal: not a git repository: /nowhere
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn variables_of_a_git_hook_do_not_hide_the_repository() {
    let workspace = Workspace::new().service("app", "");
    workspace.git_init();
    workspace.file("new.txt", "");
    let output =
        workspace.command(&PUSH).env("GIT_DIR", "/nowhere").env("GIT_INDEX_FILE", "/nowhere/index").run();
    assert_eq!(output.code, 5, "{output:#?}");
    assert!(output.stderr.contains("?? new.txt"), "{output:#?}");
}

#[test]
fn toolchain_of_before_host_tuple_is_asked_in_another_way() {
    let workspace = Workspace::new().service("app", "");
    let script = "case \"$*\" in *host-tuple*) echo 'error: unknown print request: `host-tuple`' >&2; exit 1;; esac\nexec rustc \"$@\"";
    let rustc = workspace.program("bin/rustc", script);
    let listed = workspace.command(&["push", "--list"]).env("RUSTC", &rustc).run().good();
    assert!(listed.stdout.contains("app"), "{listed:#?}");
}
