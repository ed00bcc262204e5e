//! Services that cargo builds in one invocation: their images are those of a build of each alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::hostile::answers;
use crate::support::{Output, Workspace};

/// A library whose function tells which features it was built with, also for the host.
const LIBRARY: &str =
    "pub fn told() -> &'static str { if cfg!(feature = \"loud\") { \"LOUD\" } else { \"quiet\" } }\n";

/// A package without a service.
fn package(workspace: &mut Workspace, name: &str, manifest: &str, source: &str) {
    let path = if manifest.contains("proc-macro") || !manifest.contains("[package.metadata") {
        "lib"
    } else {
        "main"
    };
    workspace.add_member(name);
    let head = format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
    workspace.file(&format!("{name}/Cargo.toml"), head + manifest);
    workspace.file(&format!("{name}/src/{path}.rs"), source);
}

fn service(workspace: &mut Workspace, name: &str, manifest: &str, more: &str) {
    let source = format!("fn main() {{ println!(\"{name} {{}}\", {more}); }}\n");
    package(workspace, name, &format!("{manifest}[package.metadata.ecr]\n"), &source);
}

/// Every way in which a build of several packages may differ from a build of one.
fn tricky() -> Workspace {
    let mut it = Workspace::new();
    package(&mut it, "shared", "[features]\nloud = []\n", LIBRARY);
    package(
        &mut it,
        "telling",
        "[lib]\nproc-macro = true\n[dependencies]\nshared = { path = \"../shared\" }\n[features]\nloud = [\"shared/loud\"]\n",
        "#[proc_macro]\npub fn told(_: proc_macro::TokenStream) -> proc_macro::TokenStream { \
         format!(\"{:?}\", shared::told()).parse().unwrap() }\n",
    );
    let shared = "[dependencies]\nshared = { path = \"../shared\" }\n";
    let loud = "[dependencies]\nshared = { path = \"../shared\", features = [\"loud\"] }\n";
    service(&mut it, "quiet-1", shared, "shared::told()");
    service(&mut it, "quiet-2", shared, "shared::told()");
    // The features of a shared crate differ.
    service(&mut it, "loud", loud, "shared::told()");
    // ... only for the host: a build script, and a procedural macro.
    let build =
        format!("{shared}[build-dependencies]\nshared = {{ path = \"../shared\", features = [\"loud\"] }}\n");
    service(&mut it, "built", &build, "format!(\"{} {}\", shared::told(), env!(\"TOLD\"))");
    it.file("built/build.rs", "fn main() { println!(\"cargo::rustc-env=TOLD={}\", shared::told()); }\n");
    let quiet = "[dependencies]\ntelling = { path = \"../telling\" }\n";
    service(&mut it, "macro-quiet", quiet, "telling::told!()");
    service(&mut it, "macro-loud", &quiet.replace(" }", ", features = [\"loud\"] }"), "telling::told!()");
    // ... only for tests, which are not built; and a service that is also a library of another one.
    let tested = format!("{shared}[dev-dependencies]\n{}", &loud["[dependencies]\n".len()..]);
    service(&mut it, "tested", &tested, "shared::told()");
    service(&mut it, "library", &format!("{shared}[features]\nwide = []\n"), "library::width()");
    it.file("library/src/lib.rs", "pub fn width() -> u8 { if cfg!(feature = \"wide\") { 2 } else { 1 } }\n");
    let library = "[dependencies]\nlibrary = { path = \"../library\", features = [\"wide\"] }\n";
    service(&mut it, "client", library, "library::width()");
    // Its own feature, from the command line.
    service(
        &mut it,
        "featured",
        &format!("{shared}[features]\nextra = [\"shared/loud\"]\n"),
        "shared::told()",
    );
    it.append("featured/Cargo.toml", "[package.metadata.ecr.image]\nfeatures = [\"extra\"]\n");
    // Two binaries of one name, and a package that has one of that name beside its own.
    for (name, others) in [
        ("twin-1", ""),
        ("twin-2", ""),
        ("neighbour", "[[bin]]\nname = \"neighbour\"\npath = \"src/main.rs\"\n"),
    ] {
        service(
            &mut it,
            name,
            &format!("{shared}{others}[[bin]]\nname = \"server\"\npath = \"src/server.rs\"\n"),
            "shared::told()",
        );
        it.file(
            &format!("{name}/src/server.rs"),
            format!("fn main() {{ println!(\"server of {name}\"); }}\n"),
        );
    }
    for twin in ["twin-1", "twin-2"] {
        it.append(&format!("{twin}/Cargo.toml"), "[package.metadata.ecr.image]\nbin = \"server\"\n");
    }
    it.append("neighbour/Cargo.toml", "[package.metadata.ecr.image]\nbin = \"neighbour\"\n");
    it.append("Cargo.toml", "[profile.release.package.shared]\nopt-level = 1\n");
    it
}

