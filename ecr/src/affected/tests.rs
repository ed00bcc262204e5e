//! A workspace in a folder of a repository: two services, a library of both, and one with a Dockerfile.

use super::*;

fn set(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|it| (*it).to_owned()).collect()
}

fn layout() -> Layout {
    let package = |has_build_script, inherits: &[&str]| Package { has_build_script, inherits: set(inherits) };
    let packages = [
        ("back/api/", package(false, &["workspace.dependencies.serde"])),
        ("back/job/", package(true, &[])),
        ("back/lib/", package(false, &["workspace.package.version"])),
        ("back/web/", package(false, &[])),
    ];
    Layout {
        root: "back/".to_owned(),
        packages: packages.into_iter().map(|(folder, it)| (folder.to_owned(), it)).collect(),
        configuration: set(&["back/ecr/policy.json"]),
        claimed: set(&["static", "docker/web.Dockerfile"]),
        patterns: vec![DockerIgnore::parse(b"proto/**\n").unwrap()],
    }
}

fn compiled(packages: &[&str]) -> Inputs {
    let compiled = Compiled {
        packages: set(packages),
        has_crates: true,
        crates: Ok(BTreeSet::new()),
        profile: "release".to_owned(),
        read: None,
    };
    Inputs { compiled: Some(compiled), ..Inputs::default() }
}

fn services() -> Vec<(&'static str, Inputs)> {
    let mut api = compiled(&["back/api/", "back/lib/"]);
    api.files = set(&["static", "proto/api.proto"]);
    let mut job = compiled(&["back/job/", "back/lib/"]);
    job.patterns = DockerIgnore::parse(b"proto/**\n!proto/*.md\n").unwrap();
    let context = Context {
        folder: "back/".to_owned(),
        ignore: DockerIgnore::parse(b"*\n!web\n").unwrap(),
        files: set(&["docker/web.Dockerfile"]),
    };
    let web = Inputs { context: Some(context), ..Inputs::default() };
    vec![("api", api), ("job", job), ("web", web)]
}

/// The services that a change of a file affects, separated by spaces.
fn affected(path: &str, kind: ChangeKind) -> String {
    let changes = Changes { files: vec![Change { path: path.to_owned(), kind }], ..Changes::default() };
    let services = services();
    let hit = services.iter().filter(|(_, it)| !reasons(&layout(), it, &changes).is_empty());
    hit.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

#[test]
fn changed_files_affect_what_is_made_of_them() {
    let cases = [
        ("back/api/src/main.rs", "api"),
        ("back/api/Cargo.toml", "api"),
        ("back/api/templates/page.html", "api"),
        ("back/lib/src/lib.rs", "api job"),
        ("back/lib/README.md", ""),
        ("back/lib/src/text.md", "api job"),
        ("back/lib/content/post.md", "api job"),
        // A submodule, of which git names the folder.
        ("back/lib", "api job"),
        ("proto", "api job"),
        ("back/.cargo/flags.toml", "api job"),
        ("back/lib/tests/it.rs", ""),
        ("back/job/README.md", "job"),
        ("back/job/tests/it.rs", "job"),
        ("back/web/index.html", "web"),
        ("docker/web.Dockerfile", "web"),
        ("static/a/b.css", "api"),
        ("proto/api.proto", "api job"),
        ("proto/README.md", ""),
        ("scripts/run.sh", "api job"),
        ("README.md", ""),
        (".github/workflows/ci.yml", ""),
        ("back/ecr/policy.json", ""),
        ("back/rust-toolchain.toml", "api job"),
        ("rust-toolchain", "api job"),
        (".cargo/config.toml", "api job"),
        ("back/api/.cargo/config.toml", "api"),
        ("back/Cargo.toml", ""),
        ("back/Cargo.lock", ""),
    ];
    for (path, wanted) in cases {
        assert_eq!(affected(path, ChangeKind::Modified), wanted, "{path}");
    }
    assert_eq!(affected("back/lib/build.rs", ChangeKind::Added), "api job");
}

#[test]
fn what_cargo_has_read_is_all_that_counts_besides_packages() {
    let (_, mut api) = services().remove(0);
    let is_affected = |api: &Inputs, path: &str, kind| {
        let changes = Changes { files: vec![Change { path: path.to_owned(), kind }], ..Changes::default() };
        !reasons(&layout(), api, &changes).is_empty()
    };
    if let Some(compiled) = &mut api.compiled {
        compiled.read = Some(set(&["back/api/src/main.rs", "back/web/shared.txt", "back/lib/README.md"]));
    }
    for path in ["back/api/src/main.rs", "back/web/shared.txt", "back/lib/README.md", "back/api/page.html"] {
        assert!(is_affected(&api, path, ChangeKind::Modified), "{path}");
    }
    for path in ["scripts/run.sh", "back/api/src/bin/other.rs", "back/web/index.html"] {
        assert!(!is_affected(&api, path, ChangeKind::Modified), "{path}");
    }
    assert!(is_affected(&api, "back/api/src/bin/new.rs", ChangeKind::Added));
}

#[test]
fn keys_of_the_root_affect_those_who_inherit_them() {
    let keys = |change: &str| {
        let manifest = ManifestChange::between("[workspace]\n", &format!("[workspace]\n{change}"));
        let changes = Changes { manifest, ..Changes::default() };
        let services = services();
        let hit = services.iter().filter(|(_, it)| !reasons(&layout(), it, &changes).is_empty());
        hit.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(keys("dependencies.serde = '1'"), "api");
    assert_eq!(keys("dependencies.tokio = '1'"), "");
    assert_eq!(keys("package.version = '2.0.0'"), "api job");
    assert_eq!(keys("metadata.ecr.image.user = '0:0'"), "api job web");
    assert_eq!(keys("metadata.ecr.region = 'x'"), "");
    assert_eq!(keys("[profile.release]\nlto = true"), "api job");
    assert_eq!(keys("[profile.dev]\nopt-level = 1"), "");
}

#[test]
fn a_lock_file_that_cannot_be_compared_affects_what_is_compiled() {
    let lock = Some(LockChange::Unknown("it is not in git on both sides".to_owned()));
    let changes = Changes { lock, ..Changes::default() };
    let shown = services().into_iter().map(|(_, it)| {
        let reasons = reasons(&layout(), &it, &changes);
        reasons.iter().map(ToString::to_string).collect::<String>()
    });
    let text = "back/Cargo.lock: its crates cannot be compared: it is not in git on both sides";
    assert_eq!(shown.collect::<Vec<_>>(), [text, text, ""]);
}
