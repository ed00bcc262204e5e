//! The settings of the whole registry: the section of `ecr status`, and `--registry` of `plan` and `create`.

use aws_sdk_ecr::types::{
    RctAppliedFor, SigningConfiguration, SigningRepositoryFilter, SigningRepositoryFilterType, SigningRule,
    UpstreamRegistry,
};
use expect_test::expect;
use serde_json::json;

use crate::support::{Fixture, Registry, Workspace};

/// Sets one of everything, as another team's tools would.
pub fn set_everything(registry: &Registry) {
    registry.sdk(async |ecr| {
        let rule = aws_sdk_ecr::types::RegistryScanningRule::builder()
            .scan_frequency(aws_sdk_ecr::types::ScanFrequency::ContinuousScan)
            .repository_filters(
                aws_sdk_ecr::types::ScanningRepositoryFilter::builder()
                    .filter("my-*")
                    .filter_type(aws_sdk_ecr::types::ScanningRepositoryFilterType::Wildcard)
                    .build()
                    .unwrap(),
            );
        let request = ecr.put_registry_scanning_configuration();
        request.scan_type(aws_sdk_ecr::types::ScanType::Enhanced).rules(rule.build().unwrap()).send().await
    });
    registry.sdk(async |ecr| {
        let request = ecr.create_repository_creation_template().prefix("ROOT");
        request.applied_for(RctAppliedFor::PullThroughCache).resource_tags(tag("team", "web")).send().await
    });
    registry.sdk(async |ecr| sign(ecr, &["my-app*"]).await);
    registry.sdk(async |ecr| {
        let request = ecr.create_pull_through_cache_rule().ecr_repository_prefix("ecr-public");
        request
            .upstream_registry(UpstreamRegistry::EcrPublic)
            .upstream_registry_url("public.ecr.aws")
            .send()
            .await
    });
    registry.sdk(async |ecr| {
        let destination = aws_sdk_ecr::types::ReplicationDestination::builder()
            .region("eu-west-1")
            .registry_id("123456789012")
            .build();
        let rule = aws_sdk_ecr::types::ReplicationRule::builder().destinations(destination.unwrap());
        let configuration =
            aws_sdk_ecr::types::ReplicationConfiguration::builder().rules(rule.build().unwrap());
        let request = ecr.put_replication_configuration();
        request.replication_configuration(configuration.build().unwrap()).send().await
    });
    registry.sdk(async |ecr| {
        let request = ecr.register_pull_time_update_exclusion();
        request.principal_arn("arn:aws:iam::123456789012:role/scanner").send().await
    });
    registry.calls();
}

fn tag(key: &str, value: &str) -> aws_sdk_ecr::types::Tag {
    aws_sdk_ecr::types::Tag::builder().key(key).value(value).build().unwrap()
}

/// The profile of [`sign`].
pub const PROFILE: &str = "arn:aws:signer:us-east-1:123456789012:/signing-profiles/release";

/// Makes ECR sign the images of repositories whose names match filters.
pub async fn sign(
    ecr: &aws_sdk_ecr::Client,
    filters: &[&str],
) -> Result<
    aws_sdk_ecr::operation::put_signing_configuration::PutSigningConfigurationOutput,
    aws_sdk_ecr::error::SdkError<
        aws_sdk_ecr::operation::put_signing_configuration::PutSigningConfigurationError,
    >,
> {
    let filter = |it: &&str| {
        let filter = SigningRepositoryFilter::builder().filter(*it);
        filter.filter_type(SigningRepositoryFilterType::WildcardMatch).build().unwrap()
    };
    let rule = SigningRule::builder()
        .signing_profile_arn(PROFILE)
        .set_repository_filters(Some(filters.iter().map(filter).collect()));
    let configuration = SigningConfiguration::builder().rules(rule.build().unwrap()).build().unwrap();
    ecr.put_signing_configuration().signing_configuration(configuration).send().await
}

/// The part of the page below `Registry`.
fn section(page: &str) -> String {
    let (_, section) = page.split_once("\nRegistry\n").unwrap();
    let lines = section.split("--- stderr").next().unwrap().lines();
    lines.map(|it| format!("{}\n", it.trim_start_matches("  "))).collect()
}

