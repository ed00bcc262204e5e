//! `push --platform` and `--binary`: one image a platform, and an index of them.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Output, Registry, Workspace, static_binary};

fn workspace(registry: &Registry) -> Workspace {
    let workspace = Workspace::new().service("my-app", "");
    std::fs::create_dir(workspace.root().join("arm")).unwrap();
    std::fs::write(workspace.root().join("arm/my-app"), static_binary("aarch64", 0)).unwrap();
    workspace.on(registry, &["ecr", "create"]).good();
    workspace
}

const BOTH: [&str; 4] = ["--platform", "linux/amd64,linux/arm64", "--binary", "linux/arm64=arm"];

fn push(workspace: &Workspace, registry: &Registry, args: &[&str]) -> Output {
    workspace.on(registry, &[&["push", "--profile", "dev", "--format", "json"], args].concat())
}

#[test]
#[cfg(target_arch = "x86_64")]
fn push_several_platforms_become_an_index() {
    let registry = Registry::start();
    let workspace = workspace(&registry);
    let json = push(&workspace, &registry, &BOTH).json_with(0);
    let image = &json["images"][0];
    assert_eq!(image["platforms"], json!(["linux/amd64", "linux/arm64"]));
    let index = registry.manifest("my-app", "1.0.0");
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let platforms: Vec<&Value> =
        index["manifests"].as_array().unwrap().iter().map(|it| &it["platform"]).collect();
    assert_eq!(
        platforms,
        [&json!({"architecture": "amd64", "os": "linux"}), &json!({"architecture": "arm64", "os": "linux"})]
    );
    for listed in index["manifests"].as_array().unwrap() {
        let manifest = registry.manifest("my-app", listed["digest"].as_str().unwrap());
        let config = manifest["config"]["digest"].as_str().unwrap();
        let config: Value = serde_json::from_slice(&registry.blob("my-app", config)).unwrap();
        assert_eq!(config["architecture"], listed["platform"]["architecture"]);
    }
    // The base layer is one blob for both.
    registry.calls();
    let again = push(&workspace, &registry, &BOTH).json_with(0);
    assert_eq!(
        (&again["images"][0]["outcome"], &again["images"][0]["digest"]),
        (&json!("unchanged"), &image["digest"])
    );
    assert!(!registry.calls().contains_key("InitiateLayerUpload"));
}

#[test]
fn push_single_platform_is_a_plain_manifest() {
    let registry = Registry::start();
    let workspace = workspace(&registry);
    // Nothing is compiled: every platform that is wanted is given.
    let json = push(&workspace, &registry, &["--binary", "linux/arm64=arm/my-app"]).json_with(0);
    assert_eq!(json["images"][0]["platforms"], json!(["linux/arm64"]));
    let manifest = registry.manifest("my-app", "1.0.0");
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert!(
        !workspace.root().join("target/release").exists() && !workspace.root().join("target/debug").exists()
    );
}

#[test]
fn push_platform_or_binary_that_does_not_fit_fails() {
    let registry = Registry::start();
    let workspace = workspace(&registry).service("other", "");
    workspace.on(&registry, &["ecr", "create"]).good();
    let told =
        |args: &[&str]| workspace.on(&registry, &[&["push", "--profile", "dev"], args].concat()).shown();
    expect![[r#"
        --- stderr
        error: `arm/my-app` is one binary, and 2 services are to be pushed

        help: choose one with -p, or name a folder that holds all of them
        --- exit 1
    "#]]
    .assert_eq(&told(&["--binary", "linux/arm64=arm/my-app"]));
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
              Failed my-app: `arm/my-app` is built for linux/arm64, and the image is for linux/amd64
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
              Failed other: linux/mips: no Rust target is known for it; build it elsewhere and pass --binary linux/mips=PATH
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]].assert_eq(&told(&["-p", "other", "--platform", "linux/mips"]));
}

/// An executable is read once for each version of the file, and a version is more than its size and its time.
#[test]
fn push_reads_a_changed_binary_of_same_size_and_time() {
    let registry = Registry::start();
    let workspace = workspace(&registry);
    let path = workspace.root().join("arm/my-app");
    let digest = |tag: &str| {
        let json = push(&workspace, &registry, &["--binary", "linux/arm64=arm", "-t", tag]).json_with(0);
        json["images"][0]["digest"].clone()
    };
    let first = digest("1");
    // What was written a moment ago is not remembered yet.
    let known = workspace.root().join("target/xtask-ecr/executables");
    (0..20).take_while(|_| !known.exists()).for_each(|_| assert_eq!(digest("1"), first));
    assert!(known.exists());
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[24] ^= 1; // e_entry
    std::fs::write(&path, &bytes).unwrap();
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert_ne!(digest("2"), first);
}

/// lld makes such files of static binaries that want shared libraries.
#[test]
#[cfg(target_os = "linux")]
fn push_binary_with_libraries_but_no_loader_fails() {
    let registry = Registry::start();
    let workspace = workspace(&registry);
    let mut bytes = std::fs::read(env!("CARGO_BIN_EXE_xtask-ecr")).unwrap();
    // ELF-64 Object File Format, "Program header": e_phoff, e_phnum entries of 56 bytes that begin with p_type.
    let headers = u64::from_le_bytes(bytes[32..40].try_into().unwrap()) as usize;
    let count = u16::from_le_bytes(bytes[56..58].try_into().unwrap()) as usize;
    let mut headers = bytes[headers..].chunks_exact_mut(56).take(count);
    headers.find(|it| it[0] == 3).unwrap()[0] = 0; // PT_INTERP becomes PT_NULL
    std::fs::write(workspace.root().join("lost"), &bytes).unwrap();
    let host = if cfg!(target_arch = "x86_64") { "linux/amd64=lost" } else { "linux/arm64=lost" };
    let output = workspace.on(&registry, &["push", "--binary", host]);
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("and names no loader that would look for them"), "{}", output.stderr);
}
