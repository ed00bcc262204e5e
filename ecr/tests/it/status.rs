//! `ecr status`: the page, its JSON, and both with missing permissions, scans and engines.

use expect_test::expect;
use serde_json::json;

use crate::support::scans::basic_scan;
use crate::support::{Fixture, Workspace, by_name, without_digests};

#[test]
fn status_page_shows_everything() {
    let Fixture { workspace, registry } = Fixture::filled();
    let workspace = workspace.service("late", "repository = \"team/late\"\n");
    registry.create_plain("old");
    registry.tag("old", &[("ManagedBy", "cargo-xtask-ecr"), ("Project", "my-project")]);
    let drift = async |ecr: &aws_sdk_ecr::Client| {
        let mutable = aws_sdk_ecr::types::ImageTagMutability::Mutable;
        ecr.put_image_tag_mutability()
            .repository_name("my-app-worker")
            .image_tag_mutability(mutable)
            .send()
            .await
    };
    registry.sdk(drift);
    let output = workspace.command(&["ecr", "status", "--orphans"]).registry(&registry).without_path().run();
    assert!(output.stdout.lines().all(|it| it.chars().count() <= 80), "{}", output.stdout);
    expect![[r#"
        Environment
          identity  arn:aws:iam::123456789012:root
          account   [-digest--]
          region    us-east-1
          registry  127.0.0.1:[PORT]
          endpoint  http://127.0.0.1:[PORT]
          project   my-project
          engine    none (`cargo xtask push` does not need docker or podman)

        Repositories
          REPOSITORY     STATE    LATEST  PUSHED  SCAN         IMAGES      SIZE  A MONTH
          my-app         current  2.0.0   now     unsupported       6  442.4 kB   <$0.01
          my-app-worker  drifted  -                                 0       0 B    $0.00
          team/late      absent   -                                 0       0 B    $0.00
          my-app-worker differs in imageTagMutability

        Storage
          6 images, 442.4 kB stored, <$0.01 a month
          at $0.10 a GB and month, without transfer and replication

        Registry
          scanning    BASIC, without rules
          mounting    off
          templates   none
          signing     none
          caches      none
          replication none
          pull times  every pull is recorded

        Orphans
          old
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        help: `cargo xtask ecr create` would change 2 repositories; `cargo xtask ecr plan` shows the changes
        help: `cargo xtask ecr delete --orphans` also deletes the orphans
    "#]]
    .assert_eq(&without_digests(&output.shown()));
}

#[test]
fn status_colours_keep_the_columns() {
    let fixture = Fixture::filled();
    let args = ["ecr", "status", "-p", "my-app", "--color", "always"];
    let output = fixture.command(&args).without_path().run().good();
    let (_, table) = output.stdout.split_once("Repositories").unwrap();
    expect![[r#"
        ^[0m
          ^[2mREPOSITORY^[0m  ^[2mSTATE^[0m    ^[2mLATEST^[0m  ^[2mPUSHED^[0m  ^[2mSCAN^[0m         ^[2mIMAGES^[0m      ^[2mSIZE^[0m  ^[2mA MONTH^[0m
          my-app      ^[32mcurrent^[0m  2.0.0   now     ^[2munsupported^[0m       6  442.4 kB   <$0.01

        ^[1mStorage^[0m
          6 images, 442.4 kB stored, <$0.01 a month
          at $0.10 a GB and month, without transfer and replication

        ^[1mRegistry^[0m
          ^[2mscanning   ^[0m BASIC, without rules
          ^[2mmounting   ^[0m off
          ^[2mtemplates  ^[0m none
          ^[2msigning    ^[0m none
          ^[2mcaches     ^[0m none
          ^[2mreplication^[0m none
          ^[2mpull times ^[0m every pull is recorded
    "#]].assert_eq(&without_digests(table));
}

#[test]
fn status_json_matches_the_page() {
    let fixture = Fixture::filled();
    let json = fixture.run(&["ecr", "status", "--format", "json", "--price", "0.5"]).json_with(0);
    let app = by_name(&json["repositories"], "my-app");
    assert_eq!((&app["state"], &app["latest"]["tags"]), (&json!("current"), &json!(["2.0.0"])));
    // One of the two images of the index was scanned, the other is unsupported.
    assert_eq!(app["latest"]["findings"], json!({}));
    assert_eq!((&json["price"], &json["orphans"]), (&json!(0.5), &json!(null)));
    let bytes = app["storage"]["storedBytes"].as_f64().unwrap();
    assert_eq!(json["total"]["costPerMonth"].as_f64().unwrap(), (bytes / 1e9 * 0.5 * 1e6).round() / 1e6);
}

#[test]
fn status_price_comes_from_the_workspace() {
    let fixture = Workspace::example()
        .metadata("price-per-gb-month = 0.25\nregion = \"us-east-1\"\n")
        .start()
        .created();
    let json = fixture.run(&["ecr", "status", "--format", "json"]).json_with(0);
    assert_eq!(json["price"], 0.25);
    let wrong = Workspace::example().metadata("price-per-gb-month = \"cheap\"\nscan-ignore = 5\n");
    let output = wrong.on(&fixture.registry, &["ecr", "status"]);
    expect![[r#"
        --- stderr
        error: there are 2 problems in the configuration

        Cargo.toml:6:22: `price-per-gb-month` must be a number, found a string

        Cargo.toml:7:15: `scan-ignore` must be a string, found a number
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn status_asks_for_findings_of_the_latest_image() {
    let fixture = Workspace::new().service("my-app", "scan-on-push = false\n").start().created();
    fixture.registry.image("my-app", "1.0.0");
    fixture.registry.calls();
    let output = fixture.run(&["ecr", "status"]).good();
    assert_eq!(fixture.registry.calls()["DescribeImageScanFindings"], 1);
    assert!(output.stdout.contains("never"), "{}", output.stdout);
}

#[test]
fn status_reports_an_index_image_without_scan() {
    let fixture = Fixture::service().created();
    let one = fixture.registry.layered("my-app", &[('1', 10)], json!({}), None);
    let two = fixture.registry.layered("my-app", &[('2', 10)], json!({}), None);
    fixture.registry.index("my-app", &[("amd64", &one), ("arm64", &two)], "1.0.0");
    fixture.registry.scan(&one, &basic_scan(&[]));
    fixture.registry.scan(&two, &json!({"imageScanStatus": {"status": "FAILED"}}));
    let output = fixture.run(&["ecr", "status"]).good();
    assert!(output.stdout.contains(" failed "), "{}", output.stdout);
    let output = fixture.run(&["ecr", "status", "--keep-pull-times", "--format", "json"]);
    assert_eq!(output.json_with(0)["repositories"][0]["latest"]["isScanKnown"], false);
}

#[test]
fn status_does_not_wait_for_a_hanging_engine() {
    let fixture = Fixture::service();
    // The engine writes a lot to stderr, and its child keeps the pipe open.
    fixture.workspace.program("bin/docker", "sleep 20 &\nhead -c 100000 /dev/zero >&2\necho 27.0");
    let path =
        format!("{}:{}", fixture.workspace.root().join("bin").display(), std::env::var("PATH").unwrap());
    let began = std::time::Instant::now();
    let run = fixture.command(&["ecr", "status", "--format", "json"]).env("PATH", &path);
    let json = run.run().json_with(0);
    assert_eq!(json["environment"]["engine"], json!({"program": "docker", "version": "27.0"}));
    assert!(began.elapsed().as_secs() < 20, "it waited for the child of docker");
}

#[test]
fn status_without_permission_shows_the_rest() {
    let fixture = Fixture::example().with_faults(&["deny=DescribeImages"]);
    fixture.run(&["ecr", "create"]);
    let output = fixture.command(&["ecr", "status"]).without_path().run();
    expect![[r#"
        Environment
          identity  arn:aws:iam::123456789012:root
          account   123456789012
          region    us-east-1
          registry  127.0.0.1:[PORT]
          endpoint  http://127.0.0.1:[PORT]
          project   my-project
          engine    none (`cargo xtask push` does not need docker or podman)

        Repositories
          REPOSITORY     STATE    LATEST  PUSHED  SCAN  IMAGES  SIZE  A MONTH
          my-app         current  -                          ?     ?        ?
          my-app-worker  current  -                          ?     ?        ?

        Storage
          0 images, 0 B stored, $0.00 a month
          of the repositories that could be read
          at $0.10 a GB and month, without transfer and replication

        Registry
          scanning    BASIC, without rules
          mounting    off
          templates   none
          signing     none
          caches      none
          replication none
          pull times  every pull is recorded
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
        warning: no permission for ecr:DescribeImages: images were not read (my-app, my-app-worker)
              Failed my-app: no permission to list the images (ecr:DescribeImages)
              Failed my-app-worker: no permission to list the images (ecr:DescribeImages)
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}