#[test]
fn status_shows_what_is_set_for_the_registry() {
    let fixture = Fixture::example().created();
    let page = fixture.run(&["ecr", "status"]).good().shown();
    expect![[r#"
          scanning    BASIC, without rules
          mounting    off
          templates   none
          signing     none
          caches      none
          replication none
          pull times  every pull is recorded
    "#]]
    .assert_eq(&section(&page));
    set_everything(&fixture.registry);
    let shared = [('L', 2_000_000), ('a', 10)];
    fixture.registry.layered("my-app", &shared, json!({}), Some("1.0.0"));
    fixture.registry.layered("my-app-worker", &shared, json!({}), Some("1.0.0"));
    let page = fixture.run(&["ecr", "status"]).good().shown();
    expect![[r#"
          scanning    ENHANCED, CONTINUOUS_SCAN for my-*
          mounting    off: it would have spared 2.0 MB of layers that several of these repositories have
          templates   ROOT (PULL_THROUGH_CACHE): differs in imageTagMutability, lifecyclePolicy; it creates nothing, since it has resource tags and no customRoleArn
          signing     arn:aws:signer:us-east-1:123456789012:/signing-profiles/release for my-app, my-app-worker
          caches      ecr-public from public.ecr.aws
          replication to eu-west-1/123456789012 for my-app, my-app-worker
          pull times  not recorded for arn:aws:iam::123456789012:role/scanner
    "#]].assert_eq(&section(&page));
    let report = fixture.run(&["ecr", "status", "--format", "json"]).json_with(0);
    let settings = &report["registrySettings"];
    assert_eq!(settings["scanning"]["type"], "ENHANCED");
    assert_eq!(settings["creationTemplates"][0]["broken"], true);
    assert_eq!(settings["signingRules"][0]["repositories"], json!(["my-app", "my-app-worker"]));
    assert!(settings["repeatedLayerBytes"].as_u64().unwrap() >= 2_000_000);
}

#[test]
fn status_has_a_dash_for_each_setting_that_may_not_be_read() {
    let denied = [
        "GetRegistryScanningConfiguration",
        "GetAccountSetting",
        "DescribeRepositoryCreationTemplates",
        "GetSigningConfiguration",
        "DescribePullThroughCacheRules",
        "DescribeRegistry",
        "ListPullTimeUpdateExclusions",
    ];
    let faults: Vec<_> = denied.iter().map(|it| format!("deny={it}")).collect();
    let faults: Vec<_> = faults.iter().map(String::as_str).collect();
    let fixture = Fixture::example().with_faults(&faults).created();
    let output = fixture.run(&["ecr", "status"]).good();
    for action in denied {
        let warning = format!("no permission for ecr:{action}: a setting of the registry was not read");
        assert!(output.warnings().iter().any(|it| it.contains(&warning)), "{output:#?}");
    }
    let page = section(&output.shown());
    assert_eq!(page.lines().filter(|it| it.trim_end().ends_with(" -")).count(), 7, "{page}");
}

/// A setting that cannot be read for another reason fails the command, which shows the rest. That a server does not have an
/// operation is tried with moto (`ecr/tests/peers`).
#[test]
fn status_fails_with_the_rest_of_the_page_where_a_setting_cannot_be_read() {
    let fixture = Fixture::example().with_faults(&["error=GetSigningConfiguration"]).created();
    let output = fixture.run(&["ecr", "status", "--network-timeout", "1s"]);
    assert_eq!(output.code, 1, "{output:#?}");
    assert!(
        output
            .stderr
            .contains("Failed settings of the registry: ecr:GetSigningConfiguration: ServerException: "),
        "{output:#?}"
    );
    assert!(section(&output.shown()).contains("signing     -"));
}

const REGISTRY: &str = "[workspace.metadata.ecr.registry]\nblob-mounting = true\ncreation-template = true\n";

fn configured(more: &str) -> Fixture {
    let metadata = format!(
        "region = \"us-east-1\"\nproject = \"p\"\nprefix = \"team/\"\nlifecycle-policy = \"policy.json\"\n{REGISTRY}{more}"
    );
    let workspace = Workspace::new().metadata(&metadata).service("my-app", "");
    workspace.file("policy.json", crate::support::POLICY);
    workspace.start()
}

#[test]
fn create_registry_writes_what_the_workspace_sets_and_nothing_without_the_flag() {
    let fixture = configured("");
    let plan = fixture.run(&["ecr", "plan", "--registry"]).good();
    expect![[r#"
        + team/my-app  (to create)
            + imageTagMutability: IMMUTABLE
            + scanOnPush: true
            + tags: ManagedBy=cargo-xtask-ecr, Project=p, Service=my-app
            + lifecyclePolicy: 1 rule
        ~ registry settings
            ~ blobMounting: DISABLED -> ENABLED
            + creationTemplate team: appliedFor=CREATE_ON_PUSH, imageTagMutability=IMMUTABLE, lifecyclePolicy=1 rule
        Plan: 1 to create, 0 to change, 0 unchanged
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project p)
    "#]].assert_eq(&plan.shown());
    let settings = ["PutAccountSetting", "CreateRepositoryCreationTemplate"];
    let is_setting = |it: &&String| settings.contains(&it.as_str());
    fixture.run(&["ecr", "create"]).good();
    assert_eq!(fixture.registry.writes().iter().filter(is_setting).count(), 0);
    assert_eq!(fixture.run(&["ecr", "plan", "--check"]).code, 0);
    assert_eq!(fixture.run(&["ecr", "plan", "--check", "--registry"]).code, 2);

    fixture.registry.calls();
    let created = fixture.run(&["ecr", "create", "--registry", "--format", "json"]).json_with(0);
    let operations: Vec<_> =
        created["registrySettings"].as_array().unwrap().iter().map(|it| it["operation"].clone()).collect();
    assert_eq!(operations, settings);
    assert_eq!(fixture.registry.writes().iter().filter(is_setting).count(), 2);
    assert_eq!(fixture.run(&["ecr", "plan", "--check", "--registry"]).code, 0);

    // What others push to the namespace is as safe as what `create` makes.
    fixture.registry.sdk(async |ecr| {
        let templates = ecr.describe_repository_creation_templates().send().await?;
        let template = &templates.repository_creation_templates()[0];
        assert_eq!(template.prefix(), Some("team"));
        assert_eq!(template.applied_for(), [RctAppliedFor::CreateOnPush]);
        assert_eq!(template.image_tag_mutability().unwrap().as_str(), "IMMUTABLE");
        assert!(template.lifecycle_policy().unwrap().contains("imageCountMoreThan"));
        assert!(template.resource_tags().is_empty());
        Ok::<_, aws_sdk_ecr::error::SdkError<_>>(templates)
    });
}

#[test]
fn plan_registry_shows_how_an_existing_template_differs() {
    let role = "custom-role-arn = \"arn:aws:iam::123456789012:role/ecr-templates\"\n";
    let fixture = configured(role).created();
    fixture.registry.sdk(async |ecr| {
        let request = ecr.create_repository_creation_template().prefix("team/");
        request.applied_for(RctAppliedFor::Replication).send().await
    });
    let plan = fixture.run(&["ecr", "plan", "--registry"]).good();
    expect![[r#"
        = team/my-app
        ~ registry settings
            ~ blobMounting: DISABLED -> ENABLED
            ~ creationTemplate team.appliedFor: REPLICATION -> REPLICATION, CREATE_ON_PUSH
            ~ creationTemplate team.customRoleArn: none -> arn:aws:iam::123456789012:role/ecr-templates
            ~ creationTemplate team.imageTagMutability: MUTABLE -> IMMUTABLE
            ~ creationTemplate team.lifecyclePolicy: none -> 1 rule
            ~ creationTemplate team.resourceTags:  -> Project=p
        Plan: 0 to create, 0 to change, 1 unchanged
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project p)
    "#]]
    .assert_eq(&plan.shown());
    fixture.run(&["ecr", "create", "--registry"]).good();
    assert_eq!(fixture.run(&["ecr", "plan", "--check", "--registry"]).code, 0);
    // Orphans are what this tool manages: what a push creates from the template is not.
    fixture.registry.sdk(async |ecr| {
        let templates = ecr.describe_repository_creation_templates().send().await?;
        let template = &templates.repository_creation_templates()[0];
        assert_eq!(template.applied_for(), [RctAppliedFor::Replication, RctAppliedFor::CreateOnPush]);
        let tags: Vec<_> = template.resource_tags().iter().map(|it| (it.key(), it.value())).collect();
        assert_eq!(tags, [("Project", "p")]);
        Ok::<_, aws_sdk_ecr::error::SdkError<_>>(templates)
    });
}

#[test]
fn registry_flag_without_settings_or_permissions_is_refused() {
    let plain = Fixture::service().created();
    let output = plain.run(&["ecr", "plan", "--registry"]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1)
        error: --registry: the workspace configures no setting of the registry

        help: add a table [workspace.metadata.ecr.registry] with `blob-mounting` or `creation-template` to the root Cargo.toml
        --- exit 1
    "#]].assert_eq(&output.shown());
    let fixture = configured("");
    let denied = Fixture { registry: Registry::with_faults(&["deny=GetAccountSetting"]), ..fixture };
    let output = denied.run(&["ecr", "create", "--registry"]);
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project p)
        warning: no permission for ecr:GetAccountSetting: a setting of the registry was not read
        error: ecr:GetAccountSetting: the setting of the registry could not be read, so that no change to it can be planned

        help: `cargo xtask ecr iam-policy provision --registry` prints the policy that allows it
        --- exit 1
    "#]].assert_eq(&output.shown());
    assert_eq!(denied.registry.writes(), [""; 0]);
    let denied = Fixture { registry: Registry::with_faults(&["deny=PutAccountSetting"]), ..denied };
    let output = denied.run(&["ecr", "create", "--registry"]);
    expect![[r#"
        127.0.0.1:[PORT]/team/my-app
        --- stderr
            Registry 127.0.0.1:[PORT] (account 123456789012, region us-east-1, project p)
              Failed registry settings (blobMounting): ecr:PutAccountSetting: AccessDeniedException: User: arn:aws:iam::123456789012:root is not authorized to perform: ecr:PutAccountSetting on resource: * because no identity-based policy allows the ecr:PutAccountSetting action
        help: these credentials lack the permission ecr:PutAccountSetting: grant it, or use other credentials
             Updated registry settings (creationTemplate team)
             Created repository team/my-app
            Finished 1 repository: 1 created
        help: push the images with `cargo xtask push`, which needs no docker login
        help: log docker in to 127.0.0.1:[PORT] with `cargo xtask ecr login`
        --- exit 1
    "#]].assert_eq(&output.shown());
}

#[test]
fn registry_settings_are_checked_before_anything_is_asked() {
    let metadata = "prefix = \"team-\"\n[workspace.metadata.ecr.registry]\nblob-mounting = \"yes\"\n\
                    creation-template = true\ncustom-role-arn = \"role/x\"\nmounting = true\n";
    let workspace = Workspace::new().metadata(metadata).service("my-app", "");
    let output = workspace.local(&["ecr", "plan"]);
    expect![[r#"
        --- stderr
        error: there are 4 problems in the configuration

        Cargo.toml:6:10: `creation-template` needs a prefix that is a namespace, and `team-` does not end with `/`
          help: write `prefix = "team-/"`, or remove `creation-template`

        Cargo.toml:8:17: `blob-mounting` must be true or false, found a string

        Cargo.toml:10:19: `role/x` is not the ARN of a role: write one such as `arn:aws:iam::123456789012:role/ecr`

        Cargo.toml:11:1: unknown key `mounting` in `registry`
          help: the keys are `blob-mounting`, `creation-template`, `custom-role-arn`
        --- exit 1
    "#]].assert_eq(&output.shown());
}
