//! Pushes in parts: `--partition`, and the lists of references that parts and retries make together.

use expect_test::expect;

use crate::support::{Fixture, Output, Workspace};

fn push(fixture: &Fixture, args: &[&str]) -> Output {
    fixture.run(&[&["push", "--profile", "dev", "--image-refs", "refs.txt"], args].concat())
}

/// The references of a file, in order.
fn listed(fixture: &Fixture, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(fixture.workspace.root().join(file)).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The repositories of a file, sorted.
fn repositories(fixture: &Fixture, file: &str) -> Vec<String> {
    let name = |it: &String| it.split_once('/').unwrap().1.split_once('@').unwrap().0.to_owned();
    let mut names: Vec<_> = listed(fixture, file).iter().map(name).collect();
    names.sort();
    names
}

fn several() -> Fixture {
    let names = ["api", "cron", "mail", "queue"];
    names.iter().fold(Workspace::new(), |it, name| it.service(name, "")).start().created()
}

#[test]
fn parts_and_retries_make_one_list() {
    let fixture = several();
    let first = push(&fixture, &["--partition", "1/2"]).good();
    let part = repositories(&fixture, "refs.txt");
    assert!((1..4).contains(&part.len()), "{first:#?}");
    assert!(first.stderr.contains(&format!("note: part 1/2 has {} of 4 services", part.len())), "{first:#?}");
    push(&fixture, &["--partition", "2/2"]).good();
    assert_eq!(repositories(&fixture, "refs.txt"), ["api", "cron", "mail", "queue"]);
    let before = listed(&fixture, "refs.txt");

    // A retry of one service replaces its line.
    fixture.workspace.file("mail/src/main.rs", "fn main() { println!(\"changed\"); }\n");
    push(&fixture, &["-p", "mail", "-t", "2"]).good();
    let after = listed(&fixture, "refs.txt");
    let changed: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).collect();
    assert_eq!((after.len(), changed.len()), (4, 1));
    assert!(changed[0].1.contains("/mail@"), "{changed:?}");

    // One that fails has no image of this commit, and no line.
    fixture.workspace.file("mail/src/main.rs", "fn main() { println!(\"changed again\"); }\n");
    assert_eq!(push(&fixture, &["-p", "mail", "-t", "2"]).code, 3);
    assert_eq!(repositories(&fixture, "refs.txt"), ["api", "cron", "queue"]);
}

#[test]
fn parts_without_a_service_are_no_failure() {
    let fixture = Fixture::service().created();
    let outputs =
        ["1/2", "2/2"].map(|it| push(&fixture, &["--partition", it, "--format", "json"]).json_with(0));
    let mut counts = outputs.map(|it| it["images"].as_array().unwrap().len());
    counts.sort_unstable();
    assert_eq!(counts, [0, 1]);
    let wrong = push(&fixture, &["--partition", "3/2"]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("`3/2` is not a part I/N such as 1/3, with I from 1 to N"), "{wrong:#?}");
}

#[test]
fn parts_of_one_push_are_merged_and_those_of_two_refused() {
    let fixture = several();
    for (file, package) in [("a.txt", "api"), ("b.txt", "cron"), ("c.txt", "api")] {
        if file == "c.txt" {
            fixture.workspace.file("api/src/main.rs", "fn main() { println!(\"changed\"); }\n");
        }
        let args = ["push", "--profile", "dev", "-p", package, "-t", file, "--image-refs", file];
        fixture.run(&args).good();
    }
    let merge = |args: &[&str]| fixture.workspace.command(&[&["push"], args].concat()).without_cargo().run();
    let merged = merge(&["--merge-refs", "a.txt", "b.txt", "a.txt", "--image-refs", "all.txt"]).good();
    assert_eq!((merged.stdout.lines().count(), merged.stderr.as_str()), (2, ""));
    assert_eq!(listed(&fixture, "all.txt").join("\n"), merged.stdout.trim());
    let json = merge(&["--merge-refs", "a.txt", "b.txt", "--format", "json"]).json_with(0);
    assert_eq!(json["references"].as_array().unwrap().len(), 2);
    expect![[r#"
        --- stderr
        error: the files name different images for one repository

        Caused by:
          api: `a.txt` says sha256:[DIGEST], and `c.txt` says sha256:[DIGEST]

        help: merge only files that pushes of one commit have written
        --- exit 1
    "#]]
    .assert_eq(&merge(&["--merge-refs", "a.txt", "b.txt", "c.txt"]).shown());
}

#[test]
fn parts_never_overwrite_a_file_that_is_no_list() {
    let fixture = Fixture::service().created();
    fixture.workspace.file("refs.txt", "image: my-app\n");
    let output = push(&fixture, &[]);
    expect![[r#"
        --- stderr
        error: `refs.txt` is not a list of digest references

        Caused by:
          line 1: `image: my-app` is not a digest reference such as HOST/NAME@sha256:[DIGEST]...

        help: pass the name of a new file, or of one that `push --image-refs` has written
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
    assert_eq!(listed(&fixture, "refs.txt"), ["image: my-app"]);
}
