//! Bases other than `scratch`: how they are pulled, put below the layers of a service, and searched for libraries.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ecr_oci::image::elf::Elf;
use ecr_types::Digest;
use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Registry, Workspace, static_binary};

const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// A tar archive of empty files, and of the smallest shared libraries of an architecture.
fn archive(architecture: &str, files: &[&str]) -> Vec<u8> {
    let machine = if architecture == "arm64" { "aarch64" } else { "x86_64" };
    let mut archive = tar::Builder::new(Vec::new());
    for path in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        let content = if path.contains(".so") { static_binary(machine, 0) } else { Vec::new() };
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Pushes a base image of one layer to the repository `base`. `kind` is the family of media types, `oci` or `docker`,
/// or `zstd`, which is OCI with a compressed layer.
fn base(registry: &Registry, kind: &str, architecture: &str, files: &[&str]) -> String {
    base_in(registry, "base", None, kind, architecture, files)
}

/// The same elsewhere.
pub fn base_in(
    registry: &Registry,
    name: &str,
    tag: Option<&str>,
    kind: &str,
    architecture: &str,
    files: &[&str],
) -> String {
    let (manifest_type, config_type, layer_type) = match kind {
        "docker" => (
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar",
        ),
        _ => (
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.config.v1+json",
            if kind == "zstd" { ZSTD } else { "application/vnd.oci.image.layer.v1.tar" },
        ),
    };
    let layer = archive(architecture, files);
    let bytes = if kind == "zstd" { zstd::encode_all(layer.as_slice(), 1).unwrap() } else { layer.clone() };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": ["LANG=C.UTF-8", "RUST_LOG=trace"], "Labels": {"from": "base"}, "WorkingDir": "/srv"},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
        "history": [{"created_by": "the base"}],
    });
    let config = config.to_string();
    let descriptor = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": registry.upload(name, bytes), "size": bytes.len()});
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": descriptor(config_type, config.as_bytes()),
        "layers": [descriptor(layer_type, &bytes)],
    });
    // The table of contents of eStargz (stargz-snapshotter, "docs/estargz.md").
    let toc = json!({"containerd.io/snapshot/stargz/toc.digest": Digest::of(b"toc")});
    manifest["layers"][0]["annotations"] = toc;
    registry.put(name, &manifest, tag)
}

/// A registry with a repository `base`.
fn with_base() -> Registry {
    let registry = Registry::start();
    registry.create_plain("base");
    registry
}

/// The settings of a service that name its base.
fn naming(below: &Registry, reference: &str) -> String {
    let host = below.host();
    format!("[package.metadata.ecr.image]\nbase = \"{host}/{reference}\"\n")
}

/// A workspace whose service goes to `registry`, with the base `reference` in `below`. The credentials of `below` are in the
/// configuration of docker, as for any private registry.
fn standing_on(registry: &Registry, below: &Registry, reference: &str, metadata: &str) -> Workspace {
    let host = below.host();
    let workspace = Workspace::new().service("my-app", &(naming(below, reference) + metadata));
    let auth = below.basic().replace("Basic ", "");
    workspace.file(".docker/config.json", json!({"auths": {host: {"auth": auth}}}).to_string());
    workspace.file("amd/my-app", static_binary("x86_64", 10));
    workspace.file("arm/my-app", static_binary("aarch64", 10));
    workspace.on(registry, &["ecr", "create"]).good();
    workspace
}

fn config_of(registry: &Registry, manifest: &Value) -> Value {
    let digest = manifest["config"]["digest"].as_str().unwrap();
    serde_json::from_slice(&registry.blob("my-app", digest)).unwrap()
}

