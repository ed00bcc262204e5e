//! `push --platform` and `push --binary`: one image for each platform, and an index of them.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::fixture::push;
use crate::support::{Fixture, Workspace, static_binary};

/// One service with a binary for linux/arm64.
fn with_arm() -> Fixture {
    let fixture = Fixture::service().created();
    fixture.workspace.file("arm/my-app", static_binary("aarch64", 0));
    fixture
}

const BOTH: [&str; 4] = ["--platform", "linux/amd64,linux/arm64", "--binary", "linux/arm64=arm"];

#[test]
#[cfg(target_arch = "x86_64")]
fn push_several_platforms_become_an_index() {
    let fixture = with_arm();
    let json = push(&fixture, &BOTH).json_with(0);
    let image = &json["images"][0];
    assert_eq!(image["platforms"], json!(["linux/amd64", "linux/arm64"]));
    let index = fixture.registry.manifest("my-app", "1.0.0");
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let platforms: Vec<&Value> =
        index["manifests"].as_array().unwrap().iter().map(|it| &it["platform"]).collect();
    assert_eq!(
        platforms,
        [&json!({"architecture": "amd64", "os": "linux"}), &json!({"architecture": "arm64", "os": "linux"})]
    );
    for listed in index["manifests"].as_array().unwrap() {
        let manifest = fixture.registry.manifest("my-app", listed["digest"].as_str().unwrap());
        let config = manifest["config"]["digest"].as_str().unwrap();
        let config: Value = serde_json::from_slice(&fixture.registry.blob("my-app", config)).unwrap();
        assert_eq!(config["architecture"], listed["platform"]["architecture"]);
    }
    // The second push uploads nothing.
    fixture.registry.calls();
    let again = push(&fixture, &BOTH).json_with(0);
    assert_eq!(
        (&again["images"][0]["outcome"], &again["images"][0]["digest"]),
        (&json!("unchanged"), &image["digest"])
    );
    assert!(!fixture.registry.calls().contains_key("InitiateLayerUpload"));
}

#[test]
fn push_single_platform_is_a_plain_manifest() {
    let fixture = with_arm();
    // Nothing is compiled, as there is a binary for the only platform.
    let json = push(&fixture, &["--binary", "linux/arm64=arm/my-app"]).json_with(0);
    assert_eq!(json["images"][0]["platforms"], json!(["linux/arm64"]));
    let manifest = fixture.registry.manifest("my-app", "1.0.0");
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert!(
        !fixture.workspace.root().join("target/release").exists()
            && !fixture.workspace.root().join("target/debug").exists()
    );
}

#[test]
fn push_platform_or_binary_that_does_not_fit_fails() {
    let Fixture { workspace, registry } = with_arm();
    let fixture = Fixture { workspace: workspace.service("other", ""), registry }.created();
    let told = |args: &[&str]| fixture.run(&[&["push", "--profile", "dev"], args].concat()).shown();
    expect![[r#"
        --- stderr
        error: `arm/my-app` is a single binary, but it would be that of `my-app` and `other`

        help: select one service, such as `-p my-app`, or pass a folder with the files `my-app` and `other`
        --- exit 1
    "#]]
    .assert_eq(&told(&["--binary", "linux/arm64=arm/my-app"]));
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
              Failed my-app: `arm/my-app` is built for linux/arm64, but the image is for linux/amd64
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]]
    .assert_eq(&told(&["-p", "my-app", "--binary", "linux/amd64=arm"]));
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
              Failed other: the folder `arm` has no file `other`, the binary of `other`; it has `my-app`
        help: name the file `other`, or pass the file itself: `-p other --binary linux/arm64=FILE`
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]]
    .assert_eq(&told(&["-p", "other", "--binary", "linux/arm64=arm"]));
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
              Failed other: linux/mips: no Rust target is known for this platform; build the binary elsewhere and pass --binary linux/mips=PATH
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]].assert_eq(&told(&["-p", "other", "--platform", "linux/mips"]));
}

/// An executable is read again when its file has changed, even if size and time of modification are the same.
#[test]
fn push_reads_a_changed_binary_of_same_size_and_time() {
    let fixture = with_arm();
    let path = fixture.workspace.root().join("arm/my-app");
    let digest = |tag: &str| {
        let json = push(&fixture, &["--binary", "linux/arm64=arm", "-t", tag]).json_with(0);
        json["images"][0]["digest"].clone()
    };
    let first = digest("1");
    // A file that was written a moment ago is not remembered yet.
    let known = fixture.workspace.root().join("target/xtask-ecr/executables");
    (0..20).take_while(|_| !known.exists()).for_each(|_| assert_eq!(digest("1"), first));
    assert!(known.exists());
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[24] ^= 1; // e_entry
    std::fs::write(&path, &bytes).unwrap();
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert_ne!(digest("2"), first);
}

