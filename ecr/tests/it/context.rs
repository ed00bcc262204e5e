//! The build context that `push` gives to docker. A stand-in for docker keeps what it gets; the real ones are in
//! `ecr/tests/peers/test_context.py`.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use expect_test::expect;

use crate::support::{Output, Workspace};

/// An entry of an archive: mode, time, kind or link, contents.
type Entries = BTreeMap<PathBuf, (u32, u64, String, Vec<u8>)>;

/// A stand-in for docker without buildx. It keeps the context, and fails.
const LEGACY: &str = "case \"$1\" in --version) echo 'Docker version 28.2.2, build e6534b4';;\n\
    build) echo \"$@\" >args; cat >context.tar; echo 'Step 1/2 : FROM scratch'; echo 'COPY failed: no file' >&2; exit 1;;\n\
    *) exit 1;; esac";

/// A service with a Dockerfile and files of its context.
fn workspace(files: &[(&str, &str)]) -> Workspace {
    let workspace = Workspace::new().service("svc", "");
    workspace.file("svc/Dockerfile", "FROM scratch\nCOPY . /\n");
    files.iter().for_each(|(path, text)| workspace.file(path, text));
    workspace
}

fn build(workspace: &Workspace, script: &str) -> Output {
    let engine = workspace.program("bin/engine", script);
    workspace.command(&["push", "--dry-run", "--engine", &engine]).run()
}

fn entries(workspace: &Workspace) -> Entries {
    let mut archive = tar::Archive::new(File::open(workspace.root().join("context.tar")).unwrap());
    let mut entries = Entries::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        let kind = match entry.link_name().unwrap() {
            Some(target) => format!("{:?} {}", header.entry_type(), target.display()),
            None => format!("{:?}", header.entry_type()),
        };
        let (mode, time) = (header.mode().unwrap(), header.mtime().unwrap());
        let path = entry.path().unwrap().into_owned();
        let mut body = Vec::new();
        entry.read_to_end(&mut body).unwrap();
        entries.insert(path, (mode, time, kind, body));
    }
    entries
}

fn names(workspace: &Workspace) -> Vec<String> {
    entries(workspace).keys().map(|it| it.display().to_string()).collect()
}

fn set_time(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 700);
    File::open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn context_keeps_times_modes_and_links() {
    let long = format!("long/{}/{}", "a".repeat(120), "b".repeat(120));
    let workspace = workspace(&[("data/run", "program"), ("data/old", "old"), (&long, "l")]);
    let root = workspace.root();
    let data = root.join("data");
    let latin = data.join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    fs::write(&latin, "x").unwrap();
    fs::hard_link(data.join("run"), data.join("same")).unwrap();
    symlink("./run/", data.join("link")).unwrap();
    symlink("x".repeat(150), data.join("dangling")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(data.join("socket")).unwrap();
    fs::set_permissions(data.join("run"), Permissions::from_mode(0o4751)).unwrap();
    set_time(&data.join("run"), 1_700_000_000);
    File::open(data.join("old"))
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH - Duration::from_secs(9))
        .unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o2700)).unwrap();
    set_time(&data, 1_600_000_000);
    build(&workspace, LEGACY);
    let entries = entries(&workspace);
    let (mode, time, kind, _) = &entries[Path::new("data/")];
    assert_eq!((*mode, *time, kind.as_str()), (0o2700, 1_600_000_000, "Directory"));
    let (mode, time, kind, body) = &entries[Path::new("data/run")];
    assert_eq!((*mode, *time, kind.as_str()), (0o4751, 1_700_000_000, "Regular"));
    assert_eq!(body, b"program");
    assert_eq!(entries[Path::new("data/old")].1, 0);
    assert_eq!(entries[Path::new("data/same")].2, "Link data/run");
    assert_eq!(entries[Path::new("data/link")].2, "Symlink ./run/");
    assert_eq!(entries[Path::new("data/dangling")].2, format!("Symlink {}", "x".repeat(150)));
    assert_eq!(entries[latin.strip_prefix(&root).unwrap()].3, b"x");
    assert_eq!(entries[Path::new(&long)].3, b"l");
    assert!(!entries.contains_key(Path::new("data/socket")));
}

