//! `promote` and `ecr deployed`: images on their way from one environment to the next.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Fixture, Registry, Workspace};

/// Environments in one registry, whose repositories have prefixes.
const PREFIXES: &str = "region = \"us-east-1\"\nproject = \"p\"\n\
     [workspace.metadata.ecr.environments.dev]\nprefix = \"dev/\"\n\
     [workspace.metadata.ecr.environments.prod]\nprefix = \"prod/\"\n";

fn environments(metadata: &str) -> Fixture {
    let workspace = Workspace::new().metadata(metadata).service("my-app", "").service("my-app-worker", "");
    let it = workspace.start();
    it.run(&["ecr", "create", "-e", "dev"]).good();
    it.run(&["ecr", "create", "-e", "prod"]).good();
    it.registry.calls();
    it
}

/// The tags of a repository, sorted, with the digests of their images.
fn tags(it: &Fixture, name: &str) -> Value {
    let images = it.registry.sdk(async |ecr| ecr.describe_images().repository_name(name).send().await);
    let mut tags: Vec<_> = images
        .image_details()
        .iter()
        .flat_map(|it| it.image_tags().iter().map(|tag| (tag.clone(), it.image_digest().unwrap().to_owned())))
        .collect();
    tags.sort();
    it.registry.calls();
    json!(tags)
}

