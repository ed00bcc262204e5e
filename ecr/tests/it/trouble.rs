//! `push` with faults of the registry: it succeeds in spite of them, or reports what failed.

use expect_test::expect;
use serde_json::json;

use crate::support::{Fixture, Registry, Workspace, static_binary};

/// One service with a binary, so that nothing is compiled, on a registry with faults.
fn with_binary(faults: &[&str]) -> Fixture {
    let fixture = Fixture::service().with_faults(faults).created();
    fixture.workspace.file("my-app/binary", static_binary(std::env::consts::ARCH, 1_000_000));
    fixture
}

fn args<'a>() -> [&'a str; 5] {
    ["push", "--binary", HERE, "--format", "json"]
}

#[cfg(target_arch = "x86_64")]
const HERE: &str = "linux/amd64=my-app/binary";
#[cfg(target_arch = "aarch64")]
const HERE: &str = "linux/arm64=my-app/binary";

/// Pushes in spite of a fault, and checks that the image is whole.
fn survives(fault: &str) {
    let operation = fault.split(['=', ':']).nth(1).unwrap();
    let pushed = |faults: &[&str]| {
        let fixture = with_binary(faults);
        let json = fixture.run(&args()).json_with(0);
        assert_eq!(json["images"][0]["outcome"], "pushed", "{fault}");
        let calls = fixture.registry.calls().remove(operation);
        (fixture, calls.unwrap_or_default())
    };
    let ((_, without_fault), (fixture, with_fault)) = (pushed(&[]), pushed(&[fault]));
    assert!(with_fault > without_fault, "{fault}: {with_fault} calls, and {without_fault} without the fault");
    let manifest = fixture.registry.manifest("my-app", "1.0.0");
    let blobs = [&manifest["config"]].into_iter().chain(manifest["layers"].as_array().unwrap());
    for blob in blobs {
        let bytes = fixture.registry.blob("my-app", blob["digest"].as_str().unwrap());
        assert_eq!(bytes.len(), blob["size"], "{fault}");
    }
    let json = fixture.run(&args()).json_with(0);
    assert_eq!(json["images"][0]["outcome"], "unchanged", "{fault}");
}

/// Pushes two services with the same large file. Returns the uploaded and the mounted bytes of each.
fn sharing(registry: &Registry) -> Vec<(u64, u64)> {
    let image = "[package.metadata.ecr.image]\nfiles = [{ from = \"../large\", to = \"/large\" }]\n";
    let workspace = Workspace::new().service("one", image).service("two", image);
    workspace.file("large", static_binary("x86_64", 3_000_000));
    for name in ["one", "two"] {
        let binary = static_binary(std::env::consts::ARCH, name.len() * 1000);
        workspace.file(&format!("bin/{name}"), [binary, name.into()].concat());
    }
    workspace.on(registry, &["ecr", "create"]).good();
    let here = HERE.replace("my-app/binary", "bin");
    let json = workspace.on(registry, &["push", "--binary", &here, "--format", "json"]).json_with(0);
    let bytes = |it: &serde_json::Value, key: &str| it[key].as_u64().unwrap();
    let images = json["images"].as_array().unwrap().iter();
    images.map(|it| (bytes(it, "uploadedBytes"), bytes(it, "mountedBytes"))).collect()
}

#[test]
fn push_mounts_layers_that_services_share() {
    let registry = Registry::start();
    // The account has not enabled blob mounting: a refused mount becomes an upload.
    let plain = sharing(&registry);
    assert!(plain.iter().all(|(uploaded, mounted)| *uploaded > 1_000_000 && *mounted == 0), "{plain:?}");

    let registry = Registry::start();
    registry.sdk(async |ecr| ecr.put_account_setting().name("BLOB_MOUNTING").value("ENABLED").send().await);
    let mounting = sharing(&registry);
    assert_eq!(mounting[0], plain[0]);
    assert!(mounting[1].0 < 10_000 && mounting[1].1 > 1_000_000, "{mounting:?}");
}

