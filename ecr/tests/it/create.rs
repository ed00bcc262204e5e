//! `ecr create`: what it writes, and its behaviour without permissions, in races, and with repositories of other projects.

use expect_test::expect;
use serde_json::json;

use crate::support::{Fixture, POLICY, Workspace, by_name};

/// Denials of the permissions that `create`, `push` and `delete` can work without.
const OPTIONAL_PERMISSIONS: [&str; 9] = [
    "deny=ListTagsForResource",
    "deny=TagResource",
    "deny=GetLifecyclePolicy",
    "deny=DeleteLifecyclePolicy",
    "deny=PutImageTagMutability",
    "deny=PutImageScanningConfiguration",
    "deny=GetRegistryScanningConfiguration",
    "deny=DescribeImages",
    "deny=BatchGetImage",
];

#[test]
fn create_makes_absent_repositories_and_then_writes_nothing() {
    let fixture = Fixture::example();
    let first = fixture.run(&["ecr", "create", "--concurrency", "1"]).good();
    expect![[r#"
        127.0.0.1:[PORT]/my-app
        127.0.0.1:[PORT]/my-app-worker
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
             Created repository my-app
             Created repository my-app-worker
            Finished 2 repositories: 2 created
        help: push the images with `cargo xtask push`, which needs no docker login
        help: log docker in to 127.0.0.1:[PORT] with `cargo xtask ecr login`
    "#]]
    .assert_eq(&first.shown());
    let found = fixture.registry.sdk(async |ecr| ecr.describe_repositories().send().await);
    let app = &found.repositories()[0];
    assert_eq!(app.image_tag_mutability().unwrap().as_str(), "IMMUTABLE");
    assert!(app.image_scanning_configuration().unwrap().scan_on_push());
    fixture.registry.calls();

    let second = fixture.run(&["ecr", "create", "--format", "json"]).json_with(0);
    assert_eq!(fixture.registry.writes(), [""; 0]);
    let app = by_name(&second["repositories"], "my-app");
    assert_eq!((&app["outcome"], &app["error"]), (&json!("unchanged"), &json!(null)));
    assert_eq!(app["arn"], "arn:aws:ecr:us-east-1:123456789012:repository/my-app");
    assert_eq!(app["uri"], format!("{}/my-app", fixture.registry.host()));
}

#[test]
fn create_converges_an_existing_repository() {
    let fixture = Fixture::example();
    fixture.registry.create_plain("my-app");
    let json = fixture.run(&["ecr", "create", "-p", "my-app", "--format", "json"]).json_with(0);
    assert_eq!(
        fixture.registry.writes(),
        ["PutImageTagMutability", "PutImageScanningConfiguration", "PutLifecyclePolicy", "TagResource"]
    );
    assert_eq!(json["repositories"][0]["outcome"], "updated");
    assert_eq!(fixture.run(&["ecr", "plan", "--check", "-p", "my-app"]).code, 0);
}

#[test]
fn create_restores_only_a_changed_lifecycle_policy() {
    let fixture = Fixture::example().created();
    let other = POLICY.replace("10}", "99}");
    fixture.registry.sdk(async |ecr| {
        ecr.put_lifecycle_policy().repository_name("my-app").lifecycle_policy_text(other).send().await
    });
    fixture.registry.calls();
    fixture.run(&["ecr", "create"]).good();
    assert_eq!(fixture.registry.writes(), ["PutLifecyclePolicy"]);
}

#[test]
fn create_without_changes_makes_few_calls() {
    let entries: Vec<_> = (0..100).map(|n| format!("{{\"name\": \"repository-{n}\"}}")).collect();
    let workspace = Workspace::new().repositories(&format!("{{\"repositories\": [{}]}}", entries.join(",")));
    workspace.file("ecr/lifecycle-policy.json", POLICY);
    let fixture = workspace.metadata("region = \"us-east-1\"\n").start().created();
    fixture.run(&["ecr", "create"]).good();
    let calls = fixture.registry.calls();
    let calls: Vec<_> = calls.iter().map(|(operation, n)| format!("{operation} {n}")).collect();
    assert_eq!(
        calls,
        [
            "DescribeRepositories 1",
            "GetCallerIdentity 1",
            "GetLifecyclePolicy 100",
            "ListTagsForResource 100"
        ]
    );
}

#[test]
fn create_and_delete_work_without_the_optional_permissions() {
    let fixture = Fixture::example().with_faults(&OPTIONAL_PERMISSIONS);
    let first = fixture.run(&["ecr", "create"]).good();
    expect!["no permission for ecr:TagResource: repositories were created without resource tags (my-app, my-app-worker)"].assert_eq(&first.warnings().join("\n"));
    assert_eq!(fixture.registry.names(), ["my-app", "my-app-worker"]);

    let second = fixture.run(&["ecr", "create", "--format", "json"]);
    assert_eq!(by_name(&second.json_with(0)["repositories"], "my-app")["outcome"], "updated");
    expect![[r#"
        no permission for ecr:GetLifecyclePolicy: lifecycle policies are unknown, and `ecr create` writes them again (my-app, my-app-worker)
        no permission for ecr:ListTagsForResource: ownership and resource tags were not checked (my-app, my-app-worker)
        no permission for ecr:DescribeImages: images were not read (my-app, my-app-worker)"#]].assert_eq(&second.warnings().join("\n"));

    let deleted = fixture.run(&["ecr", "delete", "--yes", "--assume-owned", "--format", "json"]);
    let json = deleted.json_with(0);
    assert_eq!(
        (&json["repositories"][0]["outcome"], &json["repositories"][0]["images"]),
        (&json!("deleted"), &json!(null))
    );
    expect![[r#"
        no permission for ecr:ListTagsForResource: ownership and resource tags were not checked (my-app, my-app-worker)
        no permission for ecr:DescribeImages: images were not counted (my-app, my-app-worker)"#]].assert_eq(&deleted.warnings().join("\n"));
    assert_eq!(fixture.registry.names(), [""; 0]);
}

#[test]
fn create_without_permission_to_repair_drift_warns() {
    let fixture = Fixture::service().with_faults(&["deny=PutImageTagMutability"]);
    fixture.registry.create_plain("my-app");
    let output = fixture.run(&["ecr", "create"]).good();
    expect!["no permission for ecr:PutImageTagMutability: `imageTagMutability` differs and was not changed (my-app)"].assert_eq(&output.warnings().join("\n"));
}

#[test]
fn create_without_permission_fails_only_its_repository() {
    let fixture = Workspace::example()
        .service("third", "lifecycle-policy = false\n")
        .start()
        .with_faults(&["deny=PutLifecyclePolicy"]);
    let output = fixture.run(&["ecr", "create", "--concurrency", "1"]);
    expect![[r#"
        127.0.0.1:[PORT]/third
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project my-project)
              Failed my-app: ecr:PutLifecyclePolicy: AccessDeniedException: User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:PutLifecyclePolicy on resource: arn:aws:ecr:us-east-1:123456789012:repository/my-app because no identity-based policy allows the ecr:PutLifecyclePolicy action
        help: these credentials lack the permission ecr:PutLifecyclePolicy: grant it, or use other credentials
              Failed my-app-worker: ecr:PutLifecyclePolicy: AccessDeniedException: User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:PutLifecyclePolicy on resource: arn:aws:ecr:us-east-1:123456789012:repository/my-app-worker because no identity-based policy allows the ecr:PutLifecyclePolicy action
        help: these credentials lack the permission ecr:PutLifecyclePolicy: grant it, or use other credentials
             Created repository third
            Finished 3 repositories: 1 created, 2 failed
        --- exit 1
    "#]].assert_eq(&output.shown());
}

#[test]
fn create_refuses_a_foreign_repository_and_creates_the_rest() {
    let fixture = Fixture::example();
    fixture.registry.create_plain("my-app");
    fixture.registry.tag("my-app", &[("Project", "another")]);
    let output = fixture.run(&["ecr", "create", "--format", "json"]);
    let json = output.json_with(5);
    assert_eq!(by_name(&json["repositories"], "my-app")["outcome"], "refused");
    assert_eq!(by_name(&json["repositories"], "my-app")["state"], "foreign");
    assert_eq!(by_name(&json["repositories"], "my-app-worker")["outcome"], "created");
}

#[test]
fn create_blocks_an_encryption_change_with_advice() {
    let fixture = Workspace::new().service("my-app", "encryption = \"KMS\"\n").service("worker", "").start();
    fixture.registry.create_plain("my-app");
    let json = fixture.run(&["ecr", "create", "--format", "json"]).json_with(1);
    let app = by_name(&json["repositories"], "my-app");
    assert_eq!((&app["state"], &app["outcome"]), (&json!("blocked"), &json!("blocked")));
    assert!(app["error"].as_str().unwrap().contains("cargo xtask ecr delete"), "{app}");
    assert_eq!(by_name(&json["repositories"], "worker")["outcome"], "created");
}

#[test]
fn create_leaves_scan_on_push_to_registry_scanning_rules() {
    let fixture = Fixture::service().created();
    fixture.registry.sdk(async |ecr| {
        use aws_sdk_ecr::types::*;
        let filter = ScanningRepositoryFilter::builder()
            .filter("*")
            .filter_type(ScanningRepositoryFilterType::Wildcard)
            .build()
            .unwrap();
        let rule = RegistryScanningRule::builder()
            .scan_frequency(ScanFrequency::ContinuousScan)
            .repository_filters(filter)
            .build()
            .unwrap();
        let off = ImageScanningConfiguration::builder().scan_on_push(false).build();
        let request = ecr.put_image_scanning_configuration().repository_name("my-app");
        request.image_scanning_configuration(off).send().await.unwrap();
        ecr.put_registry_scanning_configuration().scan_type(ScanType::Enhanced).rules(rule).send().await
    });
    fixture.registry.calls();
    fixture.run(&["ecr", "create"]).good();
    assert_eq!(fixture.registry.writes(), [""; 0]);
}

#[test]
fn create_survives_throttling() {
    let fixture =
        Fixture::example().with_faults(&["throttle=CreateRepository:2", "throttle=ListTagsForResource:1"]);
    fixture.run(&["ecr", "create"]).good();
    assert_eq!(fixture.registry.calls()["CreateRepository"], 4, "two were throttled");
    fixture.run(&["ecr", "create"]).good();
    assert_eq!(fixture.registry.calls()["ListTagsForResource"], 3, "one was throttled");
    assert_eq!(fixture.registry.names(), ["my-app", "my-app-worker"]);
}

#[test]
fn create_twice_at_once_succeeds() {
    let names: Vec<_> = (0..20).map(|n| format!("{{\"name\": \"repository-{n}\"}}")).collect();
    let workspace = Workspace::new().repositories(&format!("{{\"repositories\": [{}]}}", names.join(",")));
    let fixture = workspace.start();
    let run = || fixture.run(&["ecr", "create", "--format", "json"]);
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(run);
        let two = scope.spawn(run);
        (one.join().unwrap(), two.join().unwrap())
    });
    for output in [one, two] {
        let json = output.json_with(0);
        assert_eq!(json["repositories"].as_array().unwrap().len(), 20);
    }
    assert_eq!(fixture.run(&["ecr", "plan", "--check"]).code, 0);
}

#[test]
fn create_with_lifecycle_policy_false_deletes_the_policy() {
    let Fixture { registry, .. } = Fixture::service().created();
    let without = Workspace::new().service("my-app", "lifecycle-policy = false\n");
    without.on(&registry, &["ecr", "create"]).good();
    let found =
        registry.try_sdk(async |ecr| ecr.get_lifecycle_policy().repository_name("my-app").send().await);
    assert!(found.unwrap_err().into_service_error().is_lifecycle_policy_not_found_exception());
}

#[test]
fn create_blocks_an_ineffective_field_and_writes_it_once() {
    let fixture = Fixture::service().with_faults(&["ignore=PutImageScanningConfiguration"]);
    fixture.registry.create_plain("my-app");
    let first = fixture.run(&["ecr", "create", "--format", "json"]).json_with(1);
    assert_eq!(first["repositories"][0]["outcome"], "blocked");
    assert!(fixture.registry.writes().contains(&"PutImageScanningConfiguration".to_owned()));
    let second = fixture.run(&["ecr", "create"]);
    assert_eq!(fixture.registry.writes(), [""; 0]);
    expect![[r#"
        127.0.0.1:[PORT]/my-app
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
             Blocked my-app: scanOnPush cannot be changed: AWS accepted the change, but it had no effect: check the settings of the registry (target/xtask-ecr/ignored-writes.json suppresses this write for a day; remove it to try again)
            Finished 1 repository: 1 blocked
        --- exit 1
    "#]].assert_eq(&second.shown());
    assert_eq!(fixture.run(&["ecr", "plan", "--check"]).code, 1);
}

#[test]
fn create_writes_a_repository_policy_once_whatever_form_aws_gives_it() {
    for statement in [
        r#""Principal": {"AWS": ["222222222222", "111111111111"]}, "Action": ["ecr:BatchGetImage"]"#,
        r#""Principal": {"AWS": "111111111111"}, "Action": "ecr:batchGetImage""#,
        r#""Principal": "*", "Action": ["ecr:BatchGetImage"], "Condition": {"Bool": {"aws:SecureTransport": true}}"#,
        r#""Principal": {"AWS": ["*"], "Service": ["ecs.amazonaws.com"]}, "Action": ["ecr:Get*", "ecr:Batch*"]"#,
    ] {
        let policy = format!(r#"{{"Statement": {{"Effect": "Allow", {statement}}}}}"#);
        let workspace = Workspace::new().service("my-app", "repository-policy = \"policy.json\"\n");
        workspace.file("my-app/policy.json", &policy);
        let fixture = workspace.start().created();
        fixture.run(&["ecr", "create"]).good();
        assert_eq!(fixture.registry.writes(), [""; 0], "{policy}");
        assert_eq!(fixture.run(&["ecr", "plan", "--check"]).code, 0, "{policy}");
        // A principal that was deleted, whose unique ID takes its place.
        fixture.workspace.file("my-app/policy.json", policy.replace("111111111111", "AIDAEXAMPLEEXAMPLE123"));
        let wanted = if policy.contains("111111111111") { 2 } else { 0 };
        assert_eq!(fixture.run(&["ecr", "plan", "--check"]).code, wanted, "{policy}");
    }
}

#[test]
fn create_accepts_each_form_of_a_kms_key() {
    for key in [
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "alias/ecr",
        "arn:aws:kms:us-east-1:123456789012:alias/ecr",
    ] {
        let metadata = format!("encryption = \"KMS\"\nkms-key = \"{key}\"\n");
        let fixture = Workspace::new().service("my-app", &metadata).start().created();
        assert_eq!(fixture.run(&["ecr", "plan", "--check"]).code, 0, "{key}");
    }
}