#[test]
fn base_layers_and_config_lie_below_the_service() {
    let (registry, elsewhere) = (Registry::start(), with_base());
    let digest = base(&elsewhere, "oci", "amd64", &["bin/sh"]);
    let metadata = "env = { RUST_LOG = \"info\" }\n";
    let workspace = standing_on(&registry, &elsewhere, &format!("base@{digest}"), metadata);
    let args = ["push", "--binary", "linux/amd64=amd", "--format", "json"];
    let json = workspace.on(&registry, &args).json_with(0);
    assert_eq!(json["images"][0]["outcome"], "pushed");
    let (below, image) = (elsewhere.manifest("base", &digest), registry.manifest("my-app", "1.0.0"));
    assert_eq!(image["layers"][0], below["layers"][0]);
    let config = config_of(&registry, &image);
    expect![[r#"
        [
          [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            "RUST_LOG=info"
          ],
          "/srv",
          "base",
          [
            {
              "created_by": "the base"
            },
            {
              "created": "1970-01-01T00:00:00Z",
              "created_by": "xtask-ecr: binary"
            }
          ],
          "65532:65532"
        ]"#]]
    .assert_eq(
        &serde_json::to_string_pretty(&json!([
            config["config"]["Env"],
            config["config"]["WorkingDir"],
            config["config"]["Labels"]["from"],
            config["history"],
            config["config"]["User"],
        ]))
        .unwrap(),
    );
    assert_eq!(
        config["rootfs"]["diff_ids"].as_array().unwrap().len(),
        image["layers"].as_array().unwrap().len()
    );
    // A base that is named by its digest is pulled once.
    elsewhere.calls();
    let again = workspace.on(&registry, &args).json_with(0);
    assert_eq!(again["images"][0]["outcome"], "unchanged");
    assert_eq!(elsewhere.calls(), [].into());
}

#[test]
fn base_layers_are_mounted_from_another_repository() {
    let registry = with_base();
    registry.sdk(async |ecr| ecr.put_account_setting().name("BLOB_MOUNTING").value("ENABLED").send().await);
    let digest = base(&registry, "oci", "amd64", &["bin/sh"]);
    let layer = registry.manifest("base", &digest)["layers"][0]["size"].clone();
    let reference = format!("base@{digest}");
    // The base lies in the registry of the push, so that no credentials of docker are needed.
    let workspace = standing_on(&registry, &registry, &reference, "");
    std::fs::remove_file(workspace.root().join(".docker/config.json")).unwrap();
    let args = ["push", "--create", "--binary", "linux/amd64=amd", "--format", "json"];
    assert_eq!(workspace.on(&registry, &args).json_with(0)["images"][0]["mountedBytes"], layer);

    // The base lies elsewhere, and an earlier push has uploaded it to another repository of the workspace.
    let elsewhere = with_base();
    assert_eq!(base(&elsewhere, "oci", "amd64", &["bin/sh"]), digest);
    let workspace =
        standing_on(&registry, &elsewhere, &reference, "").service("other", &naming(&elsewhere, &reference));
    workspace.file("amd/other", static_binary("x86_64", 10));
    let json = workspace.on(&registry, &[&args[..], &["-p", "other"]].concat()).json_with(0);
    assert_eq!(json["images"][0]["mountedBytes"], layer);
}

#[test]
fn base_index_resolves_per_platform_with_one_media_type_family() {
    let registry = with_base();
    let (amd, arm) =
        (base(&registry, "docker", "amd64", &["amd"]), base(&registry, "docker", "arm64", &["arm"]));
    registry.index("base", &[("amd64", &amd), ("arm64", &arm)], "12");
    let workspace = standing_on(&registry, &registry, "base:12", "");
    let both = ["--binary", "linux/amd64=amd", "--binary", "linux/arm64=arm"];
    workspace.on(&registry, &[&["push"], &both[..]].concat()).good();
    let index = registry.manifest("my-app", "1.0.0");
    for (listed, below) in index["manifests"].as_array().unwrap().iter().zip([amd, arm]) {
        let image = registry.manifest("my-app", listed["digest"].as_str().unwrap());
        assert_eq!(image["layers"][0], registry.manifest("base", &below)["layers"][0]);
        assert_eq!(listed["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
        let kinds = image["layers"].as_array().unwrap().iter().chain([&image["config"]]);
        kinds.for_each(|it| assert!(it["mediaType"].as_str().unwrap().contains("vnd.docker"), "{it}"));
    }
    let missing =
        workspace.on(&registry, &["push", "--platform", "linux/s390x", "--binary", "linux/s390x=amd"]);
    assert!(
        missing.stderr.contains("it has no image for linux/s390x, only for linux/amd64, linux/arm64"),
        "{missing:#?}"
    );
}

#[test]
fn base_with_docker_types_becomes_oci_for_zstd() {
    let registry = with_base();
    let digest = base(&registry, "docker", "amd64", &["bin/sh"]);
    let reference = format!("base@{digest}");
    let workspace = standing_on(&registry, &registry, &reference, "compression = \"zstd\"\n");
    let output = workspace.on(&registry, &["push", "--binary", "linux/amd64=amd"]).good();
    let (warning, host) = (output.warnings().remove(0), registry.host());
    let told = format!(
        "base `{host}/{reference}` uses Docker media types, which do not support zstd: the image of `my-app` uses OCI media types"
    );
    assert_eq!(warning, told);
    let image = registry.manifest("my-app", "1.0.0");
    assert_eq!(image["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(image["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    let kinds: Vec<_> = image["layers"].as_array().unwrap().iter().map(|it| &it["mediaType"]).collect();
    assert_eq!(kinds, ["application/vnd.oci.image.layer.v1.tar", ZSTD]);

    // The content of the image is the same with gzip.
    let zstd = config_of(&registry, &image);
    let gzip = standing_on(&registry, &registry, &reference, "");
    gzip.on(&registry, &["push", "--binary", "linux/amd64=amd", "-t", "gzip"]).good();
    assert_eq!(config_of(&registry, &registry.manifest("my-app", "gzip")), zstd);
    let layer = &image["layers"][1]["digest"];
    let bytes = zstd::decode_all(registry.blob("my-app", layer.as_str().unwrap()).as_slice()).unwrap();
    assert_eq!(zstd["rootfs"]["diff_ids"][1], Digest::of(&bytes).as_str());
}

#[test]
#[cfg(target_arch = "x86_64")]
fn base_without_needed_libraries_fails() {
    let registry = with_base();
    let digest = base(&registry, "zstd", "amd64", &["lib64/ld-linux-x86-64.so.2", "usr/lib/libc.so.6"]);
    let workspace = standing_on(&registry, &registry, &format!("base@{digest}"), "");
    let binary = workspace.root().join("dynamic");
    std::fs::copy(env!("CARGO_BIN_EXE_cargo-ecr"), &binary).unwrap();
    let output = workspace.on(&registry, &["push", "--binary", "linux/amd64=dynamic"]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
             Pulling ba3f00c4e344 of base 127.0.0.1:[PORT]/base@sha256:[DIGEST]
             Pulling 8d51eeec0fc8 of base 127.0.0.1:[PORT]/base@sha256:[DIGEST]
              Failed my-app: `dynamic` needs libgcc_s.so.1, libm.so.6, which base `127.0.0.1:[PORT]/base@sha256:[DIGEST]` does not contain: use a base that contains them, link statically, or use base `scratch`, to which the needed libraries are added
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]].assert_eq(&output.shown());
}

/// The libraries of a foreign binary are in its base, and not on this machine.
#[test]
fn base_libraries_serve_a_foreign_binary() {
    let registry = with_base();
    let mut foreign = std::fs::read(env!("CARGO_BIN_EXE_cargo-ecr")).unwrap();
    let (machine, platform) = if cfg!(target_arch = "x86_64") { (183, "arm64") } else { (62, "amd64") };
    // ELF-64 Object File Format, "ELF Header": e_machine.
    foreign[18] = machine;
    let elf = Elf::read(std::io::Cursor::new(&foreign)).unwrap();
    let files: Vec<_> = elf.needed.iter().map(|it| format!("usr/lib/{it}")).collect();
    let loader = elf.interpreter.as_deref().unwrap().trim_start_matches('/');
    let files: Vec<_> = files.iter().map(String::as_str).chain([loader]).collect();
    let digest = base(&registry, "zstd", platform, &files);
    let workspace = standing_on(&registry, &registry, &format!("base@{digest}"), "");
    workspace.file("foreign", &foreign);
    let given = format!("linux/{platform}=foreign");
    workspace.on(&registry, &["push", "--binary", &given, "-t", "1"]).good();
    assert_eq!(registry.manifest("my-app", "1")["layers"].as_array().unwrap().len(), 2);
    // Without a base, the libraries must be on this machine.
    let alone = Workspace::new().service("my-app", "");
    alone.file("foreign", &foreign);
    let output = alone.on(&registry, &["push", "--binary", &given, "-t", "2"]);
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("needs shared libraries that are not installed"), "{}", output.stderr);
}

/// The libraries are where only the environment of the image says (ld.so(8), LD_LIBRARY_PATH).
#[test]
#[cfg(target_arch = "x86_64")]
fn base_libraries_are_searched_in_the_environment() {
    let registry = with_base();
    let binary = std::fs::read(env!("CARGO_BIN_EXE_cargo-ecr")).unwrap();
    let elf = Elf::read(std::io::Cursor::new(&binary)).unwrap();
    let files: Vec<_> = elf.needed.iter().map(|it| format!("opt/lib/{it}")).collect();
    let loader = elf.interpreter.as_deref().unwrap().trim_start_matches('/');
    let files: Vec<_> = files.iter().map(String::as_str).chain([loader]).collect();
    let reference = format!("base@{}", base(&registry, "zstd", "amd64", &files));
    for (env, code) in [("", 1), ("env = { LD_LIBRARY_PATH = \"/opt/none:/opt/lib\" }\n", 0)] {
        let workspace = standing_on(&registry, &registry, &reference, env);
        workspace.file("dynamic", &binary);
        let output = workspace.on(&registry, &["push", "--binary", "linux/amd64=dynamic", "-t", "libraries"]);
        assert_eq!(output.code, code, "{output:#?}");
        let is_told = output.stderr.contains("where its loader looks (`/opt/lib/");
        assert_eq!(is_told, code == 1, "{output:#?}");
    }
}

#[test]
fn base_not_pullable_fails_only_its_service() {
    let (registry, elsewhere) = (Registry::start(), with_base());
    let workspace = standing_on(&registry, &elsewhere, "base:nothing", "").service("other", "");
    workspace.file("amd/other", static_binary("x86_64", 10));
    workspace.on(&registry, &["ecr", "create"]).good();
    let output = workspace.on(&registry, &["push", "--binary", "linux/amd64=amd"]);
    expect![[r#"
        127.0.0.1:[PORT]/other@sha256:[DIGEST]
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
              Failed my-app: base `127.0.0.1:[PORT]/base:nothing`: failed to read the base image `base:nothing` of 127.0.0.1:[PORT]: MANIFEST_UNKNOWN: Requested image not found
              Pushed other 1.0.0 (108.2 kB uploaded)
            Finished 2 images: 1 pushed, 1 failed in [TIME]
        --- exit 1
    "#]].assert_eq(&output.shown());
    // Without credentials, the error says where they come from.
    std::fs::remove_file(workspace.root().join(".docker/config.json")).unwrap();
    let output = workspace.on(&registry, &["push", "-p", "my-app", "--binary", "linux/amd64=amd"]);
    assert!(output.stderr.contains("the registry requires credentials"), "{output:#?}");
    // Those that the registry refuses are a matter of that registry, too.
    let config = json!({"auths": {elsewhere.host(): {"auth": BASE64_STANDARD.encode("AWS:stale")}}});
    workspace.file(".docker/config.json", config.to_string());
    let stale = workspace.on(&registry, &["push", "-p", "my-app", "--binary", "linux/amd64=amd"]);
    for output in [output, stale] {
        let help = format!("help: log in with `docker login {}`", elsewhere.host());
        assert!(output.stderr.contains(&help) && !output.stderr.contains("ecr login"), "{output:#?}");
    }
}

/// The same credentials, where the programs of others keep them.
#[test]
fn base_credentials_come_from_the_files_of_docker_and_podman() {
    let (registry, elsewhere) = (Registry::start(), with_base());
    let digest = base(&elsewhere, "oci", "amd64", &["bin/sh"]);
    let workspace = standing_on(&registry, &elsewhere, &format!("base@{digest}"), "");
    let config = std::fs::read_to_string(workspace.root().join(".docker/config.json")).unwrap();
    std::fs::remove_file(workspace.root().join(".docker/config.json")).unwrap();
    let place = |path: &str| workspace.root().join(path).display().to_string();
    let helper = "read key; echo '{\"Username\":\"AWS\",\"Secret\":\"'$SECRET'\"}'";
    let folder = workspace.program("docker-credential-test", helper).replace("/docker-credential-test", "");
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let basic = BASE64_STANDARD.decode(elsewhere.basic().strip_prefix("Basic ").unwrap()).unwrap();
    let secret = String::from_utf8(basic).unwrap().split_once(':').unwrap().1.to_owned();
    let helpers = json!({"credHelpers": {elsewhere.host(): "test"}}).to_string();
    for (tag, file, content, variable, value) in [
        ("1", "named.json", &config, "REGISTRY_AUTH_FILE", place("named.json")),
        ("2", "run/containers/auth.json", &config, "XDG_RUNTIME_DIR", place("run")),
        ("3", "xdg/containers/auth.json", &config, "XDG_CONFIG_HOME", place("xdg")),
        ("4", ".config/containers/auth.json", &config, "REGISTRY_AUTH_FILE", String::new()),
        ("5", "docker/config.json", &helpers, "DOCKER_CONFIG", place("docker")),
        ("6", "unused", &config, "DOCKER_AUTH_CONFIG", config.clone()),
    ] {
        workspace.file(file, content);
        // What an earlier run has fetched would need no credentials.
        let _ = std::fs::remove_dir_all(workspace.root().join("target/xtask-ecr"));
        let args = ["push", "--binary", "linux/amd64=amd", "-t", tag];
        let run = workspace.command(&args).registry(&registry).env("PATH", &path).env("SECRET", &secret);
        run.env(variable, &value).run().good();
        std::fs::remove_file(workspace.root().join(file)).unwrap();
    }
}

#[test]
fn base_is_pulled_although_a_configuration_of_docker_is_malformed() {
    let (registry, elsewhere) = (Registry::start(), with_base());
    let digest = base(&elsewhere, "oci", "amd64", &["bin/sh"]);
    let workspace = standing_on(&registry, &elsewhere, &format!("base@{digest}"), "");
    let auth = elsewhere.basic();
    let (host, auth) = (elsewhere.host(), auth.strip_prefix("Basic ").unwrap());
    let config = json!({"credHelpers": [], "credsStore": "missing", "auths": {host: {"auth": auth}}});
    workspace.file(".docker/config.json", config.to_string());
    let output = workspace.on(&registry, &["push", "--binary", "linux/amd64=amd"]).good();
    let warnings = output.warnings();
    assert!(warnings[0].ends_with(".docker/config.json`: `credHelpers` is not an object"), "{warnings:?}");
    let helper = "the credential helper `docker-credential-missing` cannot be run: ";
    assert!(warnings[1].starts_with(helper), "{warnings:?}");
    // An engine gets the rest of such a configuration.
    workspace.file("my-app/Dockerfile", "FROM scratch\n");
    let engine = workspace
        .program("engine", "test \"$1\" = build && cat \"$DOCKER_CONFIG/config.json\" >seen; exit 1");
    let output = workspace.on(&registry, &["push", "--engine", &engine]);
    assert!(output.warnings()[0].ends_with("`credHelpers` is not an object"), "{output:#?}");
    let seen: Value = serde_json::from_slice(&std::fs::read(workspace.root().join("seen")).unwrap()).unwrap();
    assert_eq!((&seen["credsStore"], &seen["auths"]), (&config["credsStore"], &config["auths"]));
    assert_eq!(seen["credHelpers"][registry.host()], "xtask-ecr");
}

#[test]
fn base_index_without_platforms_is_decided_by_the_configs() {
    let registry = with_base();
    let (arm, amd) = (base(&registry, "oci", "arm64", &["arm"]), base(&registry, "oci", "amd64", &["amd"]));
    let unnamed = |digest: &str| {
        let bytes = registry.manifest("base", digest).to_string();
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": bytes.len()})
    };
    let index = |entries: &[Value]| json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries});
    registry.put("base", &index(&[unnamed(&arm), unnamed(&amd)]), Some("unnamed"));
    let workspace = standing_on(&registry, &registry, "base:unnamed", "");
    workspace.on(&registry, &["push", "--binary", "linux/amd64=amd"]).good();
    let image = registry.manifest("my-app", "1.0.0");
    assert_eq!(image["layers"][0], registry.manifest("base", &amd)["layers"][0]);
    let missing = workspace.on(&registry, &["push", "--platform", "linux/386", "--binary", "linux/386=amd"]);
    let told = "it has no image for linux/386, only for platforms that it does not name";
    assert!(missing.stderr.contains(told), "{missing:#?}");

    let nested = registry.put("base", &index(&[unnamed(&amd)]), None);
    let mut entry = unnamed(&nested);
    entry["mediaType"] = json!("application/vnd.oci.image.index.v1+json");
    entry["platform"] = json!({"os": "linux", "architecture": "amd64"});
    registry.put("base", &index(&[entry]), Some("nested"));
    let workspace = standing_on(&registry, &registry, "base:nested", "");
    let output = workspace.on(&registry, &["push", "--binary", "linux/amd64=amd"]);
    let told = format!("its index lists another index ({nested}), and not an image, for linux/amd64");
    assert!(output.stderr.contains(&told), "{output:#?}");
}