/// The digests of the services that were built, by package.
fn digests(output: &Output) -> BTreeMap<String, String> {
    let report: Value = output.json_with(0);
    let images = report["images"].as_array().unwrap().iter();
    images
        .map(|it| (it["package"].as_str().unwrap().to_owned(), it["digest"].as_str().unwrap().to_owned()))
        .collect()
}

/// A cargo that notes its subcommands in `cargo.log`.
fn noting(workspace: &Workspace) -> String {
    let cargo = std::env::var("CARGO").unwrap();
    let log = workspace.root().join("cargo.log");
    workspace.program("bin/cargo", &format!("echo \"$1\" >>'{}'\nexec '{cargo}' \"$@\"", log.display()))
}

fn noted(workspace: &Workspace, subcommand: &str) -> usize {
    let log = std::fs::read_to_string(workspace.root().join("cargo.log")).unwrap_or_default();
    std::fs::remove_file(workspace.root().join("cargo.log")).unwrap();
    log.lines().filter(|it| *it == subcommand).count()
}

/// Builds each service alone, in another target folder.
fn alone(workspace: &Workspace, names: impl Iterator<Item = String>) -> BTreeMap<String, String> {
    let target = workspace.root().join("alone");
    let build = |name: String| {
        let args = ["push", "--dry-run", "--profile", "release", "-p", &name, "--format", "json"];
        digests(&workspace.command(&args).env("CARGO_TARGET_DIR", &target.display().to_string()).run())
    };
    names.flat_map(build).collect()
}

const BUILD: [&str; 6] = ["push", "--dry-run", "--profile", "release", "--format", "json"];

#[test]
fn together_images_are_those_of_services_built_alone() {
    let workspace = tricky();
    let cargo = noting(&workspace);
    let together = digests(&workspace.command(&BUILD).env("CARGO", &cargo).run());
    assert_eq!(together.len(), 13);
    // quiet-1, quiet-2, built, neighbour and one twin in one; the macros, which have `shared` for the host; the others.
    let invocations = noted(&workspace, "build");
    assert!(invocations < together.len(), "{invocations} invocations");
    assert_eq!(together, alone(&workspace, together.keys().cloned()));
    // What agrees is remembered.
    let again = digests(&workspace.command(&BUILD).env("CARGO", &cargo).run());
    assert_eq!(again, together);
    assert_eq!(noted(&workspace, "tree"), 0);
    // A manifest that changes is asked about again: quiet-2 is loud now.
    let manifest = std::fs::read_to_string(workspace.root().join("quiet-2/Cargo.toml")).unwrap();
    workspace
        .file("quiet-2/Cargo.toml", manifest.replace("/shared\" }", "/shared\", features = [\"loud\"] }"));
    let changed = digests(&workspace.command(&BUILD).env("CARGO", &cargo).run());
    assert!(noted(&workspace, "tree") > 0);
    let differing: Vec<_> =
        changed.iter().filter(|(name, digest)| together[*name] != **digest).map(|it| it.0).collect();
    assert_eq!(differing, ["quiet-2"]);
}

#[test]
fn together_a_service_that_fails_does_not_stop_the_others() {
    let mut workspace = Workspace::new();
    for name in ["one", "two", "three"] {
        service(&mut workspace, name, "", "1");
    }
    workspace.file("two/src/main.rs", "fn main() { let x: u8 = \"\"; }\n");
    let output = workspace.command(&BUILD).run();
    let report = output.json_with(1);
    let outcomes: Vec<_> =
        report["images"].as_array().unwrap().iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["dry-run", "dry-run", "failed"], "{report:#}");
    assert!(report["images"][2]["error"].as_str().unwrap().contains("mismatched types"));
    assert_eq!(output.stderr.matches("mismatched types").count(), 1, "{}", output.stderr);
}

