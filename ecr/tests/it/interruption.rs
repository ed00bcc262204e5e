//! Ctrl-C: what was done is told, and it ends soon.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Fixture, Output, Registry, Run, Workspace, static_binary};

/// The time within which a command ends after Ctrl-C. It is a second, and more on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Runs a command, and interrupts it once `is_time` holds.
fn interrupt(run: Run, is_time: impl Fn() -> bool) -> Output {
    let (output, took) = run.interrupted(is_time);
    assert!(took < SOON, "{took:?}: {output:#?}");
    assert_eq!(output.code, 130, "{output:#?}");
    output
}

/// A workspace of three services whose repositories exist in a registry with faults.
fn three(faults: &[&str]) -> (Workspace, Registry) {
    let registry = Registry::with_faults(faults);
    ["aa", "bb", "cc"].iter().for_each(|it| registry.create_plain(it));
    let workspace = Workspace::new().service("aa", "").service("bb", "").service("cc", "");
    (workspace, registry)
}

fn outcomes(document: &Value, list: &str, name: &str) -> Vec<String> {
    let entries = document[list].as_array().unwrap();
    let text = |it: &Value| it.as_str().unwrap_or("-").to_owned();
    entries
        .iter()
        .map(|it| format!("{} {}: {}", text(&it[name]), text(&it["outcome"]), text(&it["error"])))
        .collect()
}

#[test]
fn interrupted_delete_tells_what_was_deleted() {
    // The first deletion is not answered; the others are.
    let (workspace, registry) = three(&["slow=DeleteRepository:60000ms:1"]);
    let args = ["ecr", "delete", "--yes", "--concurrency", "2"];
    let run = workspace.command(&args).registry(&registry);
    let output = interrupt(run, || registry.repositories() <= 1);
    // Either of the first two may be the first at the server.
    let failed = output.stderr.lines().find(|it| it.contains(" Failed ")).unwrap_or_default();
    assert!(failed.ends_with(": interrupted: whether it was deleted is unknown"), "{output:#?}");
    assert!(output.stderr.ends_with("Finished 3 repositories: 2 deleted, 1 failed\n"), "{output:#?}");
}

#[test]
fn interrupted_delete_keeps_what_was_not_begun() {
    let (workspace, registry) = three(&["slow=DeleteRepository:60000ms"]);
    let args = ["ecr", "delete", "--yes", "--concurrency", "1", "--format", "json"];
    let run = workspace.command(&args).registry(&registry);
    let json = interrupt(run, || registry.has_calls("DeleteRepository")).json_with(130);
    assert_eq!(json["interrupted"], true);
    assert_eq!(
        outcomes(&json, "repositories", "name"),
        ["aa failed: interrupted: whether it was deleted is unknown", "bb kept: -", "cc kept: -"]
    );
}

#[test]
fn interrupted_create_tells_what_was_created() {
    let registry = Registry::with_faults(&["slow=PutLifecyclePolicy:60000ms"]);
    let workspace = Workspace::new().service("aa", "").service("bb", "");
    workspace.file("ecr/lifecycle-policy.json", include_str!("../../lifecycle-policy.json"));
    let run =
        workspace.command(&["ecr", "create", "--format", "json", "--concurrency", "1"]).registry(&registry);
    let json = interrupt(run, || registry.has_calls("PutLifecyclePolicy")).json_with(130);
    assert_eq!(json["interrupted"], true);
    assert_eq!(
        outcomes(&json, "repositories", "name"),
        [
            "aa failed: interrupted: whether it was changed is unknown",
            "bb failed: interrupted before it was begun"
        ]
    );
}

#[test]
fn interrupted_push_tells_what_was_pushed() {
    let (workspace, registry) = three(&["slow=PutImage:60000ms:1"]);
    for name in ["aa", "bb", "cc"] {
        workspace.file(&format!("bin/{name}"), static_binary("x86_64", name.len()));
    }
    let args = ["push", "--binary", "linux/amd64=bin", "--format", "json"];
    let run = workspace.command(&args).registry(&registry);
    let json = interrupt(run, || ["aa", "bb", "cc"].iter().filter(|it| registry.images(it) > 0).count() >= 2)
        .json_with(130);
    assert_eq!(json["interrupted"], true);
    let mut pushed = outcomes(&json, "images", "package");
    pushed.retain(|it| !it.ends_with(" pushed: -"));
    assert_eq!(pushed.len(), 1, "{json:#}");
    assert!(
        pushed[0].ends_with(" failed: interrupted: whether its tags were pushed is unknown"),
        "{pushed:?}"
    );
}

