//! `push --platform` and `push --binary`: one image for each platform, and an index of them.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Fixture, Output, static_binary};

/// One service with a binary for linux/arm64.
fn with_arm() -> Fixture {
    let fixture = Fixture::service().created();
    fixture.workspace.file("arm/my-app", static_binary("aarch64", 0));
    fixture
}

const BOTH: [&str; 4] = ["--platform", "linux/amd64,linux/arm64", "--binary", "linux/arm64=arm"];

fn push(fixture: &Fixture, args: &[&str]) -> Output {
    fixture.run(&[&["push", "--profile", "dev", "--format", "json"], args].concat())
}

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
        error: `arm/my-app` is a single binary, but 2 services are selected

        help: select one service with -p, or pass a folder that contains all binaries
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
              Failed other: failed to read `arm/other`: No such file or directory (os error 2)
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
    let mut bytes = std::fs::read(env!("CARGO_BIN_EXE_xtask-ecr")).unwrap();
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
