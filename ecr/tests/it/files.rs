//! The key `files`: what is copied into an image, and where it goes, with and without a base.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use ecr_oci::image::tree::{FileTree, Node};
use ecr_oci::trees;
use expect_test::expect;
use serde_json::json;

use crate::support::{Output, Registry, Workspace, static_binary};

/// A workspace with a prebuilt binary whose service copies `files`.
fn copying(files: &str) -> Workspace {
    on("scratch", files)
}

/// The same, on a base image.
fn on(base: &str, files: &str) -> Workspace {
    let metadata = format!("[package.metadata.ecr.image]\nbase = \"{base}\"\nfiles = [{files}]\n");
    let workspace = Workspace::new().service("my-app", &metadata);
    workspace.file("my-app/bin", static_binary("x86_64", 10));
    workspace.file("my-app/a.txt", "a");
    workspace.file("my-app/static/page.html", "<p>");
    workspace.file("my-app/static/deep/data", "data");
    workspace
}

fn export(workspace: &Workspace) -> Output {
    workspace.command(&["push", "--binary", "linux/amd64=my-app/bin", "--oci-layout", "out"]).run()
}

/// The layers of the only image in the layout `out`.
fn layers(workspace: &Workspace) -> Vec<std::path::PathBuf> {
    let path =
        |digest: &str| workspace.root().join("out/blobs/sha256").join(digest.trim_start_matches("sha256:"));
    let read = |path: &Path| serde_json::from_slice::<serde_json::Value>(&fs::read(path).unwrap()).unwrap();
    let index = read(&workspace.root().join("out/index.json"));
    let manifest = read(&path(index["manifests"][0]["digest"].as_str().unwrap()));
    manifest["layers"].as_array().unwrap().iter().map(|it| path(it["digest"].as_str().unwrap())).collect()
}

/// What a container of the image has, without what every image on `scratch` has.
fn container(workspace: &Workspace) -> String {
    export(workspace).good();
    let mut tree = FileTree::default();
    for layer in layers(workspace) {
        tree.apply(&trees::read(&layer).unwrap()).unwrap();
    }
    let own = |path: &str| {
        path != "tmp" && !["etc", "usr/local"].iter().any(|it| path.starts_with(it)) && path != "usr"
    };
    let shown = tree.iter().filter(|(path, _)| own(path)).map(|(path, node)| match node {
        Node::Folder(it) => format!("{path}/ {:o}", it.unwrap_or_default().mode),
        Node::Link(target) => format!("{path} -> {target}"),
        _ => path.to_owned(),
    });
    shown.collect::<Vec<_>>().join("; ")
}

/// Pushes an uncompressed layer of entries as the image `base`, and returns its reference.
fn base(registry: &Registry, entries: &[(&str, &str, u32)]) -> String {
    registry.create_plain("base");
    let mut archive = tar::Builder::new(Vec::new());
    for (path, kind, mode) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_size(0);
        header.set_uid(7);
        header.set_gid(8);
        header.set_entry_type(match *kind {
            "folder" => tar::EntryType::Directory,
            "file" => tar::EntryType::Regular,
            _ => tar::EntryType::Symlink,
        });
        if matches!(*kind, "folder" | "file") {
            archive.append_data(&mut header, path, std::io::empty()).unwrap();
        } else {
            archive.append_link(&mut header, path, kind).unwrap();
        }
    }
    let layer = archive.into_inner().unwrap();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [ecr_types::Digest::of(&layer)]},
    });
    let config = config.to_string();
    let descriptor = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": registry.upload("base", bytes), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    format!("{}/base@{}", registry.host(), registry.put("base", &manifest, None))
}

/// Puts the credentials of the base's registry where docker has them.
fn with_login(workspace: Workspace, registry: &Registry) -> Workspace {
    let basic = registry.basic();
    let auth = basic.strip_prefix("Basic ").unwrap();
    workspace.file(".docker/config.json", json!({"auths": {registry.host(): {"auth": auth}}}).to_string());
    workspace
}