#[test]
fn interrupted_push_tells_that_repositories_were_not_created() {
    let registry = Registry::with_faults(&["slow=CreateRepository:60000ms"]);
    let workspace = Workspace::new().service("aa", "").service("bb", "");
    for name in ["aa", "bb"] {
        workspace.file(&format!("bin/{name}"), static_binary("x86_64", name.len()));
    }
    let args = ["push", "--create", "--binary", "linux/amd64=bin", "--concurrency", "1", "--format", "json"];
    let run = workspace.command(&args).registry(&registry);
    let json = interrupt(run, || registry.has_calls("CreateRepository")).json_with(130);
    assert_eq!(json["interrupted"], true);
    assert_eq!(
        outcomes(&json, "images", "package"),
        [
            "aa failed: repository `aa`: interrupted: whether it was changed is unknown",
            "bb failed: repository `bb`: interrupted before it was begun"
        ]
    );
}

#[test]
fn interrupted_before_anything_was_changed_says_so() {
    let fixture = Fixture::service().with_faults(&["slow=GetCallerIdentity:60000ms"]);
    for (args, told) in [
        (&["ecr", "delete", "--yes"][..], "nothing was deleted"),
        (&["ecr", "create"], "nothing was changed"),
        (&["push", "--binary", "linux/amd64=none"], "no image was pushed"),
    ] {
        fixture.registry.calls();
        let output = interrupt(fixture.command(args), || fixture.registry.has_calls("GetCallerIdentity"));
        assert!(output.stderr.ends_with(&format!(" Interrupted {told}\n")), "{output:#?}");
        assert_eq!(output.stdout, "");
    }
    let run = fixture.command(&["ecr", "plan", "--format", "json"]);
    fixture.registry.calls();
    let output = interrupt(run, || fixture.registry.has_calls("GetCallerIdentity"));
    let json = output.json_with(130);
    assert_eq!((&json["error"]["message"], &json["interrupted"]), (&"interrupted".into(), &true.into()));
}

/// Ctrl-C reaches cargo as well, whose end is not the reason.
#[test]
fn interrupted_while_cargo_reads_the_workspace() {
    let fixture = Fixture::service();
    let cargo = fixture.workspace.program("slow-cargo", "touch reading; sleep 30");
    let run = fixture.command(&["ecr", "plan"]).env("CARGO", &cargo);
    let reading = fixture.workspace.root().join("reading");
    let output = interrupt(run, || reading.exists());
    assert!(!output.stderr.contains("error"), "{output:#?}");
}

#[test]
fn interrupted_serve_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::new();
    let data = folder.path().join("state").display().to_string();
    let run = workspace.command(&["ecr", "serve", "--port", "0", "--data", &data, "--format", "json"]);
    let (output, took) = run.interrupted(|| folder.path().join("state").exists());
    assert_eq!((output.code, took < SOON), (0, true), "{output:#?}");
}

/// Interrupts commands at many moments. With `XTASK_ECR_INTERRUPTIONS` there are so many.
#[test]
fn interrupted_at_any_moment_tells_the_truth() {
    let count = std::env::var("XTASK_ECR_INTERRUPTIONS").ok().and_then(|it| it.parse().ok()).unwrap_or(24);
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            scope.spawn(move || (worker..count).step_by(WORKERS).for_each(interrupt_once));
        }
    });
}

/// The commands that are interrupted at the same time. They wait most of the time.
const WORKERS: usize = 4;

/// Interrupts `ecr delete` or `ecr create` after a time that depends on `n`.
fn interrupt_once(n: usize) {
    let (workspace, registry) = three(&["slow=*:4ms"]);
    let is_delete = n.is_multiple_of(2);
    let args: &[&str] = match is_delete {
        true => &["ecr", "delete", "--yes", "--concurrency", "1", "--format", "json"],
        false => &["ecr", "create", "--concurrency", "1", "--format", "json"],
    };
    let after = Duration::from_millis(3 * (n as u64 / 2 % 40));
    let before = Instant::now();
    let run = workspace.command(args).registry(&registry);
    let (output, took) = run.interrupted(|| before.elapsed() >= after);
    // The process of a command ends at once, before it catches signals.
    if output.code == -1 {
        assert_eq!((output.stdout.as_str(), registry.repositories()), ("", 3));
        return;
    }
    assert!(took < SOON && matches!(output.code, 0 | 130), "{took:?} {output:#?}");
    let json = output.json_with(output.code);
    assert_eq!(json["interrupted"] == true, output.code == 130, "{json:#}");
    let entries = json["repositories"].as_array().cloned().unwrap_or_default();
    let of = |outcome: &str| entries.iter().filter(|it| it["outcome"] == outcome).count();
    if is_delete {
        // What is told to be deleted is gone, and what is told to be kept is there.
        let left = registry.repositories();
        assert!(left <= 3 - of("deleted") && left >= of("kept"), "{left} left: {json:#}");
    }
    // A second run reaches the goal.
    workspace.on(&registry, args).json_with(0);
    assert_eq!(registry.repositories(), if is_delete { 0 } else { 3 });
}