#[test]
fn context_leaves_the_dockerfile_to_the_daemon_to_remove() {
    let files = [(".dockerignore", "**/Dockerfile\nCargo.toml\n"), ("kept", "")];
    let excluded = workspace(&files);
    build(&excluded, LEGACY);
    let names_of = names(&excluded);
    assert!(
        names_of.contains(&"svc/Dockerfile".to_owned()) && names_of.contains(&".dockerignore".to_owned())
    );
    assert!(!names_of.contains(&"Cargo.toml".to_owned()), "{names_of:?}");
    // A Dockerfile that the daemon would not remove gets a name of its own, which .dockerignore excludes.
    let beside =
        workspace(&[("svc/Dockerfile.dockerignore", "svc\n"), (".dockerignore", "docs\n"), ("docs/x", "")]);
    build(&beside, LEGACY);
    let entries_of = entries(&beside);
    assert!(
        entries_of.contains_key(Path::new("docs/x")) && !entries_of.contains_key(Path::new("svc/Dockerfile"))
    );
    let rules = &entries_of[Path::new(".dockerignore")].3;
    assert_eq!(String::from_utf8_lossy(rules), "docs\n\n.xtask-ecr.Dockerfile\n!.dockerignore\n");
    assert_eq!(entries_of[Path::new(".xtask-ecr.Dockerfile")].3, b"FROM scratch\nCOPY . /\n");
    let args = fs::read_to_string(beside.root().join("args")).unwrap();
    assert!(args.ends_with("--file .xtask-ecr.Dockerfile -\n"), "{args}");
    // Outside of the context.
    let outside = Workspace::new().service("svc", "[package.metadata.ecr.image]\ncontext = \"ctx\"\n");
    outside.file("svc/Dockerfile", "FROM scratch\nCOPY . /\n");
    outside.file("svc/ctx/kept", "");
    build(&outside, LEGACY);
    assert_eq!(names(&outside), [".dockerignore", ".xtask-ecr.Dockerfile", "kept"]);
    let rules = &entries(&outside)[Path::new(".dockerignore")].3;
    assert_eq!(String::from_utf8_lossy(rules), "\n.xtask-ecr.Dockerfile\n.dockerignore\n");
}