/// Each row is a value of `files`, what a container has then, and what docker's COPY does (tried with docker 20.10).
#[test]
fn files_go_where_copy_puts_them() {
    let rows = [
        (r#"{ from = "a.txt", to = "/x" }"#, "x"),
        (r#"{ from = "a.txt", to = "/" }"#, "a.txt"),
        (r#"{ from = "a.txt", to = "/new/" }"#, "new/ 755; new/a.txt"),
        (r#"{ from = "./a.txt", to = "/tmp" }"#, "tmp/a.txt"),
        (r#"{ from = "static", to = "/" }"#, "deep/ 755; deep/data; page.html"),
        (r#"{ from = "static/", to = "/s/" }"#, "s/ 755; s/deep/ 755; s/deep/data; s/page.html"),
        (
            r#"{ from = "static", to = "/s" }, { from = "a.txt", to = "/s" }"#,
            "s/ 755; s/a.txt; s/deep/ 755; s/deep/data; s/page.html",
        ),
        (
            r#"{ from = "static", to = "/s" }, { from = "a.txt", to = "/s/page.html" }"#,
            "s/ 755; s/deep/ 755; s/deep/data; s/page.html",
        ),
        (
            r#"{ from = "static/deep", to = "/s" }, { from = "static", to = "/s" }"#,
            "s/ 755; s/data; s/deep/ 755; s/deep/data; s/page.html",
        ),
        (r#"{ from = "a.txt", to = "//x//y/" }"#, "x/ 755; x/y/ 755; x/y/a.txt"),
    ];
    for (files, wanted) in rows {
        assert_eq!(container(&copying(files)), wanted, "{files}");
    }
}

#[test]
fn files_that_would_be_lost_are_refused() {
    let rows = [
        (
            r#"{ from = "a.txt", to = "/x" }, { from = "a.txt", to = "/x/y" }"#,
            "`/x` is a file already, which cannot become a folder",
        ),
        (
            r#"{ from = "a.txt", to = "/x" }, { from = "static", to = "/x" }"#,
            "`/x` is a file already, which cannot become a folder",
        ),
        (
            r#"{ from = "static/deep/data", to = "/s/deep" }, { from = "static", to = "/s" }"#,
            "`/s/deep` is a file already, which cannot become a folder",
        ),
        (
            r#"{ from = "static", to = "/usr/local/bin/my-app" }"#,
            "`/usr/local/bin/my-app` is the path of the binary",
        ),
        (
            r#"{ from = "a.txt", to = "/usr/local/bin/my-app" }"#,
            "`/usr/local/bin/my-app` is the path of the binary",
        ),
        (r#"{ from = "a.txt", to = "/usr/local/bin" }"#, "`/usr/local/bin/my-app` is the path of the binary"),
        (
            r#"{ from = "a.txt", to = "/etc/passwd/x" }"#,
            "`/etc/passwd` is a file already, which cannot become a folder",
        ),
        (r#"{ from = "a.txt", to = "/srv/.wh.x" }"#, "has a part that begins with `.wh.`"),
        (r#"{ from = "a.txt", to = "x" }"#, "must be an absolute path"),
        (r#"{ from = "none", to = "/x" }"#, "`none` cannot be read: No such file or directory"),
    ];
    for (files, wanted) in rows {
        let output = export(&copying(files));
        assert_eq!(output.code, 1, "{files}");
        assert!(
            output.stderr.contains(wanted) && output.stderr.contains("my-app/Cargo.toml:9:"),
            "{files}: {}",
            output.stderr
        );
    }
}

#[test]
fn files_of_all_services_are_checked_before_anything_is_read() {
    let workspace = copying(r#"{ from = "static", to = "/s" }, { from = "socket", to = "/x" }, { from = "leaves/Cargo.toml", to = "/y" }, { from = "a.txt", to = "/usr/local/bin" }"#)
        .service("other", "[package.metadata.ecr.image]\nfiles = [{ from = \"fifo\", to = \"/f\" }]\n");
    let root = workspace.root();
    let fifo = |path: &str| {
        assert!(std::process::Command::new("mkfifo").arg(root.join(path)).status().unwrap().success())
    };
    fifo("my-app/static/pipe");
    fifo("other/fifo");
    let _socket = std::os::unix::net::UnixListener::bind(root.join("my-app/socket")).unwrap();
    workspace.file("my-app/static/.wh.page.html", "");
    for (target, link) in [
        ("/etc/passwd", "absolute"),
        ("../../other/Cargo.toml", "out"),
        ("pipe", "to-pipe"),
        ("/dev/null", "null"),
    ] {
        symlink(target, root.join("my-app/static").join(link)).unwrap();
    }
    use std::os::unix::ffi::OsStrExt;
    fs::write(root.join("my-app/static").join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    symlink("../other", root.join("my-app/leaves")).unwrap();
    let output = workspace.command(&["push", "--oci-layout", "out"]).run();
    expect![[r#"
        --- stderr
        error: there are 11 problems in the configuration

        my-app/Cargo.toml:9:19: `files`: the name of `static/.wh.page.html` begins with `.wh.`: in a layer, it would remove a file of the base
          help: rename it

        my-app/Cargo.toml:9:19: `files`: `static/absolute` is a symbolic link to `/etc/passwd`, which is not in the package
          help: name the target itself in another entry of `files`, or make the link relative to a file in the package

        my-app/Cargo.toml:9:19: `files`: `static/null` is a symbolic link to `/dev/null`, which is not in the package
          help: name the target itself in another entry of `files`, or make the link relative to a file in the package

        my-app/Cargo.toml:9:19: `files`: `static/out` is a symbolic link to `../../other/Cargo.toml`, which is not in the package
          help: name the target itself in another entry of `files`, or make the link relative to a file in the package

        my-app/Cargo.toml:9:19: `files`: `static/pipe` is a FIFO, but only files, folders and links can be copied
          help: move it out of the folder, or list the files to copy one by one

        my-app/Cargo.toml:9:19: `files`: `static/to-pipe` is a link to a FIFO, but only files, folders and links can be copied
          help: move it out of the folder, or list the files to copy one by one

        my-app/Cargo.toml:9:19: `files`: the name of `static/�` is not UTF-8
          help: rename it

        my-app/Cargo.toml:9:51: `files`: `socket` is a socket, but only files, folders and links can be copied
          help: move it out of the folder, or list the files to copy one by one

        my-app/Cargo.toml:9:83: `files`: `leaves/Cargo.toml` is a symbolic link to `[ROOT]/other/Cargo.toml`, which is not in the package
          help: name the target itself in another entry of `files`, or make the link relative to a file in the package

        my-app/Cargo.toml:9:140: `files`: `a.txt` cannot be copied to `/usr/local/bin`: `/usr/local/bin/my-app` is the path of the binary

        other/Cargo.toml:8:19: `files`: `fifo` is a FIFO, but only files, folders and links can be copied
          help: move it out of the folder, or list the files to copy one by one
        --- exit 1
    "#]].assert_eq(&output.shown());
}

#[test]
fn files_keep_links_of_the_package() {
    let workspace = copying(r#"{ from = "static", to = "/s" }, { from = "link", to = "/l" }"#);
    let root = workspace.root();
    for (target, link) in [
        ("page.html", "static/same"),
        ("../a.txt", "static/up"),
        ("deep/../none", "static/none"),
        ("static/deep", "link"),
    ] {
        symlink(target, root.join("my-app").join(link)).unwrap();
    }
    fs::set_permissions(root.join("my-app/static/deep"), fs::Permissions::from_mode(0o700)).unwrap();
    // Links below what is copied are kept. One that is named itself is followed.
    assert_eq!(
        container(&workspace),
        "l/ 755; l/data; s/ 755; s/deep/ 755; s/deep/data; s/none -> deep/../none; s/page.html; s/same -> page.html; s/up -> ../a.txt"
    );
}

const MERGED_USR: [(&str, &str, u32); 9] = [
    ("usr", "folder", 0o755),
    ("usr/bin", "folder", 0o755),
    ("usr/bin/sh", "file", 0o755),
    ("bin", "usr/bin", 0o777),
    ("tmp", "folder", 0o1777),
    ("root", "folder", 0o700),
    ("l", "usr/bin/sh", 0o777),
    ("dangling", "usr/lib/x", 0o777),
    ("loop", "loop", 0o777),
];

#[test]
fn files_follow_the_links_of_a_base() {
    let registry = Registry::start();
    let base = base(&registry, &MERGED_USR);
    let rest = "bin -> usr/bin; dangling -> usr/lib/x; l -> usr/bin/sh; loop -> loop; root/ 700;";
    let rows = [
        (r#"{ from = "a.txt", to = "/bin/x" }"#, "usr/bin/ 755; usr/bin/sh; usr/bin/x"),
        (r#"{ from = "a.txt", to = "/bin" }"#, "usr/bin/ 755; usr/bin/a.txt; usr/bin/sh"),
        (r#"{ from = "static/deep", to = "/bin" }"#, "usr/bin/ 755; usr/bin/data; usr/bin/sh"),
        (r#"{ from = "a.txt", to = "/l" }"#, "usr/bin/ 755; usr/bin/sh"),
        (
            r#"{ from = "a.txt", to = "/dangling/x" }"#,
            "usr/bin/ 755; usr/bin/sh; usr/lib/ 755; usr/lib/x/ 755; usr/lib/x/x",
        ),
        (r#"{ from = "tree", to = "/" }"#, "usr/bin/ 755; usr/bin/sh; usr/bin/tool"),
    ];
    for (files, wanted) in rows {
        let workspace = with_login(on(&base, files), &registry);
        workspace.file("my-app/tree/bin/tool", "a tool");
        assert_eq!(container(&workspace), format!("{rest} {wanted}"), "{files}");
    }
    for (files, wanted) in [
        (r#"{ from = "a.txt", to = "/bin/sh/x" }"#, "`/usr/bin/sh` is a file already"),
        (r#"{ from = "tree", to = "/" }"#, "`/bin` is a folder already"),
        (r#"{ from = "static", to = "/l" }"#, "`/usr/bin/sh` is a file already"),
        (r#"{ from = "a.txt", to = "/loop/x" }"#, "too many levels of symbolic links"),
    ] {
        let workspace = with_login(on(&base, files), &registry);
        workspace.file("my-app/tree/bin", "a file");
        let output = export(&workspace);
        assert!(output.code == 1 && output.stderr.contains(wanted), "{files}: {}", output.stderr);
        assert!(output.stderr.contains("my-app/Cargo.toml:9:"), "{files}: {}", output.stderr);
    }
}

#[test]
fn files_leave_the_folders_of_a_base_as_they_are() {
    let registry = Registry::start();
    let base = base(&registry, &MERGED_USR);
    let files = r#"{ from = "a.txt", to = "/tmp/x" }, { from = "a.txt", to = "/root/x" }, { from = "static", to = "/tmp" }"#;
    let workspace = with_login(on(&base, files), &registry);
    export(&workspace).good();
    let mut layer = FileTree::default();
    layer.apply(&trees::read(&layers(&workspace)[1]).unwrap()).unwrap();
    let shown = layer.iter().map(|(path, node)| match node {
        Node::Folder(Some(it)) => format!("{path}/ {:o} {}:{}", it.mode, it.uid, it.gid),
        _ => path.to_owned(),
    });
    let folders = [
        "root/ 700 7:8",
        "root/x",
        "tmp/ 1777 7:8",
        "tmp/deep/ 755 0:0",
        "tmp/deep/data",
        "tmp/page.html",
        "tmp/x",
    ];
    assert_eq!(shown.collect::<Vec<_>>(), folders);
}

/// cargo runs a build script before the files are copied.
#[test]
fn files_of_a_build_script_are_copied() {
    let workspace = copying(r#"{ from = "made.txt", to = "/made.txt" }"#);
    let output = export(&workspace);
    assert!(output.stderr.contains("`files`: `made.txt` cannot be read"), "{output:#?}");
    workspace.file("my-app/build.rs", r#"fn main() { std::fs::write("made.txt", "made").unwrap(); }"#);
    workspace.command(&["push", "--oci-layout", "out", "--profile", "dev"]).run().good();
    assert!(container(&workspace).contains("made.txt"), "{}", container(&workspace));
}