/// lld links such files when a static binary needs shared libraries.
#[test]
#[cfg(target_os = "linux")]
fn push_binary_with_libraries_but_no_loader_fails() {
    let fixture = with_arm();
    let mut bytes = std::fs::read(env!("CARGO_BIN_EXE_cargo-ecr")).unwrap();
    // ELF-64 Object File Format, "Program header": e_phoff, e_phnum entries of 56 bytes that begin with p_type.
    let headers = u64::from_le_bytes(bytes[32..40].try_into().unwrap()) as usize;
    let count = u16::from_le_bytes(bytes[56..58].try_into().unwrap()) as usize;
    let mut headers = bytes[headers..].chunks_exact_mut(56).take(count);
    headers.find(|it| it[0] == 3).unwrap()[0] = 0; // PT_INTERP becomes PT_NULL
    fixture.workspace.file("lost", &bytes);
    let host = if cfg!(target_arch = "x86_64") { "linux/amd64=lost" } else { "linux/arm64=lost" };
    let output = fixture.run(&["push", "--binary", host]);
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("but has no dynamic loader"), "{}", output.stderr);
}

/// Two packages with a binary target of one name, which cargo allows (rust-lang/cargo#6313).
#[test]
fn push_binary_is_never_that_of_two_services() {
    let manifest = |name: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[[bin]]\nname = \"server\"\n\
             path = \"src/main.rs\"\n[package.metadata.ecr]\n"
        )
    };
    let workspace = Workspace::new().member("svc-a", &manifest("svc-a"), "fn main() {}\n");
    let workspace = workspace.member("svc-b", &manifest("svc-b"), "fn main() {}\n").service("docked", "");
    workspace.file("docked/Dockerfile", "FROM scratch\n");
    workspace.file("bins/server", static_binary("aarch64", 0));
    workspace.file("empty/README", "");
    let push = |args: &[&str]| {
        let args = [&["push", "--oci-layout", "out", "--exclude", "docked", "--binary"], args].concat();
        workspace.command(&args).run().shown()
    };
    expect![[r#"
        --- stderr
        error: `bins/server` would be the binary of `svc-a` and `svc-b`

        help: push one service at a time, each with its file: `-p svc-a --binary linux/arm64=FILE`
        --- exit 1
    "#]]
    .assert_eq(&push(&["linux/arm64=bins"]));
    expect![[r#"
        --- stderr
        error: `bins/server` is a single binary, but it would be that of `svc-a` and `svc-b`

        help: push one service at a time, each with its file: `-p svc-a --binary linux/arm64=FILE`
        --- exit 1
    "#]]
    .assert_eq(&push(&["linux/arm64=bins/server"]));
    expect![[r#"
        --- stderr
        error: --binary is given twice for linux/arm64: `bins` and `empty`

        help: pass one path, which may be a folder with the files of all services
        --- exit 1
    "#]]
    .assert_eq(&push(&["linux/arm64=bins", "--binary", "linux/arm64=empty"]));
    expect![[r#"
        --- stderr
              Failed svc-a: the folder `empty` has no file `server`, the binary of `svc-a`; it has `README`
        help: name the file `server`, or pass the file itself: `-p svc-a --binary linux/arm64=FILE`
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]]
    .assert_eq(&push(&["linux/arm64=empty", "-p", "svc-a"]));
    expect![[r#"
        --- stderr
              Failed svc-a: `nowhere` does not exist
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]]
    .assert_eq(&push(&["linux/arm64=nowhere", "-p", "svc-a"]));
    expect![[r#"
        --- stderr
        warning: --binary linux/arm64=bins is not used: no service is compiled for linux/arm64
              Failed svc-a: linux/s390x: no Rust target for this platform is installed: run `rustup target add s390x-unknown-linux-gnu`, or build the binary elsewhere and pass --binary linux/s390x=PATH
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]].assert_eq(&push(&["linux/arm64=bins", "-p", "svc-a", "--platform", "linux/s390x"]));
    // A service with a Dockerfile takes no binary, so that the file is that of one service only.
    let args = ["push", "--oci-layout", "out", "--exclude", "svc-b", "--binary", "linux/arm64=bins/server"];
    let output = workspace.command(&args).run();
    assert!(output.stderr.contains("Exported svc-a"), "{output:#?}");
}

/// `xtask-ecr` is run by itself, and not by cargo, which names the toolchain.
#[test]
fn push_outside_of_cargo_asks_rustc() {
    let workspace = Workspace::new().service("my-app", "");
    workspace.file("my-app/binary", static_binary("x86_64", 10));
    let args = ["push", "--dry-run", "--binary", "linux/amd64=my-app/binary"];
    for more in [&[][..], &["--manifest-path", "Cargo.toml"]] {
        workspace.command(&[&args[..], more].concat()).without_cargo().run().good();
    }
}