#[test]
fn context_with_an_exception_has_a_path_of_the_target_folder() {
    let dockerfile = "FROM scratch\nCOPY --chmod=755 target/release/svc /svc\n";
    let files = [("svc/Dockerfile", dockerfile), ("target/release/svc", "b"), ("target/release/more", "m")];
    let workspace = workspace(&files);
    let output = build(&workspace, LEGACY);
    expect![[r#"
        --- stderr
            Building svc with engine, because of svc/Dockerfile (--builder native builds without it)
        note: the build context of `svc` is without `target` (a line such as `!target/NAME` in `.dockerignore` adds a path)
        Step 1/2 : FROM scratch
              Failed svc: the build context has no `target/release/svc`: COPY failed: no file
        help: `push` leaves the target folder, `.git` and the embedded ECR's state out of the build context: add the line `!target/release/svc` to `.dockerignore`
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
    workspace.file("svc/Dockerfile.dockerignore", "!target/release/svc\n");
    let output = build(&workspace, LEGACY);
    assert!(!output.stderr.contains("help:"), "{output:#?}");
    let names = names(&workspace);
    assert!(names.contains(&"target/release/svc".to_owned()), "{names:?}");
    assert!(!names.contains(&"target/release/more".to_owned()), "{names:?}");
    // Nothing is told of what .dockerignore excludes as well.
    workspace.file("svc/Dockerfile.dockerignore", "target\n");
    assert!(!build(&workspace, LEGACY).stderr.contains("note:"));
}

#[test]
fn context_with_wrong_rules_is_refused() {
    let workspace = workspace(&[(".dockerignore", "docs\n[\n!\n")]);
    let output = build(&workspace, LEGACY);
    assert_eq!(output.code, 1);
    let line = output
        .stderr
        .lines()
        .find(|it| it.contains("Failed"))
        .unwrap()
        .replace(workspace.root().to_str().unwrap(), "");
    assert_eq!(
        line.trim(),
        "Failed svc: failed to read `/.dockerignore`: line 2: `[` is not a valid pattern; line 3: `!` is not a valid \
         pattern"
    );
    workspace.file(".dockerignore", b"\xff\xfet\0");
    assert!(build(&workspace, LEGACY).stderr.contains("is in UTF-16"));
    assert!(!workspace.root().join("context.tar").exists());
}

#[test]
fn context_that_cannot_be_read_ends_the_engine() {
    let workspace = workspace(&[("file", &"x".repeat(3_000_000))]);
    // The file becomes shorter as soon as the engine has seen its beginning. The engine waits for all of its input, and
    // would take the end of it for the end of the archive.
    let shorten = "head -c 1000 >context.tar; : >file; cat >>context.tar; touch complete;";
    let output = build(&workspace, &LEGACY.replace("cat >context.tar;", shorten));
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("file`: the file became shorter while it was read"), "{output:#?}");
    assert!(!workspace.root().join("complete").exists());
}

/// BuildKit reads the folder itself, by rules beside a private copy of the Dockerfile.
#[test]
fn context_of_buildkit_is_the_folder() {
    let workspace =
        workspace(&[(".dockerignore", "\u{feff}docs\r\n!target/release/svc\n"), ("target/x", "")]);
    let script = "case \"$1\" in --version) echo 'Docker version 28.2.2, build e6534b4';; buildx) exit 0;;\n\
        build) while [ $# -gt 1 ]; do [ \"$1\" = --file ] && cp \"$2\" \"$2.dockerignore\" .; shift; done\n\
        echo \"$1\" >folder; wc -c >input; echo 'ERROR: failed' >&2; echo 'View build details: x' >&2; exit 1;; esac";
    let output = build(&workspace, script);
    let read = |name: &str| fs::read_to_string(workspace.root().join(name)).unwrap();
    assert_eq!(Path::new(read("folder").trim()), workspace.root());
    assert_eq!(read("input").trim(), "0");
    assert_eq!(read("Dockerfile"), "FROM scratch\nCOPY . /\n");
    assert_eq!(read("Dockerfile.dockerignore"), "target\ndocs\r\n!target/release/svc\n");
    assert!(output.stderr.contains("Failed svc: ERROR: failed\n"), "{output:#?}");
    // DOCKER_BUILDKIT decides, as for docker.
    let engine = workspace.root().join("bin/engine");
    let args = ["push", "--dry-run", "--engine", engine.to_str().unwrap()];
    workspace.command(&args).env("DOCKER_BUILDKIT", "0").run();
    assert_ne!(read("input").trim(), "0");
}

#[test]
fn context_of_podman_is_a_copy() {
    let workspace = workspace(&[
        (".containerignore", "*.md\n"),
        (".dockerignore", "*.txt\n"),
        ("a.md", ""),
        ("b.txt", "text"),
        ("sub/c", "c"),
    ]);
    let root = workspace.root();
    fs::hard_link(root.join("b.txt"), root.join("sub/same")).unwrap();
    fs::set_permissions(root.join("sub"), Permissions::from_mode(0o751)).unwrap();
    set_time(&root.join("b.txt"), 1_700_000_000);
    set_time(&root.join("sub"), 1_600_000_000);
    let script = "case \"$1\" in --version) echo podman version 4.3.1;; build) echo \"$@\" >args\n\
        while [ $# -gt 1 ]; do shift; done; cp -a \"$1\" copy; echo 'Error: no' >&2; exit 1;; esac";
    let output = build(&workspace, script);
    assert!(output.stderr.contains("Failed svc: Error: no"), "{output:#?}");
    let copy = root.join("copy");
    assert!(
        copy.join("b.txt").exists() && copy.join("svc/Dockerfile").exists() && !copy.join("a.md").exists()
    );
    let args = fs::read_to_string(root.join("args")).unwrap();
    assert!(args.contains("--ignorefile"), "{args}");
    let seconds = |path: &str| {
        let time = fs::metadata(copy.join(path)).unwrap().modified().unwrap();
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    };
    assert_eq!((seconds("b.txt"), seconds("sub")), (1_700_000_000, 1_600_000_000));
    assert_eq!(fs::metadata(copy.join("sub")).unwrap().permissions().mode() & 0o7777, 0o751);
}