#[test]
fn promotion_to_another_repository_keeps_the_digest() {
    let it = environments(PREFIXES);
    let digest = it.registry.layered("dev/my-app", &[('a', 300_000)], json!({}), Some("1.0.0"));
    let worker = it.registry.image("dev/my-app-worker", "1.0.0");
    let output = it.run(&["promote", "--from", "dev", "--to", "prod"]).good();
    expect![[r#"
        127.0.0.1:[PORT]/prod/my-app@sha256:[DIGEST]
        127.0.0.1:[PORT]/prod/my-app-worker@sha256:[DIGEST]
        --- stderr
            Registry 127.0.0.1:[PORT] (dev, account 123456789012, region us-east-1, project p)
            Registry 127.0.0.1:[PORT] (prod, account 123456789012, region us-east-1, project p)
            Promoted my-app 1.0.0 as prod-0001 (300.0 kB uploaded)
            Promoted my-app-worker 1.0.0 as prod-0001 (5 B uploaded)
            Finished 2 images: 2 promoted
    "#]]
    .assert_eq(&output.shown());
    assert_eq!(tags(&it, "prod/my-app"), json!([["prod-0001", digest]]));
    assert_eq!(tags(&it, "prod/my-app-worker"), json!([["prod-0001", worker]]));
    let again = it.run(&["promote", "--from", "dev", "--to", "prod", "--format", "json"]).json_with(0);
    assert_eq!(again["images"][0]["outcome"], "unchanged");
    assert_eq!(tags(&it, "prod/my-app"), json!([["prod-0001", digest]]));
}

/// What follows the status lines of the registries, with the exit code.
fn told(output: &crate::support::Output) -> String {
    let shown = output.shown();
    let lines: Vec<_> = shown.lines().filter(|it| !it.trim_start().starts_with("Registry ")).collect();
    lines.join("\n") + "\n"
}

fn enable_mounting(it: &Fixture) {
    it.registry
        .sdk(async |ecr| ecr.put_account_setting().name("BLOB_MOUNTING").value("ENABLED").send().await);
}

#[test]
fn promotion_copies_all_that_belongs_to_an_image() {
    let it = environments(PREFIXES);
    let image =
        |letter: char| it.registry.layered("dev/my-app", &[('B', 200_000), (letter, 1000)], json!({}), None);
    let (amd, arm) = (image('x'), image('y'));
    let index = it.registry.index("dev/my-app", &[("amd64", &amd), ("arm64", &arm)], "1.0.0");
    let subject = |digest: &str, media_type: &str| json!({"subject": {"mediaType": media_type, "digest": digest, "size": 1}, "artifactType": "application/spdx+json"});
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    let sbom = it.registry.layered("dev/my-app", &[('s', 100)], subject(&amd, MANIFEST), None);
    // A signature of the SBOM, and one of cosign, which has a tag.
    it.registry.layered("dev/my-app", &[('t', 100)], subject(&sbom, MANIFEST), None);
    it.registry.layered(
        "dev/my-app",
        &[('i', 100)],
        subject(&index, "application/vnd.oci.image.index.v1+json"),
        None,
    );
    let cosign = index.replace(':', "-") + ".sig";
    it.registry.layered("dev/my-app", &[('c', 100)], json!({}), Some(&cosign));
    it.registry.image("dev/my-app-worker", "1.0.0");
    enable_mounting(&it);
    let report = it
        .run(&["promote", "--from", "dev", "--to", "prod", "-p", "my-app", "--format", "json"])
        .json_with(0);
    let entry = &report["images"][0];
    assert_eq!((&entry["outcome"], &entry["artifacts"]), (&json!("promoted"), &json!(4)));
    assert_eq!(entry["uploadedBytes"], 0, "{entry:#}");
    assert!(entry["mountedBytes"].as_u64().unwrap() > 200_000);
    assert_eq!(it.registry.images("prod/my-app"), it.registry.images("dev/my-app"));
    assert_eq!(it.registry.manifest("prod/my-app", "prod-0001"), it.registry.manifest("dev/my-app", &index));
    let all = tags(&it, "prod/my-app");
    assert_eq!(
        all.as_array().unwrap().iter().map(|it| it[0].as_str().unwrap()).collect::<Vec<_>>(),
        ["prod-0001", &cosign]
    );
}

#[test]
fn rollback_leads_to_what_ran_before() {
    let it = environments(PREFIXES);
    let promote =
        |tag: &str| it.run(&["promote", "-e", "dev", "--to", "prod", "-p", "my-app", "-t", tag]).good();
    let (one, two) = (it.registry.image("dev/my-app", "1.0.0"), it.registry.image("dev/my-app", "1.1.0"));
    let rollback = || it.run(&["promote", "--rollback", "prod", "-p", "my-app"]);
    promote("1.0.0");
    expect![[r#"
        --- stderr
              Failed my-app: `prod/my-app` has no image that prod ran before: no tag of an earlier promotion (`prod-{n}`) is there
        help: name an image by its tag or digest: `cargo xtask promote --to ENV -t TAG`
            Finished 1 image: 1 failed
        --- exit 1
    "#]].assert_eq(&told(&rollback()));
    promote("1.1.0");
    expect![[r#"
        127.0.0.1:[PORT]/prod/my-app@sha256:[DIGEST]
        --- stderr
            Promoted my-app prod-0001 as prod-0003
            Finished 1 image: 1 promoted
    "#]]
    .assert_eq(&told(&rollback()));
    assert_eq!(tags(&it, "prod/my-app"), json!([["prod-0001", one], ["prod-0002", two], ["prod-0003", one]]));
    rollback().good();
    let report = it.run(&["ecr", "deployed", "--format", "json"]).json_with(0);
    let prod = &report["environments"][1]["services"][0];
    assert_eq!((&prod["current"]["tag"], &prod["current"]["digest"]), (&json!("prod-0004"), &json!(two)));
    assert_eq!((&prod["previous"]["tag"], &prod["previous"]["digest"]), (&json!("prod-0003"), &json!(one)));
    // In dev nothing was promoted: the newest image is what runs.
    assert_eq!(report["environments"][0]["services"][0]["current"]["tag"], "1.1.0");
    let page = it.run(&["ecr", "deployed"]).good().shown();
    expect![[r#"
        dev
          SERVICE        CURRENT  DIGEST        SINCE  KEPT  PREVIOUS
          my-app         1.1.0    84cc34488e37  now    yes   1.0.0
          my-app-worker  -                                   -

        prod
          SERVICE        CURRENT    DIGEST        SINCE  KEPT  PREVIOUS
          my-app         prod-0004  84cc34488e37  now    yes   prod-0003
          my-app-worker  -                                     -
        --- stderr
            Registry 127.0.0.1:[PORT] (dev, account 123456789012, region us-east-1, project p)
            Registry 127.0.0.1:[PORT] (prod, account 123456789012, region us-east-1, project p)
    "#]]
    .assert_eq(&page);
    // What runs is what deployment files get.
    it.workspace.file("a.yaml", "image: ecr://my-app#tagged\n");
    let resolved = it.run(&["resolve", "-e", "prod", "--current", "-f", "a.yaml"]).good().stdout;
    assert_eq!(resolved, format!("image: {}/prod/my-app:prod-0004@{two}\n", it.registry.host()));
}

#[test]
fn promotion_to_a_tag_keeps_to_immutability() {
    let it = Fixture::service().created();
    let (one, two) = (it.registry.image("my-app", "1.0.0"), it.registry.image("my-app", "1.1.0"));
    let promote = |args: &[&str]| it.run(&[&["promote"], args].concat());
    expect![[r#"
        127.0.0.1:[PORT]/my-app@sha256:[DIGEST]
        --- stderr
            Promoted my-app 1.0.0 as stable
            Finished 1 image: 1 promoted
    "#]]
    .assert_eq(&told(&promote(&["--to", "stable"])));
    promote(&["--to", "stable"]).good();
    let conflict = promote(&["--to", "stable", "-t", "1.1.0"]);
    expect![[r#"
        --- stderr
            Conflict my-app 1.1.0: the tag `stable` of `my-app` is immutable and points to sha256:[DIGEST]; this image is sha256:[DIGEST]
        help: choose another tag, such as `--to 'stable-{n}'`, which is new each time; or let this one move with `mutability-exclusions = ["stable"]` and `image-tag-mutability = "IMMUTABLE_WITH_EXCLUSION"`
            Finished 1 image: 1 in conflict
        --- exit 3
    "#]].assert_eq(&told(&conflict));
    promote(&["--to", "live-{n}"]).good();
    promote(&["--to", "live-{n}", &format!("@{two}")]).good();
    assert_eq!(
        tags(&it, "my-app"),
        json!([["1.0.0", one], ["1.1.0", two], ["live-0001", one], ["live-0002", two], ["stable", one]])
    );
    let shown = |args: &[&str]| promote(args).stderr;
    assert!(shown(&["--to", "a b"]).contains("error: --to names neither an environment nor a tag"));
    assert!(shown(&["--to", "x", "@sha256:1"]).contains("`@sha256:1` is not a digest such as @sha256:..."));
    assert!(shown(&["--to", "x", "-t", "9"]).contains("`my-app` has no image with the tag `9`"));
    assert!(shown(&[]).contains("--to <ENV|TAG>"));
}

#[test]
fn moving_tag_is_allowed_by_the_plan() {
    let it =
        environments(&PREFIXES.replace("prefix = \"prod/\"", "prefix = \"prod/\"\npromote-tag = \"live\""));
    let steps = it.run(&["ecr", "status", "-e", "prod", "--format", "json"]).json_with(0);
    assert_eq!(steps["repositories"][0]["state"], "current", "created with its exclusion filters");
    let (one, two) = (it.registry.image("dev/my-app", "1.0.0"), it.registry.image("dev/my-app", "1.1.0"));
    let promote = |tag: &str| it.run(&["promote", "-e", "dev", "--to", "prod", "-p", "my-app", "-t", tag]);
    promote("1.0.0").good();
    promote("1.1.0").good();
    assert_eq!(tags(&it, "prod/my-app"), json!([["live", two], ["live-previous", one]]));
    promote("1.1.0").good();
    assert_eq!(tags(&it, "prod/my-app"), json!([["live", two], ["live-previous", one]]));
    it.run(&["promote", "--rollback", "prod", "-p", "my-app"]).good();
    assert_eq!(tags(&it, "prod/my-app"), json!([["live", one], ["live-previous", two]]));
    // Somebody has made the repository strict.
    it.registry.sdk(async |ecr| {
        let request = ecr.put_image_tag_mutability().repository_name("prod/my-app");
        request.image_tag_mutability(aws_sdk_ecr::types::ImageTagMutability::Immutable).send().await
    });
    expect![[r#"
        --- stderr
            Conflict my-app 1.1.0: the tag `live` of `prod/my-app` is immutable and points to sha256:[DIGEST]; this image is sha256:[DIGEST]
        help: `cargo xtask ecr create -e prod` allows the tag to move; without `promote-tag`, promotions have numbers and none moves
            Finished 1 image: 1 in conflict
        --- exit 3
    "#]].assert_eq(&told(&promote("1.1.0")));
    let plan = it.run(&["ecr", "plan", "-e", "prod", "-p", "my-app"]).shown();
    assert!(plan.contains("imageTagMutability: IMMUTABLE -> IMMUTABLE_WITH_EXCLUSION"), "{plan}");
    it.run(&["ecr", "create", "-e", "prod"]).good();
    promote("1.1.0").good();
}

#[test]
fn promotion_is_refused_with_reasons() {
    let policy = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"sinceImagePushed","countUnit":"days","countNumber":7},"action":{"type":"expire"}}]}"#;
    let metadata = PREFIXES
        .replace("prefix = \"prod/\"", "prefix = \"prod/\"\nprotect = true\nlifecycle-policy = \"p.json\"");
    let workspace = Workspace::new();
    workspace.file("p.json", policy);
    let it = workspace.metadata(&metadata).service("my-app", "").service("my-app-worker", "").start();
    it.run(&["ecr", "create", "-e", "dev"]).good();
    it.run(&["ecr", "create", "-e", "prod"]).good();
    let archived = it.registry.image("dev/my-app", "1.0.0");
    it.registry.image("dev/my-app-worker", "1.0.0");
    let promote = |args: &[&str]| it.run(&[&["promote", "--from", "dev", "--to", "prod"], args].concat());
    expect![[r#"
        --- stderr
             Refused my-app-worker 1.0.0: the lifecycle policy of `prod/my-app-worker` may take the image within 30 days; a tag does not renew its age
             Refused my-app-worker 1.0.0: `prod/my-app-worker` is protected
        help: pass --yes to promote all the same; stdin is not a terminal, so that it cannot be confirmed
            Finished 1 image: 1 refused
        --- exit 5
    "#]].assert_eq(&told(&promote(&["-p", "my-app-worker"])));
    expect![[r#"
        --- stderr
             Dry run my-app-worker 1.0.0 as prod-0001
        warning: my-app-worker: the lifecycle policy of `prod/my-app-worker` may take the image within 30 days; a tag does not renew its age
        warning: my-app-worker: `prod/my-app-worker` is protected
            Finished 1 image: 1 to promote
    "#]].assert_eq(&told(&promote(&["-p", "my-app-worker", "--dry-run"])));
    assert_eq!(it.registry.images("prod/my-app-worker"), 0);
    expect![[r#"
        --- stderr
        dev/my-app-worker@bf4c5b3d2cd5  bf4c5b3d2cd5  UNSUPPORTED_IMAGE
          ECR cannot scan this image: it contains no supported operating system
          ECR says: UnsupportedImageError: The operating system and/or package manager
          are not supported.
          help: scan it with `trivy image` or `grype`; with `--unsupported pass` it
          passes the gate
          gate not passed: ECR cannot scan the image
             Refused my-app-worker 1.0.0: it did not pass the gate --fail-on HIGH
            Finished 1 image: 1 refused
        --- exit 4
    "#]]
    .assert_eq(&told(&promote(&["-p", "my-app-worker", "--yes", "--fail-on", "HIGH", "--timeout", "0s"])));
    let id = aws_sdk_ecr::types::ImageIdentifier::builder().image_digest(&archived).build();
    it.registry.sdk(async |ecr| {
        let request = ecr.update_image_storage_class().repository_name("dev/my-app").image_id(id);
        request.target_storage_class(aws_sdk_ecr::types::TargetStorageClass::Archive).send().await
    });
    let report = promote(&["--yes", "--format", "json"]).json_with(5);
    let outcomes: Vec<_> = report["images"].as_array().unwrap().iter().map(|it| &it["outcome"]).collect();
    assert_eq!(outcomes, ["refused", "kept"], "{report:#}");
    assert_eq!(it.registry.images("prod/my-app-worker"), 0);
    promote(&["--yes", "--exclude", "my-app"]).good();
    assert_eq!(it.registry.images("prod/my-app-worker"), 1);
}

#[test]
fn promotion_of_images_that_cannot_be_listed_is_not_one_of_none() {
    let it = environments(PREFIXES);
    it.registry.image("dev/my-app", "1.0.0");
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Principal": "*", "Action": "ecr:DescribeImages"},
    ]});
    let policy = policy.to_string();
    it.registry.sdk(async |ecr| {
        ecr.set_repository_policy().repository_name("dev/my-app").policy_text(policy).send().await
    });
    let output = it.run(&["promote", "--from", "dev", "--to", "prod", "-p", "my-app"]);
    expect![[r#"
        --- stderr
        warning: no permission for ecr:DescribeImages: images were not read (dev/my-app)
              Failed my-app: `dev/my-app` cannot be read: no permission to list the images (ecr:DescribeImages)
            Finished 1 image: 1 failed
        --- exit 1
    "#]]
    .assert_eq(&told(&output));
}

#[test]
fn promotion_crosses_accounts_of_one_embedded_ecr() {
    let metadata = "region = \"us-east-1\"\n\
         [workspace.metadata.ecr.environments.dev]\naccount-id = \"111111111111\"\n\
         [workspace.metadata.ecr.environments.prod]\naccount-id = \"222222222222\"\nregion = \"eu-west-1\"\n";
    let workspace = Workspace::new().metadata(metadata).service("my-app", "");
    workspace.file("amd", crate::support::static_binary("x86_64", 300_000));
    let run = |args: &[&str]| workspace.command(&[args, &["--local"]].concat()).run();
    run(&["push", "--create", "-e", "dev", "--binary", "linux/amd64=amd"]).good();
    let missing = run(&["promote", "--from", "dev", "--to", "prod"]);
    expect![[r#"
        --- stderr
              Failed my-app: the repository `my-app` does not exist
        help: create it with `cargo xtask ecr create --local -e prod`
            Finished 1 image: 1 failed
        --- exit 1
    "#]]
    .assert_eq(&told(&missing));
    run(&["ecr", "create", "-e", "prod"]).good();
    expect![[r#"
        127.0.0.1:[PORT]/my-app@sha256:[DIGEST]
        --- stderr
            Promoted my-app 1.0.0 as prod-0001 (408.4 kB uploaded)
            Finished 1 image: 1 promoted
    "#]]
    .assert_eq(&told(&run(&["promote", "--from", "dev", "--to", "prod"]).good()));
    let report = run(&["ecr", "deployed", "--format", "json"]).json_with(0);
    let digest = |n: usize| report["environments"][n]["services"][0]["current"]["digest"].clone();
    assert!(digest(0).is_string() && digest(0) == digest(1), "{report:#}");
    assert_eq!(report["environments"][1]["services"][0]["current"]["tag"], "prod-0001");
}

/// Two registries, each the endpoint of an AWS profile that an environment names.
fn two_registries() -> (Workspace, Registry, Registry) {
    let metadata = "region = \"us-east-1\"\n\
         [workspace.metadata.ecr.environments.dev]\naws-profile = \"dev\"\n\
         [workspace.metadata.ecr.environments.prod]\naws-profile = \"prod\"\n";
    let workspace = Workspace::new().metadata(metadata).service("my-app", "");
    let (dev, prod) = (Registry::start(), Registry::start());
    let profile = |name: &str, registry: &Registry| {
        format!(
            "[profile {name}]\nendpoint_url = {}\naws_access_key_id = dummy\naws_secret_access_key = dummy\n",
            registry.url()
        )
    };
    workspace.file(".aws/config", profile("dev", &dev) + &profile("prod", &prod));
    of_profiles(&workspace, &["ecr", "create", "-e", "dev"]).run().good();
    of_profiles(&workspace, &["ecr", "create", "-e", "prod"]).run().good();
    (workspace, dev, prod)
}

/// A command that uses nothing but the profiles. A proxy that is none keeps it from AWS, whatever it does.
fn of_profiles(workspace: &Workspace, args: &[&str]) -> crate::support::Run {
    workspace.command(args).without_keys().env("HTTPS_PROXY", "http://127.0.0.1:1")
}

const PROMOTE: [&str; 5] = ["promote", "--from", "dev", "--to", "prod"];

#[test]
fn promotion_to_another_registry_streams_what_is_missing() {
    let (workspace, dev, prod) = two_registries();
    let one = dev.layered("my-app", &[('B', 3_000_000), ('a', 10_000)], json!({}), Some("1.0.0"));
    of_profiles(&workspace, &PROMOTE).run().good();
    let two = dev.layered("my-app", &[('B', 3_000_000), ('b', 10_000)], json!({}), Some("1.1.0"));
    let report = of_profiles(&workspace, &[&PROMOTE[..], &["--format", "json"]].concat()).run().json_with(0);
    let entry = &report["images"][0];
    assert_eq!((&entry["tags"], &entry["digest"]), (&json!(["prod-0002"]), &json!(two)));
    assert!(entry["skippedBytes"].as_u64().unwrap() > 3_000_000 - 1, "{entry:#}");
    assert!(entry["uploadedBytes"].as_u64().unwrap() < 20_000, "{entry:#}");
    for (digest, tag) in [(&one, "prod-0001"), (&two, "prod-0002")] {
        assert_eq!(prod.manifest("my-app", tag), dev.manifest("my-app", digest));
    }
    assert_ne!(dev.host(), prod.host());
}

#[test]
fn promotion_of_a_broken_download_is_resumed() {
    // The connections of the source break after a part of each blob, once.
    let it = environments(PREFIXES);
    let digest = it.registry.layered("dev/my-app", &[('B', 3_000_000)], json!({}), Some("1.0.0"));
    let it = it.with_faults_kept(&["drop=GetDownloadUrlForLayer:2"]);
    it.run(&["promote", "--from", "dev", "--to", "prod", "-p", "my-app"]).good();
    assert_eq!(it.registry.manifest("prod/my-app", "prod-0001"), it.registry.manifest("dev/my-app", &digest));
}

/// Kills promotions at many moments; a second one completes each. With `XTASK_ECR_INTERRUPTIONS` there are more, at most 20.
#[test]
fn promotion_interrupted_at_any_moment_is_completed() {
    let count =
        std::env::var("XTASK_ECR_INTERRUPTIONS").ok().and_then(|it| it.parse().ok()).unwrap_or(4).min(20);
    let (workspace, dev, prod) = two_registries();
    for n in 0..count {
        let version = format!("1.0.{n}");
        let letter = char::from(b'a' + n as u8);
        let image = dev.layered("my-app", &[(letter, 400_000), (letter, 300_000)], json!({}), Some(&version));
        let subject =
            json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": image, "size": 1});
        dev.layered("my-app", &[('s', 100)], json!({"subject": subject, "artifactType": "text/plain"}), None);
        let mut child = of_profiles(&workspace, &PROMOTE).spawn();
        std::thread::sleep(std::time::Duration::from_millis(40 + (n as u64 * 37) % 160));
        child.kill().unwrap();
        child.wait().unwrap();
        let report =
            of_profiles(&workspace, &[&PROMOTE[..], &["--format", "json"]].concat()).run().json_with(0);
        let tag = report["images"][0]["tags"][0].as_str().unwrap().to_owned();
        assert_eq!(prod.manifest("my-app", &tag), dev.manifest("my-app", &image));
        let referrers = |it: &Registry| {
            let answer = it.get(&format!("/v2/my-app/referrers/{image}"), Some(&it.basic()));
            String::from_utf8(answer).unwrap().matches("\"artifactType\":\"text/plain\"").count()
        };
        assert_eq!((referrers(&dev), referrers(&prod)), (1, 1), "{n}");
    }
}