#[test]
fn together_fifty_services_take_one_invocation() {
    let mut workspace = Workspace::new();
    package(&mut workspace, "shared", "[features]\nloud = []\n", LIBRARY);
    for n in 0..50 {
        let manifest = "[dependencies]\nshared = { path = \"../shared\" }\n";
        service(&mut workspace, &format!("service-{n:02}"), manifest, "shared::told()");
    }
    let cargo = noting(&workspace);
    let together = digests(&workspace.command(&BUILD).env("CARGO", &cargo).run());
    assert_eq!((together.len(), noted(&workspace, "build")), (50, 1));
    assert_eq!(together, alone(&workspace, together.keys().cloned()));
}

/// A cargo that compiles for ever, and writes the number of its process to a file when it begins.
fn endless(workspace: &Workspace) -> (String, PathBuf) {
    let (cargo, begun) = (std::env::var("CARGO").unwrap(), workspace.root().join("begun"));
    let script = format!(
        "[ \"$1\" = build ] || exec '{cargo}' \"$@\"\necho $$ >'{0}.new' && mv '{0}.new' '{0}'\nexec sleep 300",
        begun.display()
    );
    (workspace.program("bin/cargo", &script), begun)
}

/// Waits for a file, for a minute at most.
fn wait_for(path: &Path) {
    let end = Instant::now() + Duration::from_secs(60);
    while !path.exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn together_cargo_begins_before_the_registry_answers_and_ends_if_it_refuses() {
    let mut workspace = Workspace::new();
    for name in ["one", "two"] {
        service(&mut workspace, name, "", "1");
    }
    workspace.command(&BUILD).run().json_with(0);
    let (cargo, begun) = endless(&workspace);
    let is_begun = begun.clone();
    let registry = answers::serve(move |_, stream| {
        wait_for(&is_begun);
        answers::respond(stream, 400, "text/plain", "no");
    });
    let run = workspace.command(&["push"]).env("CARGO", &cargo).env("AWS_REGION", "us-east-1");
    let output = run.env("AWS_ENDPOINT_URL", &format!("http://{registry}")).run();
    assert_eq!(output.code, 1, "{output:#?}");
    assert!(output.stderr.contains("failed to identify the AWS account"), "{output:#?}");
    let process = std::fs::read_to_string(begun).unwrap();
    let is_running =
        Command::new("kill").args(["-0", process.trim()]).stderr(Stdio::null()).status().unwrap();
    assert!(!is_running.success(), "cargo goes on: {output:#?}");
}

#[test]
fn together_services_are_compiled_for_the_first_time_after_the_registry_has_answered() {
    let mut workspace = Workspace::new();
    for name in ["one", "two"] {
        service(&mut workspace, name, "", "1");
    }
    let (cargo, begun) = endless(&workspace);
    // The repositories do not exist.
    let fixture = workspace.start();
    let output = fixture.command(&["push"]).env("CARGO", &cargo).run();
    assert_eq!(output.code, 1, "{output:#?}");
    assert!(output.stderr.contains("cargo xtask ecr create"), "{output:#?}");
    assert!(!begun.exists(), "{output:#?}");
}

#[test]
fn together_goes_on_without_the_services_that_the_registry_refuses() {
    let mut workspace = Workspace::new();
    for name in ["one", "two", "three"] {
        service(&mut workspace, name, "", "1");
    }
    let fixture = workspace.start();
    ["one", "three"].iter().for_each(|it| fixture.registry.create_plain(it));
    // All have been compiled before, so that cargo begins with all.
    fixture.workspace.command(&BUILD).run().json_with(0);
    let report = fixture.run(&["push", "--format", "json"]).json_with(1);
    let images = report["images"].as_array().unwrap().iter();
    let outcomes: Vec<_> =
        images.map(|it| (it["package"].as_str().unwrap(), it["outcome"].as_str().unwrap())).collect();
    assert_eq!(outcomes, [("one", "pushed"), ("three", "pushed"), ("two", "failed")], "{report:#}");
}