#[test]
fn push_interrupt_leaves_nothing_behind() {
    let fixture = with_binary(&[]);
    fixture.workspace.file("my-app/binary", static_binary(std::env::consts::ARCH, 40_000_000));
    let cache = fixture.workspace.root().join("target/xtask-ecr/blobs");
    let unfinished = || {
        let files = std::fs::read_dir(&cache).into_iter().flatten().flatten();
        files.filter(|it| it.file_name().to_string_lossy().starts_with(".tmp-")).count()
    };
    let mut child = fixture.command(&args()).spawn();
    // Interrupts the push while it writes the large layer.
    let large = || {
        let files = std::fs::read_dir(&cache).into_iter().flatten().flatten();
        files.filter_map(|it| it.metadata().ok()).any(|it| it.len() > 1_000_000)
    };
    while !large() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(unfinished(), 1);
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(unfinished(), 0);
    assert!(!fixture.registry.calls().contains_key("PutImage"));
    let json = fixture.run(&args()).json_with(0);
    assert_eq!(json["images"][0]["outcome"], "pushed");
}

#[test]
fn push_survives_throttling() {
    survives("throttle=CompleteLayerUpload:2");
    survives("throttle=PutImage:1");
}

#[test]
fn push_survives_server_errors() {
    survives("error=InitiateLayerUpload:1");
    survives("error=CompleteLayerUpload:2");
    survives("error=BatchCheckLayerAvailability:1");
}

#[test]
fn push_survives_dropped_connections() {
    survives("drop=CompleteLayerUpload:2");
}

#[test]
fn push_survives_an_expired_token() {
    survives("expire=CompleteLayerUpload:1");
    survives("expire=PutImage:1");
    survives("expire=BatchGetImage:1");
}

#[test]
fn push_survives_a_forgotten_upload() {
    survives("forget=CompleteLayerUpload:2");
}

#[test]
fn push_denied_fails_and_a_second_run_finishes() {
    let fixture = with_binary(&["deny=PutImage:2"]);
    let output = fixture.run(&args()[..3]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
              Failed my-app: failed to push `my-app:1.0.0`: DENIED: User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:PutImage on resource: arn:aws:ecr:us-east-1:123456789012:repository/my-app because no identity-based policy allows the ecr:PutImage action
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]].assert_eq(&output.shown());
    let json = fixture.run(&args()).json_with(0);
    assert_eq!(
        (&json["images"][0]["outcome"], &json["images"][0]["uploadedBytes"]),
        (&json!("pushed"), &json!(0))
    );
}

/// A listener that accepts connections and never answers. It ends with the test.
fn silent() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        open.extend(listener.incoming().flatten());
    });
    host
}

#[test]
fn base_registry_that_never_answers_fails_its_service() {
    let workspace = Workspace::new();
    let base = format!("{}/x:1", silent());
    let workspace =
        workspace.service("my-app", &format!("[package.metadata.ecr.image]\nbase = \"{base}\"\n"));
    workspace.file("my-app/binary", static_binary(std::env::consts::ARCH, 100));
    let args = ["push", "--dry-run", "--binary", HERE, "--network-timeout", "300ms"];
    let output = workspace.command(&args).run();
    expect![[r#"
        --- stderr
              Failed my-app: base `127.0.0.1:[PORT]/x:1`: failed to read the base image `x:1` of 127.0.0.1:[PORT]: no response within 300 ms
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn push_manifest_that_is_never_answered_fails() {
    let fixture = with_binary(&["slow=PutImage:150000ms"]);
    let output = fixture.run(&["push", "--binary", HERE, "--network-timeout", "500ms"]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
              Failed my-app: failed to push `my-app:1.0.0`: no response within 500 ms
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn push_layer_that_is_not_read_fails() {
    // A registry whose uploads are never read to their end: the body stops half way.
    let fixture = with_binary(&["slow=CompleteLayerUpload:150000ms"]);
    let output = fixture.run(&["push", "--binary", HERE, "--network-timeout", "500ms"]);
    assert_eq!(output.code, 1, "{output:#?}");
    assert!(output.stderr.contains("failed to upload the blob"), "{output:#?}");
    assert!(output.stderr.contains("500 ms"), "{output:#?}");
}
